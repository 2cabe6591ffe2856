"""Pillow's decoders, used without what a process shares: its variables, its locks, its other formats, its memory."""

from __future__ import annotations

import io
import multiprocessing
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from tests.jpeg.small_files import by_pillow, pixels

from prepixel.errors import JpegLimitExceeded, UnreadableImage
from prepixel.jpeg import Limits, pixel_fallback, read_image, read_pixels, read_size, read_sizes
from prepixel.jpeg.batch import MemoryBudget
from prepixel.jpeg.fork_guard import ForkGuard
from prepixel.jpeg.pillow_files import FORMATS


def saved(kind: str, picture: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (picture or Image.fromarray(pixels())).save(file, kind, **options)
    return file.getvalue()


WHOLE = {
    "PNG": saved("PNG"),
    "GIF": saved("GIF", interlace=0),
    "BMP": saved("BMP"),
    "TIFF": saved("TIFF"),
    "TIFF, compressed": saved("TIFF", compression="tiff_lzw"),
    "PPM": saved("PPM"),
    "WEBP": saved("WEBP", lossless=True),
    "CMYK": saved("JPEG", Image.fromarray(pixels()).convert("CMYK")),
}


def cut(name: str) -> bytes:
    file = WHOLE[name]
    return file[: len(file) // 2]


@pytest.mark.parametrize("switch", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_truncation_is_judged_by_the_argument_whatever_the_global_says(
    name: str, switch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", switch)
    for read in (read_image, read_pixels):
        with pytest.raises(UnreadableImage, match="Pillow cannot decode it"):
            read(cut(name))
        read(WHOLE[name])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is switch


@pytest.mark.parametrize("name", ["PNG", "GIF", "BMP", "TIFF", "PPM", "CMYK"])
def test_what_a_truncated_file_still_gives_is_kept(name: str) -> None:
    image = read_image(cut(name), on_truncated="keep")
    whole = read_image(WHOLE[name])
    assert image.warnings
    assert not whole.warnings
    rows = slice(0, 1) if name != "BMP" else slice(-1, None)  # stored from the bottom up
    np.testing.assert_array_equal(image.components[0].quantized[rows], whole.components[0].quantized[rows])


def test_pillows_own_limit_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for name, file in WHOLE.items():
        if name != "WEBP":  # whose opener asks it, in recent versions of Pillow
            assert read_image(file).height == read_pixels(file).shape[0], name
    assert Image.MAX_IMAGE_PIXELS == 100


def test_threads_that_keep_do_not_loosen_threads_that_raise() -> None:
    truncated, stop = cut("PNG"), threading.Event()

    def keep() -> None:
        while not stop.is_set():
            read_image(truncated, on_truncated="keep")

    keepers = [threading.Thread(target=keep) for _ in range(3)]
    for keeper in keepers:
        keeper.start()
    passed = 0
    try:
        for _ in range(150):
            try:
                read_image(truncated)
                passed += 1
            except UnreadableImage:
                pass
    finally:
        stop.set()
        for keeper in keepers:
            keeper.join()
    assert passed == 0


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def test_formats_that_are_not_listed_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **_: started.append(args))
    monkeypatch.setattr(os, "system", lambda command: started.append(command))
    path = tmp_path / "photo.jpg"
    others = {"EPS": EPS, "TGA": saved("TGA"), "PCX": saved("PCX"), "ICO": saved("ICO"), "PDF": saved("PDF")}
    for name, file in others.items():
        path.write_bytes(file)
        for read in (read_image, read_pixels, read_size):
            with pytest.raises(
                UnreadableImage, match=r"no image of a format that is read \(packed images, JPEG, PNG, .*PPM\)"
            ):
                read(path)
        assert [type(f.error) for f in read_sizes([path], on_error="skip").failures] == [UnreadableImage], name
    assert started == []


def test_every_listed_format_is_read() -> None:
    assert {form.name for form in FORMATS} == {"JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM"}
    for name, file in WHOLE.items():
        assert read_size(file) == pixels().shape[:2], name


# -- memory ------------------------------------------------------------------------------------------------------------


def flat_webp(side: int = 16383) -> bytes:
    """Make a WebP (VP8X, and in it VP8L) whose header asks for a large canvas; nothing of it is decoded."""
    size = (side - 1).to_bytes(3, "little")
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + size
    image = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + struct.pack("<I", (side - 1) | (side - 1) << 14) + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(image)) + b"WEBP" + canvas + image


def gray_png(side: int) -> bytes:
    """Make a 16-bit PNG of zeros, row by row."""
    packer, data = zlib.compressobj(9), b""
    row = bytes(1 + 2 * side)
    for _ in range(side):
        data += packer.compress(row)
    data += packer.flush()

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">II5B", side, side, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


CHILD = """
import resource, sys
from prepixel.errors import PrepixelError
from prepixel.jpeg import Limits, read_image, read_pixels, read_size
contents = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{before}
try:
    print(type({call}).__name__)
except PrepixelError as error:
    print(type(error).__name__)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


# Recent versions of Pillow refuse by themselves, unless told not to. Zeroed memory that nobody touches is not resident:
# the address space alone shows that it was asked for.
ALONE = """
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
if sys.platform == "linux":
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * resource.getpagesize() + 2**27
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
"""


def peak(path: Path, call: str, before: str = "") -> tuple[str, int]:
    """Run a call in a process of its own; return what came of it, and by how many bytes memory grew."""
    code = CHILD.replace("{call}", call).replace("{before}", before)
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    outcome, grown = done.stdout.split()
    return outcome, int(grown) * 1024


@pytest.mark.parametrize("call", ["read_image(contents)", "read_pixels(contents)", "read_size(contents)"])
def test_a_webp_of_a_huge_canvas_is_refused_before_memory_is_taken(call: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.webp").write_bytes(flat_webp())
    outcome, grown = peak(tmp_path / "bomb.webp", call, ALONE)
    assert outcome == "JpegLimitExceeded"
    assert grown < 2**25


def test_a_deep_gray_picture_stays_within_its_budget(tmp_path: Path) -> None:
    side = 4096
    (tmp_path / "deep.png").write_bytes(gray_png(side))
    outcome, grown = peak(tmp_path / "deep.png", "read_image(contents)")
    assert outcome == "JpegImage"
    assert grown < 1.5 * (2 + 2) * side**2 + 2**27  # samples and coefficients, and rows of blocks in float64
    limits = f"Limits(max_memory_bytes={(2 + 2) * side**2 - 1})"
    outcome, grown = peak(tmp_path / "deep.png", f"read_image(contents, limits={limits})")
    assert outcome == "JpegLimitExceeded"
    assert grown < 2**25


@pytest.mark.parametrize("name", WHOLE)
def test_a_limit_on_memory_holds_in_every_format(name: str) -> None:
    for read in (read_image, read_pixels):
        with pytest.raises(
            JpegLimitExceeded, match=r"decoding 41 x 59 pixels takes about \d+ bytes, more than the limit"
        ):
            read(WHOLE[name], limits=Limits(max_memory_bytes=len(WHOLE[name]) + 1))


def test_sides_beyond_those_of_a_jpeg_are_refused() -> None:
    with pytest.raises(JpegLimitExceeded, match="1 x 70000 pixels are more than the limit of 65535 a side"):
        read_image(b"P4 70000 1\n" + bytes(8750))


def test_images_of_a_batch_share_one_budget() -> None:
    budget, most, used, lock = MemoryBudget(100), 0, 0, threading.Lock()

    def work(num_bytes: int) -> None:
        nonlocal most, used
        with budget.reserve(num_bytes):
            with lock:
                used += num_bytes
                most = max(most, used)
            time.sleep(0.002)
            with lock:
                used -= num_bytes

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [40, 60, 30, 100, 70, 10] * 6))
    assert 60 <= most <= 100
    with budget.reserve(10**9):  # alone it may run: its own limit was asked before
        pass


# -- fork --------------------------------------------------------------------------------------------------------------


def fork_while_threads_read(sources: list[bytes], count: int) -> int:
    """Fork children that read while two threads of this process read; return how many do not end."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            for source in sources:
                read_image(source, on_truncated="keep")
                read_pixels(source)

    threads = [threading.Thread(target=loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    hung = 0
    try:
        for _ in range(count):
            child = os.fork()
            if not child:
                status = 1
                try:
                    for source in sources:
                        read_image(source)
                        read_pixels(source)
                    read_sizes(sources, threads=2)
                    status = 0
                finally:
                    os._exit(status)
            deadline = time.monotonic() + 60
            while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
                time.sleep(0.002)
            if not ended[0]:
                hung += 1
                os.kill(child, 9)
                os.waitpid(child, 0)
            else:
                assert os.waitstatus_to_exitcode(ended[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return hung


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_children_forked_while_other_threads_read_do_not_hang() -> None:
    assert fork_while_threads_read([WHOLE["PNG"], WHOLE["WEBP"], WHOLE["TIFF"], WHOLE["CMYK"], by_pillow()], 40) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_waits_until_no_thread_is_in_code_with_locks_of_its_own() -> None:
    """NumPy's BLAS, which transforms pixels, holds locks that a child would inherit held."""
    guard, entered, left = ForkGuard(), threading.Event(), threading.Event()

    def be_inside() -> None:
        with guard, guard:  # more than one at a time
            entered.set()
            time.sleep(0.2)
            left.set()

    thread = threading.Thread(target=be_inside)
    thread.start()
    assert entered.wait(30)
    child = os.fork()
    if not child:
        with guard:  # the child's is free
            os._exit(0 if left.is_set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    with guard:  # so is the parent's
        pass


def test_pixels_are_transformed_where_a_fork_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    basis, inside = pixel_fallback._BASIS, []

    class Watched:
        T = basis.T

        def __matmul__(self, blocks: Any) -> Any:
            inside.append(pixel_fallback._BLAS._num_inside)
            return basis @ blocks

    monkeypatch.setattr(pixel_fallback, "_BASIS", Watched())
    read_image(WHOLE["PNG"])
    assert inside
    assert set(inside) == {1}


def _sum(source: bytes) -> int:
    return int(read_pixels(source).sum()) + int(read_image(source).components[0].quantized.sum())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_processes_of_every_start_method_read_the_same(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no start method {method}")
    sources = list(WHOLE.values())
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(_sum, sources) == [_sum(source) for source in sources]


def test_decoders_are_loaded_with_the_readers() -> None:
    code = (
        "import sys\nfrom prepixel.jpeg import read_image, read_pixels\nbefore = set(sys.modules)\n"
        "files = eval(sys.stdin.read())\n"
        "for file in files: read_image(file), read_pixels(file)\n"
        "print(sorted(n for n in set(sys.modules) - before if n.startswith('PIL')))"
    )
    files = repr(list(WHOLE.values()))
    done = subprocess.run([sys.executable, "-c", code], input=files, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
