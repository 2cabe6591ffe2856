"""Small recipes of classifiers, for tests."""

from __future__ import annotations

from prepixel.recipes import Recipe, parse_recipe

SMALL = """
data: {train: photos/train, val: photos/val, batch_size: 11}
input: {kind: spectrum, bands: S-24, grid: [3, 5]}
"""


PIXELS_INPUT = {"kind": "rgb", "pixels": 3, "bands": None, "grid": None}


PIXELS = """
data: {train: photos/train}
input: {kind: rgb, pixels: [23, 31]}
"""


def parse(text: str, *overrides: str) -> Recipe:
    return parse_recipe(text, source="small.yaml", overrides=overrides, name="small")
