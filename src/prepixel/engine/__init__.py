"""Steps, checkpoints and evaluation, for any network, task and loader that keep the protocols.

Names are loaded when first used, so that `prepixel.engine.settings` can be imported without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

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

_PLACES = {
    "CheckpointError": "prepixel.engine.checkpoint",
    "DistributedContext": "prepixel.engine.processes",
    "EmptyShare": "prepixel.engine.stepping",
    "LoaderEnded": "prepixel.engine.results",
    "NothingToEvaluate": "prepixel.engine.evaluation",
    "OptimizationSettings": "prepixel.engine.settings",
    "Position": "prepixel.engine.checkpoint",
    "SettingsError": "prepixel.engine.settings",
    "TrainResult": "prepixel.engine.results",
    "TrainSettings": "prepixel.engine.settings",
    "TrainingInterrupted": "prepixel.engine.stopping",
    "choose_device": "prepixel.engine.devices",
    "disable_malloc_trim": "prepixel.engine.processes",
    "evaluate": "prepixel.engine.evaluation",
    "learning_rate": "prepixel.engine.optimization",
    "load_weights": "prepixel.engine.checkpoint",
    "start_accelerator": "prepixel.engine.processes",
    "train": "prepixel.engine.loop",
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

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
