"""The command `fold`."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

from prepixel.cli.console import print_pairs
from prepixel.errors import RecipeError
from prepixel.models import import_build_function
from prepixel.recipes import read_recipe
from prepixel.runs import FoldedClassifier, fold_pixel_model, fold_run, write_folded


def fold(options: argparse.Namespace) -> int:
    """Fold a pixel network into a network on coefficients, and write it to a file."""
    started = time.perf_counter()
    classifier = _fold_run(options) if Path(options.network).is_dir() else _fold_named(options)
    elapsed = time.perf_counter() - started
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_folded(classifier, options.output)
    network, settings = classifier.network, classifier.network.settings
    values = settings.bands.num_values(settings.grid)
    cost = network.cost
    print_pairs(
        [
            ("written", f"{options.output} ({options.output.stat().st_size / 1e6:.1f} MB), folded in {elapsed:.1f} s"),
            ("input", f"{settings.bands} on {settings.grid[0]} x {settings.grid[1]} blocks, {values:,} values"),
            (
                "stands for",
                f"{settings.pixels[0]} x {settings.pixels[1]} pixels, {3 * math.prod(settings.pixels):,} values",
            ),
            ("first layer", f"{settings.form}: {getattr(cost, settings.form) / 1e6:.1f} million multiply-adds"),
            ("the other form", f"{(cost.composed + cost.factored - getattr(cost, settings.form)) / 1e6:.1f} million"),
            ("on pixels", f"{cost.pixels / 1e6:.1f} million"),
        ]
    )
    return 0


def _fold_run(options: argparse.Namespace) -> FoldedClassifier:
    for name in ("weights", "pixels", "mean", "std", "classes"):
        if getattr(options, name) is not None:
            raise RecipeError(f"{options.network} is a run's folder, which says its own {name}; leave out --{name}")
    pixels = read_recipe(Path(options.network) / "recipe.yaml").input.pixels or (0, 0)
    return fold_run(options.network, grid=_grid(options, pixels), **_fold_options(options))


def _fold_named(options: argparse.Namespace) -> FoldedClassifier:
    pixels = (224, 224) if options.pixels is None else (options.pixels[0], options.pixels[-1])
    own = ".py:" in options.network  # typed by the user of this process
    return fold_pixel_model(
        options.network,
        build=import_build_function(options.network) if own else None,
        weights=options.weights,
        classes=None if options.classes is None else _class_names(options.classes),
        crop=options.crop_fraction,
        filter=options.filter,
        mean=options.mean,
        std=options.std,
        pixels=pixels,
        grid=_grid(options, pixels),
        **_fold_options(options),
    )


def _fold_options(options: argparse.Namespace) -> dict[str, Any]:
    return {"bands": options.bands, "reduction": options.reduction, "form": options.form}


def _grid(options: argparse.Namespace, pixels: tuple[int, int]) -> tuple[int, int]:
    """Take the grid asked for, or the smallest that holds at least twice the pixels a side."""
    if options.grid is not None:
        return options.grid[0], options.grid[-1]
    ratio = next(m for m in (2, 4, 8) if m == 8 or all(m * side % 8 == 0 for side in pixels))
    return ratio * pixels[0] // 8, ratio * pixels[1] // 8


def _class_names(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [str(name) for name in json.loads(text)] if path.suffix == ".json" else text.splitlines()
