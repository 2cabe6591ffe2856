"""Ask how fast a JPEG's bytes become coefficients, one thread, with the peers that stop there or at RGB beside it.

All roads run in this process over the same files in memory, in turn, file set by file set; a road's figure is the
median over rounds, its ratio the median of the ratios to libjpeg-turbo's coefficients in the same round.

    python benchmarks/reading.py -n 9
"""

from __future__ import annotations

import ctypes
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import simplejpeg
import torch
from measure import arguments, interleave, photos, report
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from prepixel.jpeg import read_jpeg

REFERENCE = "libjpeg-turbo, C: coefficients"
PEER_SOURCE = Path(__file__).with_name("libjpeg_peer.c")


def compile_peer(folder: Path) -> ctypes.CDLL:
    """Build libjpeg-turbo's road from C against the system's library."""
    library = folder / "libjpeg_peer.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(PEER_SOURCE), "-ljpeg", "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def recode_progressive(files: list[bytes]) -> list[bytes]:
    """Re-code losslessly by jpegtran."""
    command = [shutil.which("jpegtran") or "jpegtran", "-progressive"]
    return [subprocess.run(command, input=file, capture_output=True, check=True).stdout for file in files]


def roads(files: list[bytes], peer: ctypes.CDLL) -> dict[str, Callable[[], None]]:
    """Name each road; each call reads every file once."""

    def each(read: Callable[[bytes], object]) -> Callable[[], None]:
        def run() -> None:
            for file in files:
                read(file)

        return run

    def by_c(function: Callable[[bytes, int], int]) -> Callable[[bytes], None]:
        def read(file: bytes) -> None:
            if function(file, len(file)):
                raise RuntimeError("libjpeg-turbo refused a file of the benchmark")

        return read

    tensors = {file: torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in files}
    return {
        REFERENCE: each(by_c(peer.read_coefficients)),
        "prepixel: coefficients": each(read_jpeg),
        "libjpeg-turbo, C: RGB": each(by_c(peer.read_rgb)),
        "simplejpeg: RGB": each(simplejpeg.decode_jpeg),
        "torchvision: RGB": each(lambda file: decode_jpeg(tensors[file], mode=ImageReadMode.RGB)),
        "Pillow: RGB": each(lambda file: Image.open(io.BytesIO(file)).convert("RGB")),
    }


def main() -> None:
    """Time every road on the photos as they are and re-coded as progressive."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    files = [path.read_bytes() for path in sorted((photos() / "imagenet_samples").glob("*.JPEG"))][: options.files]
    with tempfile.TemporaryDirectory() as folder:
        peer = compile_peer(Path(folder))
        for kind, kind_files in (("as distributed", files), ("progressive", recode_progressive(files))):
            timings = interleave(roads(kind_files, peer), rounds=options.n)
            report(
                "reading",
                kind,
                timings,
                per=len(kind_files),
                reference="libjpeg-turbo, C: coefficients",
                options=options,
            )


if __name__ == "__main__":
    main()
