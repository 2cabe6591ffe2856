"""A small network with random weights, exported: what the tests of export, runtime and service share."""

from __future__ import annotations

import torch
from torch import nn

from prepixel.runs import FoldedClassifier, fold_pixel_model

CLASSES = ("cat", "dog", "ä, 'quoted'\n")


def build() -> nn.Module:
    torch.manual_seed(11)
    return nn.Sequential(
        nn.Conv2d(3, 7, 5, 2, 2), nn.BatchNorm2d(7), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(28, 3)
    )


def build_wide() -> nn.Module:
    """Return a network most of whose bytes are weights."""
    torch.manual_seed(12)
    layers = [
        nn.Conv2d(3, 32, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(32, 128, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(128, 256, 3, 2, 1),
    ]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def small_classifier() -> FoldedClassifier:
    """Fold a network of 40 x 56 pixels over S-6, with weights that are no library's."""
    return fold_pixel_model("own", build=build, bands="S-6", pixels=(40, 56), grid=(10, 14), classes=CLASSES, crop=0.8)
