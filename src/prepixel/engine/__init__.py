"""Steps, checkpoints and evaluation, for any network, task and loader that keep the protocols."""

from prepixel.engine.checkpoint import CheckpointError, Position, load_weights
from prepixel.engine.evaluation import NothingToEvaluate, evaluate
from prepixel.engine.loop import LoaderEnded, TrainResult, train
from prepixel.engine.optimization import learning_rate
from prepixel.engine.processes import DistributedContext, disable_malloc_trim, start_accelerator
from prepixel.engine.settings import OptimizationSettings, TrainSettings
from prepixel.engine.stepping import EmptyShare
from prepixel.engine.stopping import TrainingInterrupted

__all__ = [
    "CheckpointError",
    "DistributedContext",
    "EmptyShare",
    "LoaderEnded",
    "NothingToEvaluate",
    "OptimizationSettings",
    "Position",
    "TrainResult",
    "TrainSettings",
    "TrainingInterrupted",
    "disable_malloc_trim",
    "evaluate",
    "learning_rate",
    "load_weights",
    "start_accelerator",
    "train",
]
