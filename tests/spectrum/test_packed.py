"""Spectra of packed images: bit for bit those of the JPEGs that hold the same frequencies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.jpeg.small_files import by_pillow, small_files
from tests.jpeg.test_bandlimit import S24
from tests.jpeg.test_packed import steep

from prepixel.errors import JpegLimitExceeded, MalformedPack
from prepixel.jpeg import Limits, bandlimit_jpeg, pack_jpeg, read_pack
from prepixel.jpeg.packed import ALL_BANDS, Compression
from prepixel.spectrum import BandSet, read_spectra
from prepixel.spectrum.native import spectrum_of

BANDS = BandSet.parse("S-24")
# whole, inside, a sliver of blocks, one pixel, and a whole column at the right edge
BOXES = [(0, 0, 41, 59), (3.5, 8, 29, 40.25), (16, 0, 8, 59), (40, 58, 1, 1), (0, 56, 41, 3)]
GRIDS = [(2, 3), (11, 13)]


def files() -> dict[str, bytes]:
    """Give every kind of file that has YCbCr coefficients, and the eight orientations."""
    kinds = {name: file for name, file in small_files().items() if name != "cmyk"}
    exif = {f"orientation {k}": by_pillow(subsampling=2, exif=b"Exif\0\0" + orientation(k)) for k in range(2, 9)}
    large = steep([7] * 12 + [1200], 59, 41)  # values beyond int8, of every coding; turned by orientation 6
    return kinds | exif | {"rgb": by_pillow(keep_rgb=True), "large": large, "larger": steep([-1024, 1023], 59, 41)}


def orientation(number: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, number, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("kept", [S24, ALL_BANDS], ids=["S-24", "all"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_any_view_of_any_kind_is_the_same(dtype: torch.dtype, kept: object, compression: Compression) -> None:
    for bands in (BANDS, BandSet.parse("S-64")):
        scale = None if dtype == torch.float32 else torch.linspace(0.7, 9.1, len(bands))
        for name, file in files().items():
            jpeg = bandlimit_jpeg(file, kept) if kept is S24 else file  # type: ignore[arg-type]
            packed = pack_jpeg(file, kept, compression=compression)  # type: ignore[arg-type]
            turned = name in {f"orientation {k}" for k in (5, 6, 7, 8)}
            boxes = np.array([(b[1], b[0], b[3], b[2]) if turned else b for b in BOXES], dtype=np.float64)
            flips = np.array([False, True, False, True, True])
            for grid in GRIDS:
                by_jpeg, by_pack = (
                    read_spectra(
                        [source] * 5,
                        grid=grid,
                        bands=bands,
                        boxes=boxes,
                        flips=flips,
                        dtype=dtype,
                        unit=scale,
                        filter="bicubic" if grid == (2, 3) else "bilinear",
                        threads=1,
                    ).spectrum.values
                    for source in (jpeg, packed)
                )
                assert torch.equal(by_jpeg, by_pack), (name, grid, bands)


@pytest.mark.data
@pytest.mark.parametrize("kept", [S24, ALL_BANDS], ids=["S-24", "all"])
def test_crops_of_photos_are_the_same_by_any_number_of_threads(photos: Path, kept: object) -> None:
    found = sorted((photos / "imagenet_samples").rglob("*.JPEG"))
    chosen = found[:: max(1, len(found) // 23)][:23]
    originals = [path.read_bytes() for path in chosen]
    jpegs = [bandlimit_jpeg(file, kept) if kept is S24 else file for file in originals]  # type: ignore[arg-type]
    packed = [pack_jpeg(file, kept, compression=("zstd", "none")[i % 2]) for i, file in enumerate(originals)]  # type: ignore[arg-type, index]
    rng = np.random.default_rng(23)
    boxes = np.stack(
        [rng.uniform(0, 40, 23), rng.uniform(0, 40, 23), rng.uniform(20, 60, 23), rng.uniform(20, 60, 23)], 1
    )
    flips = rng.random(23) < 0.5
    unit = torch.full((len(BANDS),), 3.7)
    options = {"grid": (28, 29), "bands": BANDS, "boxes": boxes, "flips": flips, "dtype": torch.int8, "unit": unit}
    expected = read_spectra(jpegs, **options, threads=1).spectrum.values  # type: ignore[arg-type]
    for threads in (1, 2, 8):
        assert torch.equal(read_spectra(packed, **options, threads=threads).spectrum.values, expected)  # type: ignore[arg-type]
    whole = {"grid": (56, 56), "bands": BANDS, "threads": 1}
    assert torch.equal(
        read_spectra(packed, **whole).spectrum.values,
        read_spectra(jpegs, **whole).spectrum.values,  # type: ignore[arg-type]
    )


def test_in_its_own_bands_and_grid_a_pack_is_the_whole_jpeg() -> None:
    file = by_pillow(subsampling=0)
    # 41 x 59 is no whole number of blocks: the box is that of the whole ones
    boxes = np.array([[0.0, 0.0, 40.0, 56.0]])
    options = {"grid": (5, 7), "bands": BANDS, "boxes": boxes}
    by_jpeg = read_spectra([file], **options).spectrum.values  # type: ignore[arg-type]
    by_pack = read_spectra([pack_jpeg(file, S24)], **options).spectrum.values  # type: ignore[arg-type]
    assert torch.allclose(by_jpeg, by_pack, atol=1e-4 * float(by_jpeg.abs().max()))
    shifted = {**options, "boxes": np.array([[0.0, 3.0, 40.0, 56.0]])}
    assert not torch.allclose(
        read_spectra([file], **shifted).spectrum.values,  # type: ignore[arg-type]
        read_spectra([pack_jpeg(file, S24)], **shifted).spectrum.values,  # type: ignore[arg-type]
        atol=1.0,
    )


def test_bad_packs_are_reported_one_by_one(tmp_path: Path) -> None:
    good = pack_jpeg(by_pillow())
    cut, wrong = good[:-3], good[:60] + bytes([good[60] ^ 4]) + good[61:]
    (tmp_path / "a.ppx").write_bytes(good)
    sources = [cut, good, wrong, tmp_path / "a.ppx", tmp_path / "none.ppx"]
    read = read_spectra(sources, grid=(3, 5), bands=BANDS, on_error="skip", threads=1)
    assert read.kept.tolist() == [1, 3]
    assert torch.equal(read.spectrum.values[0], read.spectrum.values[1])
    assert [failure.index for failure in read.failures] == [0, 2, 4]
    assert isinstance(read.failures[0].error, MalformedPack)
    assert str(read.failures[1].error).startswith(f"source 2, buffer of {len(good)} bytes, byte 16: the checksum")
    assert isinstance(read.failures[2].error, FileNotFoundError)
    with pytest.raises(MalformedPack, match=r"source 0, buffer of \d+ bytes, byte \d+: the packed image should have"):
        read_spectra(sources, grid=(3, 5), bands=BANDS)
    with pytest.raises(JpegLimitExceeded, match="41 x 59 pixels are more than the limit of 2000"):
        read_spectra([good], grid=(3, 5), bands=BANDS, limits=Limits(max_pixels=2000))
    with pytest.raises(ValueError, match="outside the upright image of 41 x 59"):
        read_spectra([good], grid=(3, 5), bands=BANDS, boxes=np.array([[0.0, 0.0, 42.0, 59.0]]))


def test_a_decoded_pack_gives_the_same_by_the_planes() -> None:
    packed = pack_jpeg(by_pillow(subsampling=2), S24)
    expected = read_spectra([packed], grid=(5, 7), bands=BANDS).spectrum.values
    assert torch.equal(spectrum_of(read_pack(packed), grid=(5, 7), bands=BANDS).values, expected)
