"""Fold every family of torchvision's classifiers from a file in the layout of torchvision's own weights.

The smallest network of each family gets random weights, which are saved as torchvision saves them: GoogLeNet and
Inception with the heads that only training uses, DenseNet by its older names. ``prepixel fold --weights FILE`` folds
each over S-24 and writes a file. The pixel network of that command must give the logits of the network whose weights
were saved, to the bit, and the file, read back, those of the folded network. ``-n`` limits the number of families,
small networks first. The table is Markdown; the exit status is 1 where a row is not "equal".

    python -m benchmarks.accuracy.weight_files
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torchvision
from benchmarks.harness import table_arguments

from prepixel.cli import main as prepixel
from prepixel.models import pixel_model
from prepixel.runs import fold_pixel_model, read_folded
from prepixel.spectrum import Spectrum

FAMILIES = (
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "mobilenet_v3_small",
    "mobilenet_v2",
    "regnet_y_400mf",
    "efficientnet_b0",
    "densenet121",
    "resnet18",
    "googlenet",
    "efficientnet_v2_s",
    "resnext50_32x4d",
    "inception_v3",
    "swin_t",
    "swin_v2_t",
    "convnext_tiny",
    "maxvit_t",
    "alexnet",
    "wide_resnet50_2",
    "vit_b_16",
    "vgg11",
    "vgg11_bn",
)
AUXILIARY = ("googlenet", "inception_v3")


def official(name: str) -> tuple[torch.nn.Module, OrderedDict[str, torch.Tensor]]:
    """Return a network with random weights, as its official weights would be used, and its state dict as saved."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"init_weights": False, "transform_input": True} if name in AUXILIARY else {}
    network = torchvision.models.get_model(name, weights=None, **options).eval()
    state = network.state_dict()
    if name == "densenet121":
        older = [
            (re.sub(r"(denselayer\d+\.(?:norm|conv))(\d\.)", r"\1.\2", key), value) for key, value in state.items()
        ]
        state = OrderedDict((key, value) for key, value in older if not key.endswith("num_batches_tracked"))
    return network, state


def check(name: str, folder: Path) -> str:
    """Return "equal", or what differs."""
    network, state = official(name)
    weights, written = folder / f"{name}.pth", folder / f"{name}.pt"
    torch.save(state, weights)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = prepixel(["fold", name, "--weights", str(weights), "--bands", "S-24", "-o", str(written)])
    if status != 0:
        return f"exit status {status}: {printed.getvalue().strip()}"
    model = pixel_model(name, weights=weights)
    folded = fold_pixel_model(name, weights=weights, bands="S-24").network
    weights.unlink()
    read = read_folded(written, device="cpu").network
    settings = read.settings
    pixels = torch.randn(1, 3, *settings.pixels)
    spectrum = Spectrum.of_coefficients(torch.randn(1, 24, *settings.grid) * 20, settings.bands)
    with torch.inference_mode():
        if not torch.equal(model.network(pixels), network(pixels)):
            return "the weights of the file are not all used"
        if not torch.equal(read(spectrum), folded(spectrum)):
            return "the file, read back, gives other answers"
    written.unlink()
    return "equal"


def main() -> int:
    """Print a row for each family as it is done."""
    n, write = table_arguments(__doc__, "families to try")
    write(f"| torchvision {torchvision.__version__} | answers |\n|---|---|")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in FAMILIES[:n]:
            result = check(name, Path(folder))
            wrong += result != "equal"
            write(f"| {name} | {result} |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
