"""Cut at every byte, corrupted at random, bombs: an error or a partial image, no crash, bounded memory and work."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.jpeg.by_hand import entropy, frame, huffman, joined, quantization, scan
from tests.jpeg.small_files import main as write_small_files
from tests.jpeg.small_files import small_files

from prepixel.errors import JpegError, JpegLimitExceeded, MalformedJpeg, TruncatedJpeg
from prepixel.jpeg import JpegImage, Limits, read_jpeg

KINDS = sorted(small_files())
ROOT = Path(__file__).resolve().parents[2]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def num_blocks(image: JpegImage) -> int:
    return sum(c.quantized.shape[0] * c.quantized.shape[1] for c in image.components)


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_at_every_byte_raises_or_loses_nothing(kind: str, files: dict[str, bytes]) -> None:
    whole = read_jpeg(files[kind])
    accepted = 0
    for size in range(len(files[kind])):
        try:
            image = read_jpeg(files[kind][:size])
        except TruncatedJpeg as caught:
            error = caught
        else:
            error = None
        if error is not None:
            assert error.byte_offset in range(size + 1)
            assert str(error).startswith(f"buffer of {size} bytes, byte {error.byte_offset}: ")
            continue
        accepted += 1
        assert any("EOI is missing" in warning for warning in image.warnings)
        for ours, complete in zip(image.components, whole.components, strict=True):
            assert np.array_equal(ours.quantized, complete.quantized)
    # EOI's two bytes may be missing, and before them a DNL that nobody waits for but the header; or, behind either byte
    # of a marker or in front of it, what says again what is known.
    assert accepted <= (8 if kind == "progressive-dc-again" else 2)


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_at_every_byte_keeps_what_is_there_and_counts_the_rest(kind: str, files: dict[str, bytes]) -> None:
    whole = read_jpeg(files[kind])
    blocks = [c.quantized.reshape(-1, 64) for c in whole.components]
    exact = whole.process != "progressive" and all(plane.any(axis=1).all() for plane in blocks)
    assert exact == (not kind.startswith("progressive") and kind != "sixteen-bit-tables")
    before = num_blocks(whole)
    seen = set()
    for size in range(len(files[kind])):
        try:
            image = read_jpeg(files[kind][:size], on_truncated="keep")
        except TruncatedJpeg:
            assert before == num_blocks(whole), "once a block is there, more bytes do not lose it"
            continue
        assert image.missing_blocks <= before
        before = image.missing_blocks
        seen.add(image.missing_blocks)
        assert image.warnings
        zero = 0
        for ours, complete in zip(image.components, blocks, strict=True):
            kept = ours.quantized.reshape(-1, 64)
            zero += int((~kept.any(axis=1)).sum())
            if exact:
                assert ((kept == complete).all(axis=1) | ~kept.any(axis=1)).all(), "a block is the file's or zero"
        if exact:
            assert image.missing_blocks == zero
    assert before == 0
    # Without its DNL a file has no height, so nothing can be kept of it.
    assert len(seen) > 10 or (kind == "height-by-dnl" and seen == {0})


def corrupted(file: bytes, rng: random.Random) -> bytes:
    data = bytearray(file)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        action = rng.randrange(6)
        if action == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            data[at] = rng.randrange(256)
        elif action == 2:
            data[at] = 0xFF
        elif action == 3:
            del data[at : at + rng.randint(1, 20)]
        elif action == 4:
            data[at:at] = data[(start := rng.randrange(len(data))) : start + rng.randint(1, 20)]
        else:
            data[at:at] = bytes([0xFF, rng.randrange(0xC0, 0x100)])
        if not data:
            break
    return bytes(data)


def test_ten_thousand_corruptions_return_or_raise_in_bounded_memory(
    files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(20020)
    contents = list(files.values())
    start = resident_bytes()
    outcomes = {"image": 0, "partial": 0, "error": 0}
    for i in range(10_000):
        file = corrupted(contents[i % len(contents)], rng)
        keep = i // len(contents) % 2 == 1
        try:
            image = read_jpeg(file, on_truncated="keep" if keep else "raise")
        except JpegError:
            outcomes["error"] += 1
            continue
        outcomes["partial" if image.missing_blocks else "image"] += 1
        assert keep or image.missing_blocks == 0
        assert image.missing_blocks < num_blocks(image)
        for c in image.components:
            assert c.quantized.shape == (-(-c.height // 8), -(-c.width // 8), 8, 8)
    assert min(outcomes.values()) > 500
    grown = resident_bytes() - start
    with capsys.disabled():
        print(f"\n10,000 corruptions: {outcomes}, {grown / 2**20:.1f} MiB grown")
    assert grown < 2**27


def test_a_damaged_interval_is_lost_alone(files: dict[str, bytes]) -> None:
    """Between restart markers, damage loses its own interval and no other."""
    file = files["restart"]
    whole = read_jpeg(file)
    third = file.index(b"\xff\xd2")
    fourth = file.index(b"\xff\xd3")
    image = read_jpeg(file[: third + 2] + b"\xfe" * 30 + file[fourth:], on_truncated="keep")
    with pytest.raises(MalformedJpeg, match="a run of zeros passes the band's last coefficient in scan 1"):
        read_jpeg(file[: third + 2] + b"\xfe" * 30 + file[fourth:])
    lost_mcus = whole.restart_interval
    assert 0 < image.missing_blocks <= lost_mcus * 4
    assert_lost(image, whole, image.missing_blocks)


@pytest.mark.parametrize("lost", [1, 2])
def test_lost_intervals_are_found_by_the_next_markers_number(lost: int, files: dict[str, bytes]) -> None:
    file = files["restart"]
    whole = read_jpeg(file)
    # The interval that ends at RST1 is there; those that begin there are gone, with the marker before each.
    cut = file[: file.index(b"\xff\xd2")] + file[file.index(bytes([0xFF, 0xD2 + lost])) :]
    with pytest.raises(MalformedJpeg, match=f"RST2 must stand here, not RST{2 + lost}"):
        read_jpeg(cut)
    image = read_jpeg(cut, on_truncated="keep")
    assert image.missing_blocks == lost * whole.restart_interval * 4
    assert_lost(image, whole, image.missing_blocks)


def test_a_restart_marker_twice_is_skipped(files: dict[str, bytes]) -> None:
    file = files["restart"]
    at, end = file.index(b"\xff\xd2"), file.index(b"\xff\xd3")
    image = read_jpeg(file[:end] + file[at:end] + file[end:], on_truncated="keep")
    assert image.missing_blocks == 0
    assert_lost(image, read_jpeg(file), 0)


def assert_lost(image: JpegImage, whole: JpegImage, num_lost: int) -> None:
    different = 0
    for ours, complete in zip(image.components, whole.components, strict=True):
        kept, true = ours.quantized.reshape(-1, 64), complete.quantized.reshape(-1, 64)
        wrong = (kept != true).any(axis=1)
        assert not kept[wrong].any()
        different += int(wrong.sum())
    assert different == num_lost


def test_damage_in_a_progressive_scan_spoils_only_what_refines_it(files: dict[str, bytes]) -> None:
    file = files["progressive"]
    scans = [at for at in range(len(file)) if file[at : at + 2] == b"\xff\xda"]
    assert len(scans) == 10
    spectral = [file[at + 2 + file[at + 3] - 3 : at + 2 + file[at + 3]] for at in scans]
    luma_first = next(i for i, (start, end, bits) in enumerate(spectral) if (start, end, bits) == (1, 5, 2))
    at = scans[luma_first] + 2 + file[scans[luma_first] + 3]
    # Behind the first bytes of the scan, what remains of it is gone: later scans stand where they stood.
    damaged = file[: at + 4] + file[file.index(b"\xff\xc4", at) :]
    image, whole = read_jpeg(damaged, on_truncated="keep"), read_jpeg(file)
    assert image.missing_blocks == 0
    assert image.num_scans == 10
    assert any("refines damaged coefficients is left out" in warning for warning in image.warnings)
    for component in (1, 2):
        assert np.array_equal(image.components[component].quantized, whole.components[component].quantized)
    assert np.array_equal(image.components[0].quantized[..., 0, 0], whole.components[0].quantized[..., 0, 0])
    assert not np.array_equal(image.components[0].quantized, whole.components[0].quantized)


def test_a_progressive_file_cut_between_scans_says_so(files: dict[str, bytes]) -> None:
    file = files["progressive"]
    last_scan = file.rindex(b"\xff\xc4")
    image = read_jpeg(file[:last_scan], on_truncated="keep")
    assert image.missing_blocks == 0
    assert image.warnings == (
        f"byte {last_scan}: the progressive file ends without EOI before its last bits are coded",
    )
    with pytest.raises(TruncatedJpeg, match="the progressive file ends without EOI before its last bits are coded"):
        read_jpeg(file[:last_scan])


def test_a_hundred_bytes_allocate_no_gigabytes() -> None:
    """In a process of its own: how much of an allocation is resident depends on what was freed before."""
    code = "from tests.jpeg.test_hostile import read_a_hundred_bytes; read_a_hundred_bytes()"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def read_a_hundred_bytes() -> None:
    def file(height: int, width: int) -> bytes:
        return joined(quantization(), frame(height, width), scan(), entropy("001010"))

    assert len(file(65500, 65500)) < 120
    start = resident_bytes()
    with pytest.raises(
        JpegLimitExceeded, match=r"image of 65500 x 65500 pixels, more than 268435456.*Raise Limits\.max_pixels"
    ):
        read_jpeg(file(65500, 65500))
    with pytest.raises(
        TruncatedJpeg, match="an image of 4192256 blocks cannot be in the 3 bytes that follow its header"
    ):
        read_jpeg(file(16376, 16384))
    image = read_jpeg(file(16376, 16384), on_truncated="keep")
    assert image.missing_blocks == 4192256 - 1
    assert image.components[0].quantized.nbytes == 4192256 * 128
    assert resident_bytes() - start < 2**24


def test_limits_hold_under_keep_too(files: dict[str, bytes]) -> None:
    for on_truncated in ("raise", "keep"):
        for limits, text in (
            (Limits(max_pixels=41 * 59 - 1), "image of 41 x 59 pixels, more than 2418"),
            (Limits(max_memory_bytes=72 * 136 - 1), "coefficients of 9792 bytes, more than 9791"),  # a mask per block
            (Limits(max_scans=9), r"more than 9 scans\. Raise Limits\.max_scans"),
        ):
            with pytest.raises(JpegLimitExceeded, match=text):
                read_jpeg(files["progressive"], limits=limits, on_truncated=on_truncated)  # type: ignore[arg-type]
    exact = Limits(max_pixels=41 * 59, max_memory_bytes=72 * 136, max_scans=10)
    assert read_jpeg(files["progressive"], limits=exact).num_scans == 10


def test_a_bomb_of_empty_scans_is_stopped_by_its_work() -> None:
    """A few bytes a scan say "nothing here" for thirty thousand blocks; 63 bands of 13 bits make 800 such scans."""
    height = width = 1024
    limits = Limits(max_pixels=height * width)
    one_code = (1,) + (0,) * 15
    nothing = "0" + "1" * 14  # EOB14: 32,767 blocks end here
    head = [
        quantization(),
        frame(height, width, marker=0xC2),
        huffman(0, 0, one_code, b"\0"),
        huffman(1, 0, one_code, b"\xe0"),
    ]
    dc = [scan(end=0), entropy("0" * (height * width // 64))]
    bands = [part for k in range(1, 64) for part in (scan(start=k, end=k, low=1), entropy(nothing))]
    finer = [part for k in range(1, 64) for part in (scan(start=k, end=k, high=1), entropy(nothing))]
    assert read_jpeg(joined(*head, *dc, *bands[: 2 * 60]), limits=limits).num_scans == 61
    with pytest.raises(
        JpegLimitExceeded, match="visit 1064960 blocks, more than 1048576: far more work than the image is worth"
    ):
        read_jpeg(joined(*head, *dc, *bands, *finer), limits=limits)
    roomy = Limits(max_pixels=4 * height * width)
    assert read_jpeg(joined(*head, *dc, *bands, *finer), limits=roomy).num_scans == 127


def test_small_files_are_written_for_the_native_program(tmp_path: Path, files: dict[str, bytes]) -> None:
    write_small_files(str(tmp_path / "small"))
    written = {path.stem: path.read_bytes() for path in (tmp_path / "small").iterdir()}
    assert written == files
    assert max(map(len, written.values())) < 3000
