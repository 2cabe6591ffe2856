"""What somebody tries in Python on the first day, and the error that answers: it says what is wrong and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.small_photos import jpeg

# Without the hook that checks annotations in tests: users do not have it.
PROGRAM = """
import numpy as np, torch, prepixel
from torch import nn
from prepixel import fold, read_spectra, transforms
from prepixel.data import SpectrumFolder
from prepixel.runs import measure_statistics

folder, photo = {folder!r}, {photo!r}
network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
folded = fold(network, pixels=224, grid=28)
two = read_spectra([photo, photo], grid=(3, 5), bands="S-6").spectrum
crop = transforms.RandomResizedCrop(224)
tries = {{
    "grid of a folder": lambda: SpectrumFolder(folder, bands="S-24", grid=28),
    "grid of a call": lambda: read_spectra([photo], grid=28, bands="S-24"),
    "grid of fold": lambda: fold(network, pixels=224, grid=28.5),
    "a picture": lambda: read_spectra([photo, object()], grid=(3, 5), bands="S-24"),
    "a name": lambda: fold("resnet18"),
    "a function": lambda: fold(print),
    "twice": lambda: fold(folded, pixels=224, grid=28),
    "statistics of a path": lambda: measure_statistics(folder, grid=(3, 5), bands="S-24"),
    "a crop on batches": lambda: transforms.Compose([crop]),
    "a crop in a choice": lambda: transforms.RandomChoice([crop]),
    "labels": lambda: transforms.MixUp(0.2, num_classes=2)(two, torch.tensor([1, 2])),
    "index": lambda: two[2],
    "array": lambda: np.asarray(two),
    "attribute": lambda: two.permute(0, 2, 3, 1),
    "own attribute": lambda: two.nothing,
    "rooms": lambda: print("rooms:", prepixel.transforms.MixUp.__name__, prepixel.data.FolderDataset.__name__),
    "last image": lambda: print("last:", len(two[-1]), len(list(two))),
}}
for name, attempt in tries.items():
    try:
        attempt()
    except Exception as error:
        print(f"{{name}}: {{type(error).__name__}}: {{error}}")
"""
ANSWERS = {
    "grid of a folder": "TypeError: grid is 28; give blocks down and across, such as (28, 28) for 224 x 224 pixels",
    "grid of a call": "TypeError: grid is 28; give blocks down and across, such as (28, 28) for 224 x 224 pixels",
    "grid of fold": "TypeError: grid is 28.5; give one whole number for both sides, or two: (down, across)",
    "a picture": "TypeError: source 1 is a object; give a path, a file's bytes, or an open binary file",
    "a name": (
        "TypeError: network is a str; give a torch.nn.Module; for one by name, prepixel.pixel_model('resnet18').network"
    ),
    "a function": "TypeError: network is a builtin_function_or_method; give a torch.nn.Module",
    "twice": "CannotFold: the network takes spectra already, of S-24: use it as it is",
    "statistics of a path": (
        "TypeError: files is a str; give a data set of image files, such as prepixel.data.open_dataset(folder)"
    ),
    "a crop on batches": (
        "TypeError: RandomResizedCrop(size=224, scale=(0.08, 1.0), ratio=(0.75, 1.3333333333333333)) does not change "
        "batches of spectra, which Compose is for; geometric transforms of this package are drawn before reading: "
        "transform= of SpectrumFolder and the others, several by ComposeCrops"
    ),
    "a crop in a choice": "TypeError: RandomResizedCrop(",
    "labels": "ValueError: MixUp: labels are 1 to 2, and num_classes is 2; labels count from 0",
    "index": "IndexError: there is no image 2 in a Spectrum of 2",
    "array": "TypeError: a Spectrum is no array: take spectrum.values.numpy(), or read_arrays in place of read_spectra",
    "attribute": (
        "AttributeError: a Spectrum is no tensor and has no 'permute': networks on pixels take it once they are folded "
        "(prepixel.fold); for computations of your own take its values: spectrum.values.permute"
    ),
    "own attribute": "AttributeError: 'Spectrum' object has no attribute 'nothing'",
    "rooms": " MixUp FolderDataset",
    "last": " 1 2",
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("photos")
    photo = Path(folder, "cat", "a.jpg")
    photo.parent.mkdir()
    photo.write_bytes(jpeg(40, 56))
    program = PROGRAM.format(folder=str(folder), photo=str(photo))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.partition(":") for line in done.stdout.splitlines()]
    return {name: text for name, _, text in lines}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_says_what_to_do(name: str, printed: dict[str, str]) -> None:
    assert printed[name].strip().startswith(ANSWERS[name].strip())
