"""Settings of optimization and training: plain, frozen values that a recipe states field by field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from prepixel.errors import PrepixelError

# Training settings that may change between two starts of a run: they do not change what is learned.
RESUMABLE = frozenset(
    {
        *("device", "channels_last", "compile", "compile_backend"),
        *("evaluate_every", "checkpoint_steps", "record_steps", "tensorboard", "progress"),
    }
)


class SettingsError(PrepixelError, ValueError):
    """Report a setting of training or optimization that is out of range, or that this machine cannot satisfy."""


@dataclass(frozen=True)
class OptimizationSettings:
    """Describe how the weights are updated.

    The learning rate is a function of the step alone: a linear warm-up to ``learning_rate``, then the schedule.

    Attributes:
        optimizer: sgd (with momentum), adamw, or lamb, for large batches.
        learning_rate: the rate after warm-up, for the global batch as it is; it is never scaled implicitly.
        momentum: sgd's momentum.
        nesterov: whether sgd's momentum looks ahead.
        beta1: adamw's and lamb's decay of the gradient's mean.
        beta2: adamw's and lamb's decay of the gradient's square.
        epsilon: adamw's and lamb's term that keeps the denominator from zero.
        weight_decay: pull of the weights to zero; for adamw and lamb decoupled from the gradient.
        decay_norms_and_biases: whether weight decay also acts on weights with a single axis (norms, biases).
        schedule: cosine (to ``final_factor``), step (times ``step_factor`` every ``step_epochs``) or constant.
        warmup_epochs: epochs (a fraction is allowed) of linear warm-up.
        warmup_factor: where warm-up starts, as a share of ``learning_rate``.
        final_factor: where cosine ends, as a share of ``learning_rate``.
        step_epochs: epochs between two drops of the step schedule.
        step_factor: what the step schedule multiplies by at each drop.
        max_gradient_norm: longer gradients are scaled down to this norm; null switches clipping off.
        average_decay: decay of the weights' exponential moving average (EMA); null keeps none.
    """

    optimizer: Literal["sgd", "adamw", "lamb"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 1e-4
    decay_norms_and_biases: bool = False
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = 0.0
    warmup_factor: float = 0.01
    final_factor: float = 0.0
    step_epochs: int = 30
    step_factor: float = 0.1
    max_gradient_norm: float | None = None
    average_decay: float | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon"):
            _demand(self, name, lambda value: value > 0, "greater than 0")
        for name in ("weight_decay", "warmup_epochs"):
            _demand(self, name, lambda value: value >= 0, "0 or greater")
        for name in ("momentum", "beta1", "beta2"):
            _demand(self, name, lambda value: 0 <= value < 1, "at least 0 and below 1")
        for name in ("warmup_factor", "final_factor", "step_factor"):
            _demand(self, name, lambda value: 0 <= value <= 1, "from 0 to 1")
        _demand(self, "step_epochs", lambda value: value >= 1, "1 or greater")
        if self.max_gradient_norm is not None:
            _demand(self, "max_gradient_norm", lambda value: value > 0, "greater than 0, or null for no clipping")
        if self.average_decay is not None:
            _demand(self, "average_decay", lambda value: 0 < value < 1, "between 0 and 1, or null for no average")
        if self.nesterov and self.momentum == 0:
            raise SettingsError("nesterov needs momentum; set momentum above 0 or nesterov to false")


@dataclass(frozen=True)
class TrainSettings:
    """Describe how long a run trains, in which precision, and what it records.

    Attributes:
        epochs: passes over the training samples.
        seed: what dropout and other draws inside the network start from.
        precision: float32, or bfloat16 / float16 where operations allow it; float16 needs a CUDA device.
        gradient_accumulation: batches whose gradients make one step; the last step of an epoch takes what is left.
        device: auto (an accelerator where there is one), cpu or cuda.
        sync_batchnorm: whether batch norm's statistics are those of the batches of all processes, so that several give
            what one gives, but for rounding. Without it each process normalizes by its own share of the batch, and the
            statistics of the first process are kept.
        channels_last: whether weights lie channels last in memory, which CUDA's half precision convolutions want.
        compile: whether the network goes through torch.compile.
        compile_backend: torch.compile's backend.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        checkpoint_steps: steps between checkpoints inside an epoch; null for those at its end only.
        record_steps: steps between two records of loss and speed.
        tensorboard: whether records also go to TensorBoard files in the run's folder.
        progress: whether standard error gets a line per epoch and, on a terminal, a progress bar.
    """

    epochs: int = 90
    seed: int = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_accumulation: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    sync_batchnorm: bool = False
    channels_last: bool = False
    compile: bool = False
    compile_backend: str = "inductor"
    evaluate_every: int = 1
    checkpoint_steps: int | None = None
    record_steps: int = 50
    tensorboard: bool = True
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "gradient_accumulation", "evaluate_every", "record_steps"):
            _demand(self, name, lambda value: value >= 1, "1 or greater")
        _demand(self, "seed", lambda value: 0 <= value < 2**32, "from 0 to 4294967295")
        if self.checkpoint_steps is not None:
            _demand(self, "checkpoint_steps", lambda value: value >= 1, "1 or greater, or null")


def _demand(settings: object, name: str, accepts: Any, wanted: str) -> None:
    value = getattr(settings, name)
    if not math.isfinite(value) or not accepts(value):
        raise SettingsError(f"{name} is {value}; it must be {wanted}")
