"""Every refusal says what, where and what to do; each text is met once."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from tests.jpeg.by_hand import EOI, SOI, entropy, frame, huffman, joined, quantization, scan, segment

from prepixel.errors import DamagedJpeg, JpegError, MalformedJpeg, TruncatedJpeg, UnsupportedJpeg
from prepixel.jpeg import read_header, read_jpeg

BLOCK = "001010"
DQT, SOF, SOS, DATA = quantization(), frame(), scan(), entropy(BLOCK)
RESTART = segment(0xDD, b"\0\1")
ONE_CODE = (1,) + (0,) * 15
PROGRESSIVE = DQT + frame(marker=0xC2) + huffman(0, 0, ONE_CODE, b"\0") + huffman(1, 0, ONE_CODE, b"\0")
DC = scan(end=0, low=1) + entropy("0")
# Sixty-one coefficients, then one behind two zeros: by one past the last, as the second symbol of a lookup.
BY_ONE_TOO_FAR = entropy("00" + "011" * 61 + "101")
THREE = [(1, 1, 1, 0), (2, 1, 1, 0), (3, 1, 1, 0)]


@dataclass(frozen=True)
class Case:
    """A file, and its error: class, text, and the bytes that its offset points to (None: the file's end)."""

    file: bytes
    kind: type[JpegError]
    text: str
    points_to: bytes | None


def malformed(text: str, *parts: bytes, at: bytes) -> Case:
    return Case(joined(*parts), MalformedJpeg, text, at)


def damaged(text: str, *parts: bytes, at: bytes) -> Case:
    return Case(joined(*parts), DamagedJpeg, text, at)


def unsupported(text: str, *parts: bytes, at: bytes) -> Case:
    return Case(joined(*parts), UnsupportedJpeg, text, at)


def truncated(text: str, file: bytes, at: bytes | None = None) -> Case:
    return Case(file, TruncatedJpeg, text, at)


def of_code(name: int) -> bytes:
    return bytes([0xFF, name])


CASES = [
    # Not a JPEG, or the begin of one.
    truncated("the file is empty", b""),
    truncated("the file ends inside SOI", b"\xff"),
    truncated("the file ends before the first scan", SOI),
    truncated("EOI stands before the first scan", SOI + DQT + SOF + EOI, EOI),
    truncated("the file ends inside the DQT segment", SOI + DQT[:30]),
    truncated("the file ends inside the SOF0 segment", SOI + SOF[:3]),
    Case(b"\x89PNG\r\n\x1a\n....", MalformedJpeg, "this is a PNG file, not a JPEG. Read it with read_image", b"\x89"),
    Case(b"GIF89a......", MalformedJpeg, "this is a GIF file, not a JPEG", b"GIF"),
    Case(b"BM..........", MalformedJpeg, "this is a BMP file, not a JPEG", b"BM"),
    Case(b"II*\0........", MalformedJpeg, "this is a TIFF file, not a JPEG", b"II"),
    Case(b"MM\0*........", MalformedJpeg, "this is a TIFF file, not a JPEG", b"MM"),
    Case(b"RIFF....WEBPVP8 ", MalformedJpeg, "this is a WebP file, not a JPEG", b"RIFF"),
    Case(b"\0\0\0\x0cjP  \r\n\x87\n", MalformedJpeg, "this is a JPEG 2000 file, not a JPEG", b"\0\0"),
    Case(b"\xff\x4f\xff\x51\0\0", MalformedJpeg, "this is a JPEG 2000 codestream, not a JPEG", b"\xff\x4f"),
    Case(b"\0\0\0\x0cJXL \r\n\x87\n", MalformedJpeg, "this is a JPEG XL file, not a JPEG", b"\0\0"),
    Case(b"\xff\x0a\0\0", MalformedJpeg, "this is a JPEG XL codestream, not a JPEG", b"\xff"),
    Case(b"\0\0\0\x1cftypavif....", MalformedJpeg, "this is an AVIF file, not a JPEG", b"\0\0"),
    Case(b"\0\0\0\x1cftypheic....", MalformedJpeg, "this is a HEIC file, not a JPEG", b"\0\0"),
    Case(b"%PDF-1.7....", MalformedJpeg, "this is a PDF file, not a JPEG", b"%"),
    Case(b"hello", MalformedJpeg, "not a JPEG: it does not begin with SOI (0xFF 0xD8). Check that", b"hello"),
    # Kinds that are not read.
    unsupported(
        "12-bit extended sequential JPEG (SOF1, precision 12); only 8 bits per sample are read. Decode it with "
        "libjpeg-turbo 3's djpeg and code it again with 8 bits",
        DQT,
        frame(marker=0xC1, precision=12),
        at=of_code(0xC1),
    ),
    unsupported(
        "12-bit progressive JPEG (SOF2, precision 12)", DQT, frame(marker=0xC2, precision=12), at=of_code(0xC2)
    ),
    unsupported(
        "lossless JPEG (SOF3, precision 8): it holds predicted samples, no DCT coefficients. Decode it with",
        frame(marker=0xC3),
        at=of_code(0xC3),
    ),
    *[
        unsupported(
            f"hierarchical JPEG ({name}, precision 8): its image is a pyramid of frames. Decode it with the program",
            frame(marker=code),
            at=of_code(code),
        )
        for code, name in (
            (0xC5, "SOF5"),
            (0xC6, "SOF6"),
            (0xC7, "SOF7"),
            (0xCD, "SOF13"),
            (0xCE, "SOF14"),
            (0xCF, "SOF15"),
            (0xDE, "DHP"),
            (0xDF, "EXP"),
        )
    ],
    unsupported(
        "arithmetic-coded extended sequential JPEG (SOF9, precision 8); Huffman coding alone is read. Re-code it "
        "without loss: jpegtran IN > OUT writes Huffman codes",
        frame(marker=0xC9),
        at=of_code(0xC9),
    ),
    unsupported("arithmetic-coded progressive JPEG (SOF10, precision 8)", frame(marker=0xCA), at=of_code(0xCA)),
    unsupported("arithmetic-coded lossless JPEG (SOF11, precision 8)", frame(marker=0xCB), at=of_code(0xCB)),
    unsupported("JPEG-LS file (ITU-T T.87, JPG7): it holds predicted", segment(0xF7, b"\x08"), at=of_code(0xF7)),
    unsupported("JPEG-LS file (ITU-T T.87, JPG8): it holds predicted", segment(0xF8, b"\x08"), at=of_code(0xF8)),
    unsupported("JPEG with a reserved marker (JPG)", segment(0xC8, b"\x08"), at=of_code(0xC8)),
    unsupported("JPEG with a reserved marker (JPG3)", segment(0xF3, b""), at=of_code(0xF3)),
    unsupported(
        "frame of 5 components; 1 to 4 are read. Split it into images of at most 4 components",
        DQT,
        frame(8, 8, [(i, 1, 1, 0) for i in range(5)]),
        at=b"\5\0\x11\0\1\x11",
    ),
    # Segments.
    malformed("reserved marker 0xFF02", segment(2, b"x"), at=of_code(2)),
    malformed("reserved marker 0xFFBF", segment(0xBF, b"x"), at=of_code(0xBF)),
    malformed("COM segment of length 1", b"\xff\xfe\0\1", at=b"\0\1"),
    malformed("a second SOI inside the image", SOI, at=SOI + EOI),
    malformed("DQT segment is shorter than what it must hold", segment(0xDB, bytes(64)), at=of_code(0xDB)),
    malformed("DQT defines quantization table 4; there are 0 to 3", quantization(4), at=b"\x04\1"),
    malformed("DHT defines table 4 of class 0; there are 0 to 3", huffman(0, 4, ONE_CODE, b"\0"), at=b"\x04\1"),
    malformed("DHT defines table 0 of class 2", huffman(2, 0, ONE_CODE, b"\0"), at=b"\x20\1"),
    malformed(
        "DHT lists 300 codes in one table; 256 is the most",
        huffman(0, 0, (0,) * 14 + (150, 150), bytes(300)),
        at=b"\0\0\0",
    ),
    malformed("DHT segment is shorter than", huffman(0, 0, (3,) + (0,) * 15, b"\0"), at=of_code(0xC4)),
    malformed("DRI segment is 1 byte longer than what it holds", segment(0xDD, b"\0\1\2"), at=b"\2" + EOI),
    malformed("sample precision 7 in SOF0; 8 and 12 exist", frame(precision=7), at=b"\7\0\x08"),
    malformed("frame of width 0", frame(8, 0), at=b"\0\0\1\1"),
    malformed("frame without components", frame(8, 8, []), at=b"\0" + EOI),
    malformed("sampling factors 5x1 of component 0; each is 1 to 4", frame(8, 8, [(1, 5, 1, 0)]), at=b"\x51"),
    malformed("sampling factors 1x0 of component 0", frame(8, 8, [(1, 1, 0, 0)]), at=b"\x10"),
    malformed("a second frame header", SOF, SOF, at=SOF + EOI),
    malformed("SOS before any frame header", SOS, at=SOS),
    malformed("scan of 0 components; 1 to 4 are allowed", SOF, scan([]), at=b"\0\0\x3f"),
    malformed("scan of 5 components", SOF, scan([(1, 0, 0)] * 5), at=b"\5\1"),
    malformed("scan names component 9, which the frame does not hold", SOF, scan([(9, 0, 0)]), at=b"\x09\0\0"),
    malformed("or the scan named before", frame(8, 8, THREE), scan([(1, 0, 0), (1, 0, 0)]), at=b"\1\0\0\x3f"),
    malformed("frame of height 0, and no DNL that says it", DQT, frame(0), SOS, DATA, at=EOI),
    malformed("frame of height 0, and no DNL", DQT, frame(0), SOS, DATA, segment(0xDC, b"\0\0"), at=of_code(0xDC)),
    truncated(
        "the frame header leaves the height to DNL, and the file ends before it", SOI + DQT + frame(0) + SOS + DATA
    ),
    # Scans that do not fit their frame or tables.
    malformed("component 0 uses quantization table 0, which no DQT has defined", SOF, SOS, DATA, at=SOS),
    malformed("component 0 uses quantization table 7", DQT, frame(8, 8, [(1, 1, 1, 7)]), SOS, DATA, at=SOS),
    malformed(
        "scan uses DC Huffman table 2, which no DHT has defined", DQT, SOF, scan([(1, 2, 0)]), DATA, at=of_code(0xDA)
    ),
    malformed("scan uses AC Huffman table 15", DQT, SOF, scan([(1, 0, 15)]), DATA, at=of_code(0xDA)),
    malformed("scan uses DC Huffman table 0", DQT, frame(marker=0xC2), scan(end=0), DATA, at=of_code(0xDA)),
    malformed(
        "DC Huffman table 0 is no prefix code that leaves the code of all ones free (C.2), or holds a DC symbol above ",
        DQT,
        SOF,
        huffman(0, 0, (2,) + (0,) * 15, b"\0\1"),
        SOS,
        DATA,
        at=SOS,
    ),
    malformed(
        "AC Huffman table 0 is no prefix code", DQT, SOF, huffman(1, 0, (3,) + (0,) * 15, b"\0\1\2"), SOS, DATA, at=SOS
    ),
    malformed(
        "interleaved scan with 17 blocks in an MCU; 10 is the most (B.2.3)",
        DQT,
        frame(8, 8, [(1, 4, 4, 0), (2, 1, 1, 0)]),
        scan([(1, 0, 0), (2, 0, 0)]),
        DATA,
        DATA,
        at=of_code(0xDA),
    ),
    damaged("a second sequential scan of component 0", DQT, SOF, SOS, DATA, SOS, DATA, at=SOS + DATA + EOI),
    malformed(
        "progressive scan of coefficients 0 to 5, bits 0 to 0, of 1 components; no such scan exists",
        PROGRESSIVE,
        scan(end=5),
        DATA,
        at=of_code(0xDA),
    ),
    malformed("coefficients 9 to 5, bits 0 to 0", PROGRESSIVE, DC, scan(start=9, end=5), DATA, at=scan(start=9, end=5)),
    malformed("coefficients 1 to 64, bits", PROGRESSIVE, DC, scan(start=1, end=64), DATA, at=scan(start=1, end=64)),
    malformed("bits 3 to 1", PROGRESSIVE, scan(end=0, high=3, low=1), DATA, at=of_code(0xDA)),
    malformed("bits 0 to 14", PROGRESSIVE, scan(end=0, low=14), DATA, at=of_code(0xDA)),
    damaged(
        "progressive scan out of order: coefficient 1 of component 0 cannot go to bit 0 now",
        PROGRESSIVE,
        scan(start=1, end=5),
        DATA,
        at=of_code(0xDA),
    ),
    damaged("out of order: coefficient 0 of component 0 cannot go to bit 1 now", PROGRESSIVE, DC, DC, at=DC + EOI),
    # Entropy-coded data.
    truncated(
        "the file ends in scan 1, component 0, block (0, 1). Fetch the file again, or read what is there with "
        'on_truncated="keep"',
        SOI + DQT + frame(8, 24) + SOS + entropy(BLOCK + "00"),
    ),
    truncated(
        "entropy-coded data end at EOI in scan 1, component 0, block (0, 1)",
        joined(DQT, frame(8, 24), SOS, entropy(BLOCK + "00")),
        EOI,
    ),
    damaged(
        "entropy-coded data end at COM in scan 1",
        DQT,
        frame(8, 24),
        SOS,
        entropy(BLOCK + "00"),
        segment(0xFE, b"x"),
        at=of_code(0xFE),
    ),
    damaged(
        "entropy-coded data end at RST5 in scan 1",
        DQT,
        frame(8, 24),
        SOS,
        entropy(BLOCK + "00"),
        of_code(0xD5),
        at=of_code(0xD5),
    ),
    damaged(
        "bits that begin no Huffman code in scan 1, component 0, block (0, 0)",
        DQT,
        SOF,
        SOS,
        entropy("00" + "1" * 30),
        at=b"\x3f\xff\0\xff\0",
    ),
    damaged("bits that begin no Huffman code", DQT, SOF, SOS, entropy("1" * 30), at=b"\xff\0" * 4 + EOI),
    damaged(
        "a run of zeros passes the band's last coefficient in scan 1, component 0, block (0, 0)",
        DQT,
        SOF,
        huffman(1, 0, (0, 3) + (0,) * 14, b"\0\1\x21"),
        SOS,
        BY_ONE_TOO_FAR,
        at=BY_ONE_TOO_FAR[23:] + EOI,
    ),
    damaged(
        "a run of zeros passes the band's last coefficient in scan 1, component 0, block (0, 0)",
        DQT,
        SOF,
        SOS,
        entropy("00" + "11111111001" * 4 + "0" * 10),
        at=b"\xe4\0\xff",
    ),
    damaged(
        "a run of zeros passes",
        PROGRESSIVE,
        huffman(1, 0, ONE_CODE, b"\xf1"),
        DC,
        scan(start=1, end=5),
        entropy("00"),
        at=entropy("00") + EOI,
    ),
    damaged(
        "bits that begin no Huffman code in scan 2",
        PROGRESSIVE,
        DC,
        scan(start=1, end=5),
        entropy("1" * 20),
        at=b"\xff\0" * 3 + EOI,
    ),
    damaged(
        "bits that begin no Huffman code in scan 1", PROGRESSIVE, scan(end=0), entropy("1" * 20), at=b"\xff\0" * 3 + EOI
    ),
    damaged(
        "bits that begin no Huffman code in scan 3",
        PROGRESSIVE,
        huffman(1, 0, ONE_CODE, b"\0"),
        DC,
        scan(start=1, end=5, low=1),
        entropy("0"),
        huffman(1, 0, ONE_CODE, b"\2"),
        scan(start=1, end=5, high=1),
        entropy("00"),
        at=entropy("00") + EOI,
    ),
    damaged(
        "RST0 must stand here, not RST1", DQT, frame(8, 16), RESTART, SOS, DATA, of_code(0xD1), DATA, at=of_code(0xD1)
    ),
    damaged(
        "RST0 must stand here, not COM", DQT, frame(8, 16), RESTART, SOS, DATA, segment(0xFE, b"x"), at=of_code(0xFE)
    ),
    truncated(
        "EOI stands where RST0 of scan 1 must follow, 1 of 2 MCUs decoded",
        joined(DQT, frame(8, 16), RESTART, SOS, DATA),
        EOI,
    ),
    truncated(
        "the file ends where RST0 of scan 1 must follow, 1 of 2 MCUs decoded",
        SOI + DQT + frame(8, 16) + RESTART + SOS + DATA,
    ),
    # Files that end too early, though no scan does.
    truncated("EOI stands before any scan of component 1", joined(DQT, frame(8, 8, THREE), SOS, DATA), EOI),
    truncated("the file ends before any scan of component 1", SOI + DQT + frame(8, 8, THREE) + SOS + DATA),
    truncated("the progressive file ends without EOI before its last bits are coded", SOI + PROGRESSIVE + DC),
    truncated(
        "an image of 100 blocks cannot be in the 3 bytes that follow its header", joined(DQT, frame(80, 80), SOS, DATA)
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.text[:60] for case in CASES])
def test_an_error_says_what_and_where_and_what_to_do(case: Case) -> None:
    with pytest.raises(JpegError, match=re.escape(case.text)) as caught:
        read_jpeg(case.file)
    error = caught.value
    assert type(error) is case.kind
    assert error.byte_offset is not None
    assert len(error.hint) > 10
    assert str(error) == f"buffer of {len(case.file)} bytes, byte {error.byte_offset}: {error.what}. {error.hint}"
    if case.points_to is None:
        assert error.byte_offset == len(case.file)
    else:
        assert case.file[error.byte_offset :].startswith(case.points_to)


@pytest.mark.parametrize("case", [c for c in CASES if c.kind is UnsupportedJpeg], ids=lambda case: case.text[:60])
def test_the_header_alone_refuses_what_is_not_read(case: Case) -> None:
    with pytest.raises(UnsupportedJpeg, match=re.escape(case.text)):
        read_header(case.file)


# Of these files "keep" returns an image, since their fault lies after decoded blocks. By the beginning of the text: the
# warning (None: the same text), and the number of missing blocks.
KEPT: dict[str, tuple[str | None, int]] = {
    "a second sequential scan of component 0": ("byte 95: 13 bytes behind the complete image are not read", 0),
    "coefficients 9 to 5, bits 0 to 0": (None, 0),
    "coefficients 1 to 64, bits": (None, 0),
    "out of order: coefficient 0 of component 0 cannot go to bit": (None, 0),
    "the file ends in scan 1, component 0, block (0, 1)": (None, 2),
    "entropy-coded data end at ": (None, 2),
    "bits that begin no Huffman code in scan 2": (None, 0),
    "bits that begin no Huffman code in scan 3": (None, 0),
    "RST0 must stand here, not ": (None, 1),
    "EOI stands where RST0 of scan 1 must follow": (None, 1),
    "the file ends where RST0 of scan 1 must follow": (None, 1),
    "EOI stands before any scan of component 1": ("2 blocks missing and left zero", 2),
    "the file ends before any scan of component 1": ("2 blocks missing and left zero", 2),
    "the progressive file ends without EOI": (None, 0),
    "an image of 100 blocks cannot be in the 3 bytes": (
        "byte 95: entropy-coded data end at EOI in scan 1, component 0, block (0, 1)",
        99,
    ),
}


def kept(case: Case) -> tuple[str, int] | None:
    if case.text == "a run of zeros passes":  # in its second scan; others have a longer text
        return case.text, 0
    for begin, (warning, num_missing) in KEPT.items():
        if case.text.startswith(begin):
            return warning or case.text.partition(". ")[0], num_missing
    return None


@pytest.mark.parametrize("case", CASES, ids=[case.text[:60] for case in CASES])
def test_keep_changes_nothing_where_no_block_is_left(case: Case) -> None:
    if (expected := kept(case)) is not None:
        image = read_jpeg(case.file, on_truncated="keep")
        warning, num_missing = expected
        assert any(warning in said for said in image.warnings), image.warnings
        assert image.missing_blocks == num_missing
        return
    with pytest.raises(case.kind) as strict:
        read_jpeg(case.file)
    with pytest.raises(case.kind) as lenient:
        read_jpeg(case.file, on_truncated="keep")
    assert str(lenient.value) == str(strict.value)
