"""List which of timm's families of classifiers fold, to which form, and why the composed form is refused.

A family is the first word of a network's name within a module of timm. One small member of each, by its name and at
most 150 million weights, is built with random weights and folded over S-24 at its own input size. Folding compares its
result with the network that it started from, so what folds computes the same. ``-n`` limits the number of families.
The table is Markdown.

    python -m benchmarks.accuracy.timm_families
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import timm
import torch
from benchmarks.harness import table_arguments

from prepixel.errors import PrepixelError
from prepixel.models import fold

MAX_WEIGHTS = 150_000_000
# In a name, of the smallest variants first
SMALL_WORDS = ("zepto", "atto", "femto", "pico", "nano", "xxs", "xx", "xs", "tiny", "tn", "mini", "small", "s")


def main() -> None:
    """Print a row for each family as it is done."""
    n, write = table_arguments(__doc__, "families to try")
    write(
        f"| module of timm {timm.__version__} | family | member | input | result | why not composed |\n"
        "|---|---|---|---|---|---|"
    )
    for module, family, names in list(families())[:n]:
        name = min(names, key=size_by_name)
        write(f"| {module} | {family} | {name} | {' | '.join(try_to_fold(name))} |")


def families() -> Iterator[tuple[str, str, list[str]]]:
    """Yield each family's module, name and members; timm's networks for its own tests are left out."""
    for module in sorted(timm.list_modules()):
        members: dict[str, list[str]] = {}
        for name in timm.list_models(module=module):
            word = re.match(r"[a-z]+", name)
            if word and not name.startswith("test_"):
                members.setdefault(word[0], []).append(name)
        for family, names in members.items():
            yield module, family, names


def size_by_name(name: str) -> tuple[int, int, int, str]:
    """Return a key that puts small networks first: by words for sizes, then by the first number."""
    words = name.split("_")
    rank = next((place for place, word in enumerate(SMALL_WORDS) if word in words), len(SMALL_WORDS))
    number = re.search(r"\d+", name.partition("_")[0]) or re.search(r"\d+", name)
    return rank, int(number[0]) if number else 0, len(name), name


def try_to_fold(name: str) -> tuple[str, str, str]:
    """Return a network's input size, the form that it folds to, and the reason why the composed form is refused."""
    torch.manual_seed(0)
    try:
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in timm.create_model(name, pretrained=False).parameters())
    except Exception:  # a network that computes with its values while it is built
        count = 0
    if count > MAX_WEIGHTS:
        return "", f"not tried: {count / 1e6:.0f} million weights", ""
    try:
        network = timm.create_model(name, pretrained=False).eval()
    except Exception as error:  # a part of timm that needs another package
        return "", _one_cell(f"not tried: it cannot be built ({type(error).__name__}: {error})"), ""
    configuration = getattr(network, "pretrained_cfg", {})
    size = " x ".join(map(str, configuration.get("input_size", (3, 0, 0))[1:]))
    reason = ""
    try:
        fold(network, form="composed")
    except PrepixelError as error:
        reason = _one_cell(str(error))
    try:
        folded = fold(network)
    except PrepixelError as error:
        return size, _one_cell(f"refused: {error}"), reason
    return size, f"folds, {folded.settings.form}", reason


def _one_cell(text: str) -> str:
    """Return a text as it stands in a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()
