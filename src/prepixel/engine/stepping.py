"""One step: gradients of a batch that several processes share, and what they do to the weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from prepixel.engine.checkpoint import fill_network
from prepixel.engine.optimization import Average, build_optimizer
from prepixel.engine.protocols import ProgressAware, Task
from prepixel.engine.settings import OptimizationSettings, TrainSettings
from prepixel.engine.synchronized_norm import has_batch_norm, synchronize_batch_norm
from prepixel.errors import PrepixelError

_LOG = logging.getLogger(__name__)


class EmptyShare(PrepixelError):
    """Report a process without samples in a step that needs some on every process."""


class Stepper:
    """Take optimization steps; owns the network, its optimizer and its moving average.

    Args:
        network: trained in place.
        task: gives the loss.
        settings: memory format and batch norm.
        optimization: how the weights move.
        accelerator: gives the device, the precision and the other processes.

    Attributes:
        network: on its device.
        average: the moving average; None where none is kept.
        gradient_norm: of the last step, before clipping; None without clipping.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        settings: TrainSettings,
        optimization: OptimizationSettings,
        accelerator: Accelerator,
    ) -> None:
        if settings.sync_batchnorm:
            network = synchronize_batch_norm(network, accelerator.device)
        elif accelerator.is_main_process and accelerator.num_processes > 1 and has_batch_norm(network):
            _LOG.warning(
                "batch norm sees each of %d processes' share of the batch; sync_batchnorm: true normalizes by all of "
                "it, as one process does",
                accelerator.num_processes,
            )
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.network = network
        self._accelerator = accelerator
        self._max_gradient_norm = optimization.max_gradient_norm
        module = _LossModule(network, task, refuse_empty=settings.sync_batchnorm)
        self._module, self._optimizer = accelerator.prepare(module, build_optimizer(network, optimization))
        # After prepare, by which all processes have the first one's weights.
        decay = optimization.average_decay
        self.average = None if decay is None else Average(network, decay)
        self.gradient_norm: Tensor | None = None
        self._adapting = [part for part in network.modules() if isinstance(part, ProgressAware)]

    @property
    def averaged(self) -> nn.Module | None:
        """Return the network with averaged weights, where an average is kept."""
        return None if self.average is None else self.average.module

    def set_progress(self, progress: float) -> None:
        """Tell the parts of the network that change with it how far training is, 0..1."""
        for part in self._adapting:
            part.set_progress(progress)

    def pop_metrics(self) -> dict[str, float]:
        """Collect what those parts tell of themselves since this was last asked."""
        return {name: value for part in self._adapting for name, value in part.pop_metrics().items()}

    def take(self, batches: Sequence[Any], rate: float, images: int, world_size: int) -> Tensor:
        """Move the weights along the gradient of the mean loss over all images of the step, wherever they are.

        Args:
            batches: this process's, one after the other; any of them may be empty.
            rate: learning rate.
            images: in the batches of all processes, at least 1.
            world_size: number of processes.

        Returns:
            The loss summed over this process's images, still on the device.
        """
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = rate
        # DDP averages gradients over processes; times their number, the parts of the global mean add up.
        share = world_size / images
        losses = []
        for index, batch in enumerate(batches):
            last = index + 1 == len(batches)
            with nullcontext() if last else self._accelerator.no_sync(self._module):
                loss = self._module(batch.to(self._accelerator.device))
                self._accelerator.backward(loss * (len(batch) * share))
            losses.append(loss.detach() * len(batch))
        if self._max_gradient_norm is not None:
            norm = self._accelerator.clip_grad_norm_(self.network.parameters(), self._max_gradient_norm)
            self.gradient_norm = norm.detach()
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return torch.stack(losses).sum()

    def all_finite(self) -> bool:
        """Tell whether every weight and running statistic is a finite number."""
        tensors = [t for t in (*self.network.parameters(), *self.network.buffers()) if t.is_floating_point()]
        return not tensors or bool(torch.stack([tensor.detach().isfinite().all() for tensor in tensors]).all())

    def weights(self) -> dict[str, Any]:
        """Return the weights that a network for use is filled from."""
        averaged = self.averaged
        return {
            "network": self.network.state_dict(),
            "average": None if averaged is None else averaged.state_dict(),
        }

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        scaler = self._accelerator.scaler
        return {
            **self.weights(),
            "average_updates": 0 if self.average is None else self.average.updates,
            "optimizer": self._optimizer.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Set everything back to what `state` gave.

        Raises:
            CheckpointError: the weights are of another network.
        """
        fill_network(self.network, state["network"], path)
        if self.average is not None:
            fill_network(self.average.module, state["average"], path)
            self.average.updates = state["average_updates"]
        self._optimizer.load_state_dict(state["optimizer"])
        if self._accelerator.scaler is not None and state["scaler"] is not None:
            self._accelerator.scaler.load_state_dict(state["scaler"])


class _LossModule(nn.Module):
    """Compute a batch's mean loss, so that everything that a step computes lies inside what DDP wraps.

    A batch without samples gives a zero that depends on every weight: DDP waits for each weight's gradient.
    """

    def __init__(self, network: nn.Module, task: Task, refuse_empty: bool) -> None:
        super().__init__()
        self.network = network
        self._task = task
        self._refuse_empty = refuse_empty

    def forward(self, batch: Any) -> Tensor:
        """Compute the mean loss of a batch, or the zero of an empty one."""
        if len(batch):
            return self._task.loss(self.network, batch)
        if self._refuse_empty:
            raise EmptyShare(
                "this process got a batch without samples, and sync_batchnorm needs some on every process; "
                "remove the files that cannot be read (prepixel scan lists them), or set sync_batchnorm to false"
            )
        sums = [weight.float().sum() for weight in self.network.parameters() if weight.requires_grad]
        return torch.stack(sums).sum() * 0.0
