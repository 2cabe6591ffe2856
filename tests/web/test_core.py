"""The core in WebAssembly, run by Node, gives the integers of the Python module, and refuses with its words."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.jpeg.small_files import small_files

from prepixel.errors import JpegError
from prepixel.jpeg import JpegImage, read_jpeg
from prepixel.jpeg.source import Limits
from prepixel.spectrum import BandSet
from prepixel.spectrum.arrays import read_arrays
from prepixel.transforms.crop_draws import center_box

HERE = Path(__file__).resolve().parent
GRID = (13, 11)
FRACTION = 0.875
BANDS = BandSet.parse("192")
UNIT = np.linspace(2.0, 9.0, len(BANDS)).astype(np.float32)
SHIFT = np.linspace(-20.0, 20.0, len(BANDS)).astype(np.float32)
_CMYK = (
    "a CMYK or YCCK image has no YCbCr coefficients, and no linear map leads to them. "
    "Read it by prepixel.jpeg.read_image, which converts its pixels"
)
_NO_YCBCR = {
    "cmyk": _CMYK,
    "ycck": _CMYK,
    "unknown": "an image of 2 components has no colors that any convention names. "
    "Use its components one by one, by resample_plane",
}
LIMITS = Limits(max_memory_bytes=2**30)  # native/wasm/photo.cpp


@dataclass(frozen=True)
class Answer:
    """What Node says about one photo."""

    described: dict[str, Any]
    raw: bytes

    def planes(self) -> list[npt.NDArray[np.int16]]:
        """Return the quantized coefficients of each component."""
        shapes = [(one["blocksDown"], one["blocksAcross"], 8, 8) for one in self.described["components"]]
        parts, at = [], 0
        for shape in shapes:
            parts.append(np.frombuffer(self.raw, np.int16, int(np.prod(shape)), at).reshape(shape))
            at += parts[-1].nbytes
        return parts

    def values(self, dtype: str) -> npt.NDArray[Any]:
        """Return the resampled crop: int8 bilinear, or float32 bicubic, which stands last."""
        count = len(BANDS) * GRID[0] * GRID[1]
        shape = (len(BANDS), *GRID)
        if dtype == "float32":
            return np.frombuffer(self.raw[-4 * count :], np.float32).reshape(shape)
        return np.frombuffer(self.raw[-5 * count : -4 * count], np.int8).reshape(shape)


def _read_in_node(core_folder: Path, folder: Path, photos: list[Path]) -> list[Answer]:
    request = folder / "request.json"
    given = {"grid": GRID, "channels": BANDS.channels, "shift": SHIFT.tolist(), "unit": UNIT.tolist()}
    request.write_text(json.dumps({**given, "crop_fraction": FRACTION}), encoding="utf-8")
    command = ["node", HERE / "read_photos.mjs", core_folder, request, folder, *photos]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [
        Answer(
            json.loads((folder / f"{index}.json").read_text(encoding="utf-8")), (folder / f"{index}.bin").read_bytes()
        )
        for index in range(len(photos))
    ]


def _read_here(path: Path) -> JpegImage | JpegError:
    try:
        return read_jpeg(path, limits=LIMITS)
    except JpegError as error:
        return error


def _assert_same(path: Path, answer: Answer) -> bool:
    """Compare with the Python module; return whether the file was read."""
    image = _read_here(path)
    described = answer.described
    if isinstance(image, JpegError):
        image.source = None
        assert described["error"]["message"] == str(image), path.name
        return False
    if image.color in _NO_YCBCR:
        assert described["error"] == {"kind": "unsupported", "message": _NO_YCBCR[image.color]}, path.name
        return False
    assert "error" not in described, (path.name, described["error"])
    for field in ("color", "process", "orientation"):
        assert described[field] == getattr(image, field), (path.name, field)
    for ours, theirs, told in zip(image.components, answer.planes(), described["components"], strict=True):
        assert np.array_equal(ours.quantized, theirs), path.name
        assert ours.quantization.ravel().tolist() == told["quantization"], path.name
    height, width = described["height"], described["width"]
    box = center_box(height, width, FRACTION)
    boxes = np.array([[box.top, box.left, box.height, box.width]])
    for dtype, filter_name in (("int8", "bilinear"), ("float32", "bicubic")):
        read = read_arrays(
            [path], grid=GRID, bands=BANDS, boxes=boxes, dtype=dtype, filter=filter_name, shift=SHIFT, unit=UNIT,
            indexes=None,
        )  # fmt: skip
        assert np.array_equal(read.values[0], answer.values(dtype)), (path.name, dtype)
    return True


def test_small_files_of_every_kind(core_folder: Path, tmp_path: Path) -> None:
    paths = []
    for name, contents in small_files().items():
        paths.append(tmp_path / f"{name}.jpg")
        paths[-1].write_bytes(contents)
    answers = _read_in_node(core_folder, tmp_path, paths)
    read = [path.stem for path, answer in zip(paths, answers, strict=True) if _assert_same(path, answer)]
    assert len(read) == len(paths) - 1  # all but cmyk
    assert "cmyk" not in read


@pytest.mark.parametrize("kind", ["baseline-420", "progressive"])
def test_files_truncated_at_every_byte(core_folder: Path, tmp_path: Path, kind: str) -> None:
    whole = small_files()[kind]
    paths = []
    for size in range(len(whole)):
        paths.append(tmp_path / f"{size:05}.jpg")
        paths[-1].write_bytes(whole[:size])
    answers = _read_in_node(core_folder, tmp_path, paths)
    read = [path.stem for path, answer in zip(paths, answers, strict=True) if _assert_same(path, answer)]
    assert len(read) <= 2  # those that lack but the end marker


def test_the_centered_box_is_the_library_s(core_folder: Path) -> None:
    sides = [1, 2, 3, 12, 20, 36, 53, 76, 101, 224, 401, 467, 500]  # 12, 20, 36 ... end in a half at 7 / 8
    asked = [
        (h, w, fraction, aspect) for h in sides for w in sides for fraction in (0.875, 1.0) for aspect in (1.0, 1.5)
    ]
    script = (
        f"import {{ centerBox }} from {json.dumps((core_folder / 'geometry.js').as_uri())};"
        f"console.log(JSON.stringify({json.dumps(asked)}.map((one) => centerBox(...one))));"
    )
    done = subprocess.run(["node", "--input-type=module"], input=script, capture_output=True, text=True, check=True)
    for given, box in zip(asked, json.loads(done.stdout), strict=True):
        height, width, fraction, aspect = given
        expected = center_box(height, width, fraction, aspect=aspect)
        assert box == {side: getattr(expected, side) for side in ("top", "left", "height", "width")}, given


@pytest.mark.data
def test_photos(core_folder: Path, tmp_path: Path, photos: Path) -> None:
    paths = sorted((photos / "imagenet_samples").glob("*.*"))
    answers = _read_in_node(core_folder, tmp_path, paths)
    read = [_assert_same(path, answer) for path, answer in zip(paths, answers, strict=True)]
    assert sum(read) > 150


@pytest.mark.data
def test_files_of_other_projects_tests(core_folder: Path, tmp_path: Path, photos: Path) -> None:
    paths = sorted(path for path in (photos / "jpeg_corpus").rglob("*.jp*g") if path.stat().st_size < 4 << 20)
    answers = _read_in_node(core_folder, tmp_path, paths)
    read = [_assert_same(path, answer) for path, answer in zip(paths, answers, strict=True)]
    assert {"baseline", "progressive"} <= {answer.described.get("process") for answer in answers}
    assert sum(read) > 200
    assert len(read) - sum(read) > 50
