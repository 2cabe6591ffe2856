"""Steps, checkpoints and evaluation, for any network, task and loader that keep the protocols.

Names are loaded when first used, so that `prepixel.engine.settings` can be imported without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prepixel.engine.checkpoint import CheckpointError, Position, load_weights
    from prepixel.engine.devices import choose_device
    from prepixel.engine.evaluation import NothingToEvaluate, evaluate
    from prepixel.engine.loop import train
    from prepixel.engine.optimization import learning_rate
    from prepixel.engine.processes import DistributedContext, disable_malloc_trim, start_accelerator
    from prepixel.engine.results import LoaderEnded, TrainResult
    from prepixel.engine.settings import OptimizationSettings, SettingsError, TrainSettings
    from prepixel.engine.stepping import EmptyShare
    from prepixel.engine.stopping import TrainingInterrupted

_MODULES = {
    "CheckpointError": "checkpoint",
    "DistributedContext": "processes",
    "EmptyShare": "stepping",
    "LoaderEnded": "results",
    "NothingToEvaluate": "evaluation",
    "OptimizationSettings": "settings",
    "Position": "checkpoint",
    "SettingsError": "settings",
    "TrainResult": "results",
    "TrainSettings": "settings",
    "TrainingInterrupted": "stopping",
    "choose_device": "devices",
    "disable_malloc_trim": "processes",
    "evaluate": "evaluation",
    "learning_rate": "optimization",
    "load_weights": "checkpoint",
    "start_accelerator": "processes",
    "train": "loop",
}

__all__ = [
    "CheckpointError",
    "DistributedContext",
    "EmptyShare",
    "LoaderEnded",
    "NothingToEvaluate",
    "OptimizationSettings",
    "Position",
    "SettingsError",
    "TrainResult",
    "TrainSettings",
    "TrainingInterrupted",
    "choose_device",
    "disable_malloc_trim",
    "evaluate",
    "learning_rate",
    "load_weights",
    "start_accelerator",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"prepixel.engine.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'prepixel.engine' has no attribute {name!r}")
