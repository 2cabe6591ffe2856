"""Behind a complete image nothing may spoil it, and damage that libjpeg reads over is its own kind of error."""

from __future__ import annotations

import io
import pickle
import random

import numpy as np
import pytest
from PIL import Image

from prepixel import _native
from prepixel.errors import DamagedJpeg, JpegError, JpegLimitExceeded, MalformedJpeg, TruncatedJpeg
from prepixel.jpeg import Limits, bandlimit_jpeg, pack_jpeg, read_jpeg, read_pack, release_memory
from prepixel.jpeg.image import JpegImage


def coded(*, progressive: bool = False, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((64, 56)).convert(mode).save(file, "jpeg", progressive=progressive)
    return file.getvalue()


def same(a: JpegImage, b: JpegImage) -> bool:
    return all(np.array_equal(x.quantized, y.quantized) for x, y in zip(a.components, b.components, strict=True))


# Arithmetic, lossless and JPEG-LS frames, DHP, a second image, a reserved marker, a scan, tables, a cut segment.
TRAILERS = [
    bytes.fromhex(text)
    for text in ("ffc90020", "ffc30020", "fff70020", "ffde0020", "ffd8", "ff100020", "ffda000c", "ffc4ffff", "ffdb0043")
]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("trailer", TRAILERS, ids=[t.hex() for t in TRAILERS])
@pytest.mark.parametrize("between", [b"", b"junk"])
def test_keep_loses_nothing_of_a_complete_image_with_a_trailer(
    progressive: bool, trailer: bytes, between: bytes
) -> None:
    whole = coded(progressive=progressive)
    kept = read_jpeg(whole[:-2] + between + trailer + b"a" * 90, on_truncated="keep")
    assert same(kept, read_jpeg(whole))
    assert kept.missing_blocks == 0


@pytest.mark.parametrize("progressive", [False, True])
def test_keep_takes_a_complete_image_with_any_trailer(progressive: bool) -> None:
    whole = coded(progressive=progressive, mode="L")
    right = read_jpeg(whole)
    for seed in range(200):
        kept = read_jpeg(whole[:-2] + random.Random(seed).randbytes(20_000), on_truncated="keep")
        assert same(kept, right), seed
        assert kept.missing_blocks == 0, seed


def test_a_second_image_behind_a_complete_one_does_not_change_it() -> None:
    whole = coded(progressive=True)
    other = coded(progressive=True, mode="L")
    for tail in (other, other[2:], other[other.index(b"\xff\xda") :]):
        assert same(read_jpeg(whole[:-2] + tail, on_truncated="keep"), read_jpeg(whole))


def test_the_error_says_that_keep_loses_nothing() -> None:
    whole = coded()
    with pytest.raises(JpegError, match=r"read it with on_truncated=\"keep\", which loses nothing"):
        read_jpeg(whole[:-2] + b"junk\xff\xd8")
    with pytest.raises(JpegError) as caught:  # here it would lose something
        read_jpeg(whole[: len(whole) // 2])
    assert "loses nothing" not in str(caught.value)


def test_an_unsupported_frame_is_still_refused_in_front_of_the_image() -> None:
    whole = coded()
    arithmetic = whole.replace(b"\xff\xc0", b"\xff\xc9")
    with pytest.raises(JpegError, match="arithmetic-coded"):
        read_jpeg(arithmetic, on_truncated="keep")


def test_damage_that_libjpeg_reads_over_is_its_own_kind() -> None:
    whole = bytearray(coded())
    scan = whole.index(b"\xff\xda") + 14
    errors = []
    for seed in range(300):
        rng = random.Random(seed)
        damaged = bytearray(whole)
        damaged[rng.randrange(scan, len(whole) - 2)] = rng.randrange(255)
        try:
            read_jpeg(bytes(damaged))
        except MalformedJpeg as error:
            errors.append(error)
            Image.open(io.BytesIO(damaged)).load()  # libjpeg reads it
    kinds = {type(error) for error in errors}
    assert DamagedJpeg in kinds
    assert kinds <= {DamagedJpeg, TruncatedJpeg}
    assert {type(pickle.loads(pickle.dumps(error))) for error in errors} == kinds


def test_memory_limits_count_the_image_read_back() -> None:
    whole = coded()
    planes = sum(c.quantized.nbytes for c in read_jpeg(whole).components)
    read_jpeg(whole, limits=Limits(max_memory_bytes=planes))
    for write in (bandlimit_jpeg, pack_jpeg):
        with pytest.raises(JpegLimitExceeded, match="more than"):
            write(whole, (range(64),) * 3, limits=Limits(max_memory_bytes=2 * planes - 1))
    packed = pack_jpeg(whole, compression="none")
    with pytest.raises(JpegLimitExceeded, match="payload and planes"):
        read_pack(packed, limits=Limits(max_memory_bytes=planes + 1))


def test_kept_memory_is_released_on_request() -> None:
    photo = io.BytesIO()
    Image.linear_gradient("L").resize((512, 512)).save(photo, "jpeg")
    read_jpeg(photo.getvalue())
    assert _native.reusable_bytes() > 0
    release_memory()
    assert _native.reusable_bytes() == 0
