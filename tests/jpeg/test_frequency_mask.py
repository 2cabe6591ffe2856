"""Reading chosen frequencies alone: what is kept is what the whole file holds, and everything else is zero."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.jpeg.small_files import by_cjpeg, pixels

from prepixel.errors import MalformedJpeg
from prepixel.jpeg import read_jpeg

KEPT = ([8 * v + u for v in range(4) for u in range(4)], [0, 1, 8, 9], [0, 2, 63])


@pytest.mark.parametrize("kept", [KEPT, ([0], [0], [0]), ([5, 62], [], [1]), ([], [], []), (range(64),) * 3])
def test_every_kind_of_file_keeps_what_is_asked_for(
    files: dict[str, bytes], kept: tuple[list[int], list[int], list[int]]
) -> None:
    for name, file in files.items():
        whole, chosen = read_jpeg(file), read_jpeg(file, bands=kept)
        union = sorted({index for of_component in kept for index in of_component})
        by_component = [union] * 4 if whole.color == "cmyk" else list(kept)
        for index, (before, after) in enumerate(zip(whole.components, chosen.components, strict=True)):
            expected = np.zeros_like(before.quantized).reshape(-1, 64)
            indices = list(by_component[index])
            expected[:, indices] = before.quantized.reshape(-1, 64)[:, indices]
            assert np.array_equal(after.quantized.reshape(-1, 64), expected), (name, index)
        assert chosen.missing_blocks == 0
        assert chosen.warnings == whole.warnings, name


def test_dense_blocks_keep_what_is_asked_for() -> None:
    noise = np.random.default_rng(7).integers(0, 256, (53, 47, 3), dtype=np.uint8)
    for quality in (60, 100):  # 100: coefficient 63 is set, codes and their bits are long
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "jpeg", quality=quality, subsampling=0)
        whole, chosen = read_jpeg(file.getvalue()), read_jpeg(file.getvalue(), bands=KEPT)
        for before, after, kept in zip(whole.components, chosen.components, KEPT, strict=True):
            mask = np.isin(np.arange(64), kept)
            assert np.array_equal(after.quantized.reshape(-1, 64), before.quantized.reshape(-1, 64) * mask)


def test_scans_without_a_kept_frequency_are_left_out() -> None:
    scans = "0,1,2: 0-0, 0, 0; 0: 1-5, 0, 1; 0: 6-63, 0, 0; 1: 1-63, 0, 0; 2: 1-63, 0, 0; 0: 1-5, 1, 0;"
    file = bytearray(by_cjpeg(scans=scans))
    third = [at for at in range(len(file)) if file[at : at + 2] == b"\xff\xda"][2]
    file[third + 20 : third + 48] = b"\xff\x00" * 14  # in the luma scan of 6 to 63: no code is all ones
    with pytest.raises(MalformedJpeg):
        read_jpeg(bytes(file))
    low = [0, 1, 8, 16, 9, 2]  # zigzag 0 to 5
    chosen, whole = read_jpeg(bytes(file), bands=(low, [], [])), read_jpeg(by_cjpeg(scans=scans))
    assert np.array_equal(
        chosen.components[0].quantized.reshape(-1, 64)[:, low], whole.components[0].quantized.reshape(-1, 64)[:, low]
    )


def test_damage_shows_in_frequencies_that_nobody_keeps() -> None:
    file = by_cjpeg()
    scan = file.index(b"\xff\xda")
    damaged = file[: scan + 200] + b"\xff\x00" * 40 + file[scan + 280 :]
    for bands in (None, ([0], [0], [0])):
        with pytest.raises(MalformedJpeg, match="Huffman code"):
            read_jpeg(damaged, bands=bands)


def test_a_cut_file_keeps_what_is_there_of_what_is_asked_for(files: dict[str, bytes]) -> None:
    file = files["baseline-420"]
    cut = file[: len(file) * 3 // 4]
    whole, chosen = (read_jpeg(cut, bands=bands, on_truncated="keep") for bands in (None, ([0], [0], [0])))
    assert whole.missing_blocks == chosen.missing_blocks > 0
    for before, after in zip(whole.components, chosen.components, strict=True):
        assert np.array_equal(before.quantized[..., 0, 0], after.quantized[..., 0, 0])
        assert not after.quantized.reshape(-1, 64)[:, 1:].any()


def test_a_band_outside_a_block_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r"Cb bands \[-1, 64\] are outside 0..63; give natural indices, 8 v \+ u"):
        read_jpeg(files["gray"], bands=([0], [64, 3, -1], [0]))


def test_large_photo_sizes_do_not_matter() -> None:
    picture = Image.fromarray(pixels(211, 307))
    for options in ({"subsampling": 2}, {"subsampling": 0, "progressive": True}):
        file = io.BytesIO()
        picture.save(file, "jpeg", quality=90, **options)
        whole, chosen = read_jpeg(file.getvalue()), read_jpeg(file.getvalue(), bands=KEPT)
        for before, after, kept in zip(whole.components, chosen.components, KEPT, strict=True):
            mask = np.isin(np.arange(64), kept)
            assert np.array_equal(after.quantized.reshape(-1, 64), before.quantized.reshape(-1, 64) * mask)
