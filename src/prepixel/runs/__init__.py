"""Training runs and trained models: the one place where data, models and tasks meet."""

from prepixel.optional import extras_for

with extras_for(__name__):
    from prepixel.data.loading.channel_statistics import measure_statistics
    from prepixel.runs.channel_usage import Agreement, ChannelUse, measure_use
    from prepixel.runs.classifier import Classifier, TrainedRun, load_run
    from prepixel.runs.detector import FoundInPhoto, TrainedDetector, load_detector
    from prepixel.runs.folded_classifier import FoldedClassifier, fold_pixel_model, fold_run, read_folded, write_folded
    from prepixel.runs.open_run import is_detector, is_segmenter, open_run, train_run
    from prepixel.runs.run_folder import RunFolder
    from prepixel.runs.run_store import fetch_run
    from prepixel.runs.segmenter import LabeledPhoto, TrainedSegmenter, load_segmenter
    from prepixel.runs.session import RunResult
    from prepixel.runs.train_classifier import run, scored_rows
    from prepixel.runs.train_detector import run_detection
    from prepixel.runs.train_segmenter import run_segmentation
    from prepixel.runtime.prediction import Prediction

__all__ = [
    "Agreement",
    "ChannelUse",
    "Classifier",
    "FoldedClassifier",
    "FoundInPhoto",
    "LabeledPhoto",
    "Prediction",
    "RunFolder",
    "RunResult",
    "TrainedDetector",
    "TrainedRun",
    "TrainedSegmenter",
    "fetch_run",
    "fold_pixel_model",
    "fold_run",
    "is_detector",
    "is_segmenter",
    "load_detector",
    "load_run",
    "load_segmenter",
    "measure_statistics",
    "measure_use",
    "open_run",
    "read_folded",
    "run",
    "run_detection",
    "run_segmentation",
    "scored_rows",
    "train_run",
    "write_folded",
]
