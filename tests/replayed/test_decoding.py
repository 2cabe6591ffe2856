"""Reports from the trackers of JPEG decoders, replayed with inputs made here; libjpeg's coefficients are expected."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.jpeg.by_hand import segment
from tests.jpeg.small_files import by_cjpeg, by_pillow, find, segments, without
from tests.jpeg.test_against_libjpeg import assert_equal
from tests.oracles.libjpeg import Libjpeg

from prepixel.errors import JpegError, MalformedJpeg
from prepixel.jpeg import JpegImage, read_header, read_jpeg, read_pixels

GRAY_DC = "0: 0-0, 0, 0; "


def adobe(transform: int, version: int = 100) -> bytes:
    """Return an APP14 segment."""
    return segment(0xEE, b"Adobe" + version.to_bytes(2, "big") + bytes(4) + bytes([transform]))


def with_ids(file: bytes, identifiers: bytes) -> bytes:
    """Rename the components in the frame header and in the first scan header."""
    changed = bytearray(file)
    frame, scan = find(file, 0xC0), find(file, 0xDA)
    for index, identifier in enumerate(identifiers):
        changed[frame + 10 + 3 * index] = identifier
        changed[scan + 5 + 2 * index] = identifier
    return bytes(changed)


def scans_of(file: bytes) -> list[bytes]:
    """Split a file: its header up to the first DHT or SOS, then one part per scan with the tables before it."""
    at = 2
    while file[at + 1] not in (0xC4, 0xDA):
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    parts, begin = [file[:at]], at
    while file[at + 1] != 0xD9:
        is_scan = file[at + 1] == 0xDA
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        if is_scan:
            while file[at] != 0xFF or file[at + 1] in (0, *range(0xD0, 0xD8)):
                at += 1
            parts.append(file[begin:at])
            begin = at
    return parts


def read_as_libjpeg(contents: bytes, libjpeg: Libjpeg, folder: Path) -> JpegImage:
    """Read a file, and require libjpeg's coefficients, tables, and color."""
    path = folder / "replayed.jpg"
    path.write_bytes(contents)
    (reading,) = libjpeg.read([path])
    assert not reading.refusal
    image = read_jpeg(path)
    assert_equal(image, reading, path)
    return image


# -- colors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markers", "identifiers"),
    [
        pytest.param(b"", b"RGB", id="SixLabors/ImageSharp#1732"),
        pytest.param(adobe(0), b"\1\2\3", id="CESNET/GPUJPEG#53"),
        pytest.param(adobe(0, version=101), b"\1\2\3", id="thorfdbg/libjpeg#92"),
    ],
)
def test_three_components_of_rgb(markers: bytes, identifiers: bytes, libjpeg: Libjpeg, tmp_path: Path) -> None:
    """RGB is recognized by ids or by Adobe's marker.

    Sources: https://github.com/SixLabors/ImageSharp/pull/1732 (ids "RGB" without a marker were read as YCbCr),
    https://github.com/CESNET/GPUJPEG/issues/53 (Adobe transform 0 with ids 1, 2, 3 was refused),
    https://github.com/thorfdbg/libjpeg/issues/92 (an Adobe marker of version 101 was refused).
    """
    plain = without(by_pillow(subsampling=0), 0xE0)
    file = with_ids(plain[:2] + markers + plain[2:], identifiers)
    assert read_as_libjpeg(file, libjpeg, tmp_path).color == "rgb"
    assert read_header(file).color == "rgb"


def test_four_components_without_adobe_are_cmyk(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """A CMYK file without APP14 is read as CMYK, and its pixels are Pillow's.

    Source: https://github.com/image-rs/jpeg-decoder/issues/219 (was refused: no Adobe metadata).
    """
    file = without(by_pillow("CMYK"), 0xEE)
    assert read_as_libjpeg(file, libjpeg, tmp_path).color == "cmyk"
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    assert np.array_equal(read_pixels(file), expected)


def test_gray_with_adobe_marker_stays_gray(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """One component with Adobe transform 0 is gray.

    Source: https://github.com/etemesi254/zune-image/issues/444 (was taken for CMYK and refused).
    """
    file = by_pillow("L")
    assert read_as_libjpeg(file[:2] + adobe(0) + file[2:], libjpeg, tmp_path).color == "gray"


# -- bytes between and within segments ---------------------------------------------------------------------------------


def test_fill_bytes_before_markers_within_a_scan(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Fill bytes 0xFF before RSTn and EOI change nothing.

    Source: https://github.com/nothings/stb/pull/421 (138 ImageNet files were refused).
    """
    plain = by_cjpeg("-restart", "2B")
    filled = plain
    for number in range(8):
        filled = filled.replace(bytes([0xFF, 0xD0 + number]), bytes([0xFF, 0xFF, 0xFF, 0xD0 + number]))
    filled = filled[:-2] + b"\xff\xff" + filled[-2:]
    assert len(filled) > len(plain) + 8
    image = read_as_libjpeg(filled, libjpeg, tmp_path)
    for component, original in zip(image.components, read_jpeg(plain).components, strict=True):
        assert np.array_equal(component.quantized, original.quantized)


def test_fill_bytes_before_a_segment(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Fill bytes before APP14 and before every other segment are skipped without a warning.

    Source: https://github.com/LibrePDF/OpenPDF/pull/1247 (extra 0xFF before APP14 ended the reading).
    """
    file = by_pillow("CMYK")
    head = segments(file)
    rest = file[2 + sum(len(part) for _, part in head) :]
    filled = file[:2] + b"".join(b"\xff\xff" + part for _, part in head) + rest
    assert read_as_libjpeg(filled, libjpeg, tmp_path).warnings == ()


def test_a_junk_byte_at_the_end_of_the_scan(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """A byte 0x7F between the last MCU and EOI is a warning.

    Source: https://github.com/nothings/stb/pull/422 (2 ImageNet files were refused).
    """
    file = by_pillow()
    assert read_as_libjpeg(file[:-2] + b"\x7f" + file[-2:], libjpeg, tmp_path).warnings


def test_surplus_restart_intervals_behind_the_image(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """A scanner's surplus data and restart markers behind the last MCU are a warning.

    Source: https://github.com/image-rs/jpeg-decoder/pull/100 (a Brother scanner's files were refused).
    """
    file = by_cjpeg("-restart", "2B")
    surplus = b"".join(bytes([0x5A]) * 616 + bytes([0xFF, 0xD0 + number]) for number in (2, 3, 4, 5, 6, 7, 0, 1))
    assert read_as_libjpeg(file[:-2] + surplus + file[-2:], libjpeg, tmp_path).warnings


def test_an_empty_comment_and_bytes_between_segments(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Comments of length 2 and 3, and seven stray bytes between segments, do not lose the next segment.

    Source: https://github.com/xiaozhuai/imageinfo/issues/4 (a short comment misplaced the reader).
    """
    file = by_pillow()
    short = file[:2] + segment(0xFE, b"") + segment(0xFE, b"x") + file[2:]
    assert read_as_libjpeg(short, libjpeg, tmp_path).warnings == ()
    assert read_as_libjpeg(file[:2] + segment(0xFE, b"x") + b"\n" * 7 + file[2:], libjpeg, tmp_path).warnings


def test_markers_within_a_segment_are_data(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """EOI and SOI within an APP1 segment are its data; EOI right behind SOI is an image without a frame.

    Source: https://github.com/ruffle-rs/ruffle/pull/8820 (Flash's FFD9 FFD8 was removed inside of EXIF, too).
    """
    file = by_pillow()
    inside = segment(0xE1, b"Exif\0\0" + b"\xff\xd9\xff\xd8" * 3)
    assert read_as_libjpeg(file[:2] + inside + file[2:], libjpeg, tmp_path).orientation == 1
    with pytest.raises(MalformedJpeg) as raised:
        read_jpeg(b"\xff\xd8\xff\xd9" + file)
    assert raised.value.byte_offset == 2
    assert raised.value.hint


# -- tables and scans --------------------------------------------------------------------------------------------------


def test_sixteen_bit_tables_with_eight_bit_samples(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """A progressive file of 8-bit samples with steps above 255 is read.

    Source: https://github.com/image-rs/jpeg-decoder/issues/40 (was taken for a file of 12-bit samples).
    """
    image = read_as_libjpeg(by_cjpeg("-quality", "4", "-progressive"), libjpeg, tmp_path)
    assert (image.precision, image.process) == (8, "progressive")
    assert max(int(component.quantization.max()) for component in image.components) > 255


def test_components_in_another_order_with_tables_between_scans(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Scans of Cr, Y, and Cb, each of which needs Huffman tables defined right before it.

    Source: https://github.com/etemesi254/zune-image/pull/453 (tables of later scans were required at the first).
    """
    file = by_cjpeg("-sample", "2x2", scans="2;0;1;")
    parts = scans_of(file)
    assert len(parts) == 4
    assert parts[2][1] == 0xC4  # Y's tables are defined after the first scan
    assert read_as_libjpeg(file, libjpeg, tmp_path).num_scans == 3


def test_a_restart_interval_that_changes_between_scans(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """The first scan has no restart markers, the others have one every five blocks.

    Source: https://github.com/imazen/zenjpeg/issues/43 (the first scan's interval was used for all).
    """
    options = ("-sample", "2x1")
    plain = scans_of(by_cjpeg(*options, scans="0;1;2;"))
    restarting = scans_of(by_cjpeg(*options, "-restart", "5B", scans="0;1;2;"))
    file = b"".join([*plain[:2], segment(0xDD, b"\0\5"), *restarting[2:], b"\xff\xd9"])
    read_as_libjpeg(file, libjpeg, tmp_path)


@pytest.mark.parametrize("bands", ["1-1 2-5 6-20 21-63", "1-5 6-20", "6-63 1-5"])
def test_spectral_bands_split_over_scans(bands: str, libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Bands over several scans, in any order, and bands that no scan holds (which are zero).

    Source: https://github.com/image-rs/jpeg-decoder/pull/160.
    """
    script = GRAY_DC + "".join(f"0: {band}, 0, 0; " for band in bands.split())
    image = read_as_libjpeg(by_cjpeg("-grayscale", scans=script), libjpeg, tmp_path)
    assert image.components[0].quantized.any(axis=(0, 1)).sum() > 6


@pytest.mark.parametrize("restart", ["0", "3B"])
def test_refinement_of_negative_coefficients(restart: str, libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Coefficients below zero grow away from zero when refined, as in the sequential file of the same pixels.

    Sources: https://github.com/jpeg-js/jpeg-js/pull/25 (they grew toward zero),
    https://github.com/etemesi254/zune-image/issues/359 (refinement was skipped in files with restart markers),
    https://github.com/nothings/stb/pull/108 (a run of 16 zeros took the correction bits behind it).
    """
    script = GRAY_DC + "0: 1-63, 0, 2; 0: 1-63, 2, 1; 0: 1-63, 1, 0;"
    options = ("-grayscale", "-quality", "90", "-restart", restart)
    image = read_as_libjpeg(by_cjpeg(*options, scans=script), libjpeg, tmp_path)
    sequential = read_jpeg(by_cjpeg("-grayscale", "-quality", "90"))
    assert np.array_equal(image.components[0].quantized, sequential.components[0].quantized)
    values = image.components[0].quantized
    assert ((values < -4) & (values % 2 == 1)).any()


def test_refinement_within_a_run_of_ended_blocks(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """Correction bits of blocks within an EOB run reach the last coefficient of the band.

    Source: https://github.com/treeform/pixie/pull/565 (the loop stopped one coefficient short).
    """
    quantized = np.asarray(Image.effect_noise((160, 160), 90))
    buffer = io.BytesIO()
    Image.fromarray(np.stack([quantized] * 3, axis=-1)).save(buffer, "jpeg", quality=60, subsampling=0)
    file = transcode(
        buffer.getvalue(), GRAY_DC + "0: 1-10, 0, 1; 0: 11-63, 0, 1; 0: 11-63, 1, 0; 0: 1-10, 1, 0;", tmp_path
    )
    image = read_as_libjpeg(file, libjpeg, tmp_path)
    original = read_jpeg(buffer.getvalue())
    assert np.array_equal(image.components[0].quantized, original.components[0].quantized)
    assert (np.abs(image.components[0].quantized[..., 7, 7]) > 1).any()


def transcode(file: bytes, script: str, folder: Path) -> bytes:
    """Write the luma of a JPEG with the scans of a script, by jpegtran."""
    (folder / "scans.txt").write_text(script, encoding="ascii")
    command = ["jpegtran", "-grayscale", "-scans", str(folder / "scans.txt")]
    return subprocess.run(command, input=file, capture_output=True, check=True).stdout


def test_refinement_without_a_first_scan(libjpeg: Libjpeg, tmp_path: Path) -> None:
    """An AC refinement scan whose first scan is missing (not allowed by T.81, G.1.1.1.1) is refused with its offset.

    Source: https://github.com/imazen/zenjpeg/issues/63.
    """
    header, *scans = scans_of(by_cjpeg("-grayscale", scans=GRAY_DC + "0: 1-63, 0, 1; 0: 1-63, 1, 0;"))
    file = b"".join([header, scans[0], scans[2], b"\xff\xd9"])
    with pytest.raises(MalformedJpeg) as raised:
        read_jpeg(file)
    assert raised.value.byte_offset
    assert raised.value.hint


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True])
def test_no_frame_header_or_two(again: bool) -> None:
    """A scan without SOFn, and a second SOFn, are refused with an offset and a hint.

    Sources: https://github.com/image-rs/jpeg-decoder/pull/39 (a panic), https://github.com/arrufat/zignal/issues/382.
    """
    file = by_pillow()
    frame = find(file, 0xC0)
    end = frame + 2 + int.from_bytes(file[frame + 2 : frame + 4], "big")
    damaged = file[:end] + file[frame:] if again else file[:frame] + file[end:]
    for read in (read_jpeg, read_header):
        with pytest.raises(MalformedJpeg) as raised:
            read(damaged)
        assert raised.value.byte_offset
        assert raised.value.hint


def test_text_in_place_of_the_rest_of_a_scan() -> None:
    """Text of another file within the scan, and no EOI: refused; kept, the blocks before it are whole.

    Source: https://github.com/image-rs/jpeg-decoder/issues/251 (PDF objects within a photo's scan).
    """
    file = by_pillow("L", quality=90)
    cut = len(file) // 2
    damaged = file[:cut] + b"12 0 obj << /Type /Page /Parent 3 0 R /Resources 6 0 R >> endobj\n" * 2
    with pytest.raises(JpegError) as raised:
        read_jpeg(damaged)
    assert raised.value.byte_offset is not None
    kept, whole = read_jpeg(damaged, on_truncated="keep"), read_jpeg(file)
    assert kept.missing_blocks > 0
    assert kept.warnings
    num_blocks = whole.components[0].quantized.shape[0] * whole.components[0].quantized.shape[1]
    before = num_blocks - read_jpeg(file[:cut], on_truncated="keep").missing_blocks - 1
    assert before > 4
    one, other = (image.components[0].quantized.reshape(-1, 64)[:before] for image in (kept, whole))
    assert np.array_equal(one, other)
