"""Open the network that a command names: a run's folder or a folded file, on the device asked for."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from prepixel.cli.console import UNTRAINED as UNTRAINED
from prepixel.cli.own_network import allow_network_of_run
from prepixel.cli.parser import UsageError
from prepixel.engine import SettingsError, choose_device, disable_malloc_trim
from prepixel.models import import_build_function
from prepixel.runs import (
    Classifier,
    FoldedClassifier,
    TrainedDetector,
    TrainedRun,
    TrainedSegmenter,
    load_detector,
    load_run,
    load_segmenter,
    read_folded,
)


def open_classifier(options: argparse.Namespace, *, any_task: bool = False) -> Classifier:
    """Open a run's folder or a folded network's file.

    Args:
        options: of the command.
        any_task: whether the command takes networks that give labels or values, too.

    Raises:
        UsageError: there is no such device, or the network gives labels or values, and the command wants classes.
        PrepixelError: the run or the file cannot be read, or some weights are NaN or infinite.
    """
    disable_malloc_trim()
    device = device_of(options)
    build = getattr(options, "build", None)
    classifier: Classifier
    if not options.run_path.exists():
        raise UsageError(
            f"{options.run_path}: no such file or folder; give a run's folder, or a file that prepixel fold wrote"
        )
    if options.run_path.is_dir():
        allow_network_of_run(build, options.run_path)
        classifier = load_run(options.run_path, weights=options.weights, device=device)
    else:
        classifier = read_folded(
            options.run_path, device=device, build=None if build is None else import_build_function(build)
        )
    if classifier.answers != "classes" and not any_task:
        raise UsageError(
            f"{options.run_path}: gives each image {classifier.answers}, and this command is for networks that give it "
            "one class; evaluate and predict take both"
        )
    return classifier


def open_detector(options: argparse.Namespace, path: Path) -> TrainedDetector:
    """Open a detector's run; errors are those of `open_classifier`."""
    return load_detector(path, weights=options.weights, device=device_of(options))


def open_segmenter(options: argparse.Namespace, path: Path) -> TrainedSegmenter:
    """Open a segmenter's run; errors are those of `open_classifier`."""
    return load_segmenter(path, weights=options.weights, device=device_of(options))


def is_trained(classifier: Classifier) -> bool:
    """Return whether the network's weights come from training."""
    return not isinstance(classifier, FoldedClassifier) or classifier.trained


def describe_checkpoint(network: TrainedRun | TrainedDetector | TrainedSegmenter) -> str:
    """Return which of a run's checkpoints was loaded."""
    return f"{network.weights}, of step {network.position.step:,}"


def device_of(options: argparse.Namespace) -> torch.device:
    """Return the device that a command is to use, the accelerator or else the CPU where it does not say.

    Raises:
        UsageError: it is no device's name, or there is no such device.
    """
    try:
        device = choose_device(getattr(options, "device", "auto"))
    except SettingsError as error:
        raise UsageError(f"--{error}") from error
    if device.type == "meta":
        raise UsageError("--device is meta, which computes nothing; set it to auto or cpu")
    return device
