"""The light install: reading, band-limiting, packing and their commands, where no package of an extra is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.small_photos import write_folder

from prepixel.optional import _EXTRAS, extras_for, missing_extra, require

# Python asks this list first; None in sys.modules is how it says that a module cannot be imported.
_BLOCK = f"import sys; sys.modules.update(dict.fromkeys({sorted(_EXTRAS)!r}))\n"
_COMMAND = "from prepixel.cli import main; sys.exit(main(sys.argv[1:]))"


def light(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python code without the packages of any extra."""
    return subprocess.run([sys.executable, "-c", _BLOCK + code, *words], capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", {})


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "{photos}/cat/a.jpg"],
        ["inspect", "{photos}/cat/a.jpg", "--json"],
        ["scan", "{photos}"],
        ["thin", "{photos}/cat/a.jpg", "{out}/a.jpg"],
        ["thin", "{photos}", "{out}/thin"],
        ["pack", "{photos}", "{out}/shards", "--bands", "S-24"],
        ["synthesize", "{out}/data", "--train", "3", "--val", "2"],
        ["env"],
        ["env", "--json"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_commands_that_read_and_write_need_no_extra(words: list[str], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = light(_COMMAND, *(word.format(photos=folder, out=tmp_path / "out") for word in words))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_functions_that_read_and_write_need_no_extra(folder: Path) -> None:
    code = """
import prepixel
from prepixel import BandSet
from prepixel.data import open_dataset, scan_folder
from prepixel.jpeg import bandlimit_jpeg, encode_jpeg, pack_jpeg, read_pack, read_sizes
file = open(sys.argv[1] + "/cat/a.jpg", "rb").read()
bands = BandSet.parse("S-24")
image = prepixel.read_jpeg(file)
assert (prepixel.read_image(encode_jpeg(image)).components[0].quantized == image.components[0].quantized).all()
assert prepixel.read_jpeg(bandlimit_jpeg(file, [bands.of_component(c) for c in range(3)])).height == 61
assert read_pack(pack_jpeg(file)).width == 83
assert len(open_dataset(sys.argv[1])) == 3 == scan_folder(sys.argv[1]).num_files
"""
    done = light(code, str(folder))
    assert (done.returncode, done.stderr) == (0, "")


def test_reading_a_jpeg_loads_neither_pillow_nor_zstandard(folder: Path) -> None:
    code = """
import prepixel
prepixel.read_jpeg(sys.argv[1])
loaded = {"PIL", "backports.zstd", "compression.zstd", "filelock"} & set(sys.modules)
assert not loaded, loaded
"""
    done = light(code, str(folder / "cat" / "a.jpg"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "import prepixel; prepixel.frequency_resnet",
            "prepixel.frequency_resnet needs the package torch; install it: pip install 'prepixel[train]'",
        ),
        (
            "from prepixel.data import SpectrumLoader",
            "prepixel.data.SpectrumLoader needs the package torch; install it: pip install 'prepixel[train]'",
        ),
        (
            "from prepixel.spectrum import Spectrum",
            "prepixel.spectrum.Spectrum needs the package torch; install it: pip install 'prepixel[train]'",
        ),
        (
            "from prepixel.reports import plot_curves",
            "prepixel.reports.plot_curves needs the package matplotlib; install it: pip install 'prepixel[plots]'",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_extra(code: str, says: str) -> None:
    done = light(code)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"prepixel.errors.MissingDependency: {says}"


ROOMS = ("data", "engine", "gates", "jpeg", "models", "recipes", "reports", "runs", "spectrum", "tasks", "transforms")


@pytest.mark.parametrize("room", ["models", "recipes", "runs", "tasks"])
def test_a_room_that_needs_an_extra_says_so(room: str) -> None:
    """However it is imported: by itself, one of its modules, or one of its names."""
    says = rf"prepixel\.errors\.MissingDependency: prepixel\.{room} needs the package \w+; install it: pip install"
    for code in ("import prepixel.{}", "import prepixel.{}.anything", "from prepixel.{} import anything"):
        done = light(code.format(room))
        assert done.returncode == 1
        assert re.match(says, done.stderr.splitlines()[-1])


def test_every_public_name_is_there_or_names_its_extra() -> None:
    code = """
import importlib
from prepixel.errors import MissingDependency

there = missing = 0
for room in sys.argv[1:]:
    try:
        names = importlib.import_module(f"prepixel.{room}").__all__
    except MissingDependency:
        continue
    for name in names:
        try:
            exec(f"from prepixel.{room} import {name}")
        except MissingDependency as error:
            assert str(error).startswith(f"prepixel.{room}.{name} needs the package "), error
            missing += 1
        else:
            there += 1
assert there > 40 and missing > 30, (there, missing)
"""
    done = light(code, *ROOMS)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_that_need_an_extra_say_so_in_one_line(tmp_path: Path) -> None:
    done = light(_COMMAND, "train", "recipes/demo_rgb.yaml", "--output", str(tmp_path / "run"))
    assert done.returncode == 2
    assert (
        done.stderr == "prepixel: prepixel train needs the package torch; install it: pip install 'prepixel[train]'\n"
    )


def test_other_failed_imports_are_not_taken_for_a_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), extras_for("this"):
        __import__("no_such_module")


def test_require_names_the_first_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "matplotlib"):  # whether they are or not
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    require("this", "torch", "matplotlib")
    monkeypatch.setitem(sys.modules, "timm", None)  # as good as not installed
    with pytest.raises(
        ImportError, match=r"this needs the package timm; install it: pip install 'prepixel\[pretrained\]'"
    ):
        require("this", "torch", "timm")
    assert (
        str(missing_extra("yaml", "a recipe"))
        == "a recipe needs the package pyyaml; install it: pip install 'prepixel[train]'"
    )
