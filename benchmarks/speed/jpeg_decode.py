"""Measure how fast a JPEG's bytes become coefficients on one thread, beside decoders that stop there or at RGB.

All decoders run in this process over the same files in memory, in turn, file set by file set. A decoder's figure is the
median over rounds; its ratio is the median of the ratios to libjpeg-turbo's coefficients in the same round. S-24 reads
16 luma and 4 + 4 chroma frequencies and leaves the others zero. Peers that accept only paths get paths in a memory file
system; peers that are not installed are named and left out (benchmarks/peers/install.sh installs them).

    python -m benchmarks.speed.jpeg_decode -n 9
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
from benchmarks.harness import arguments, interleave, peer, photos, report
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from prepixel.jpeg import read_jpeg
from prepixel.spectrum import BandSet

REFERENCE = "libjpeg-turbo, C: coefficients"
PEER_SOURCE = Path(__file__).parents[1] / "peers" / "libjpeg_peer.c"
S_24 = tuple(BandSet.parse("S-24").of_component(component) for component in range(3))
LEAST_OF_A_KIND = 5  # fewest photos of one sampling that get a table of their own

Read = Callable[[bytes], object]


def compile_peer(folder: Path) -> ctypes.CDLL:
    """Build libjpeg-turbo's pipeline from C against the system's library."""
    library = folder / "libjpeg_peer.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(PEER_SOURCE), "-ljpeg", "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def recode_progressive(files: list[bytes]) -> list[bytes]:
    """Re-code losslessly by jpegtran."""
    command = [shutil.which("jpegtran") or "jpegtran", "-progressive"]
    return [subprocess.run(command, input=file, capture_output=True, check=True).stdout for file in files]


def own_readers(library: ctypes.CDLL) -> dict[str, Read]:
    """Return the readers of coefficients: libjpeg-turbo's and ours, by name."""
    return {
        REFERENCE: _by_c(library.read_coefficients),
        "prepixel: coefficients": read_jpeg,
        "prepixel: S-24 of the coefficients": lambda file: read_jpeg(file, bands=S_24),
    }


def peer_readers(library: ctypes.CDLL, paths: dict[bytes, str]) -> dict[str, Read]:
    """Return the peers' readers that can run here, by name."""
    tensors = {file: torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in paths}
    pipelines: dict[str, Read] = {}
    if jpegio := peer("jpegio"):
        pipelines["pyjpegio: coefficients"] = lambda file: jpegio.read(paths[file]).coef_arrays
    if jpeglib := peer("jpeglib"):
        pipelines["jpeglib: coefficients"] = lambda file: jpeglib.read_dct(paths[file]).Y
    pipelines |= {
        "libjpeg-turbo, C: RGB": _by_c(library.read_rgb),
        "simplejpeg: RGB": simplejpeg.decode_jpeg,
        "torchvision: RGB": lambda file: decode_jpeg(tensors[file], mode=ImageReadMode.RGB),
        "Pillow: RGB": lambda file: Image.open(io.BytesIO(file)).convert("RGB"),
    }
    if cv2 := peer("cv2"):
        cv2.setNumThreads(1)
        pipelines["OpenCV: BGR"] = lambda file: cv2.imdecode(tensors[file].numpy(), cv2.IMREAD_COLOR)
    if spdl := peer("spdl.io", works=lambda spdl: spdl.load_image(next(iter(paths)))):
        rgb = spdl.get_video_filter_desc(pix_fmt="rgb24")
        pipelines["spdl: RGB"] = lambda file: spdl.to_numpy(spdl.load_image(file, filter_desc=rgb))
    return pipelines


def _by_c(function: Callable[[bytes, int], int]) -> Read:
    def read(file: bytes) -> None:
        if function(file, len(file)):
            raise RuntimeError("libjpeg-turbo refused a file of the benchmark")

    return read


def _each(files: list[bytes], read: Read) -> Callable[[], None]:
    def run() -> None:
        for file in files:
            read(file)

    return run


def by_sampling(files: list[bytes]) -> dict[str, list[bytes]]:
    """Group files by chroma subsampling; groups of few files are left out."""
    kinds: dict[str, list[bytes]] = {}
    for file in files:
        sampling = [component.sampling for component in read_jpeg(file).components]
        luma = {(1, 1): "4:4:4", (2, 2): "4:2:0", (1, 2): "4:2:2"}.get(sampling[0], "other")
        kinds.setdefault("gray" if len(sampling) == 1 else luma, []).append(file)
    return {kind: of_kind for kind, of_kind in sorted(kinds.items()) if len(of_kind) >= LEAST_OF_A_KIND}


def main() -> None:
    """Time every pipeline on the photos as they are and re-coded as progressive, then ours by kind of sampling."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    distributed = [path.read_bytes() for path in sorted((photos() / "imagenet_samples").glob("*.JPEG"))][
        : options.files
    ]
    progressive = recode_progressive(distributed)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        library = compile_peer(Path(folder))
        own = own_readers(library)
        paths = {}
        for index, file in enumerate([*distributed, *progressive]):
            path = Path(folder, f"{index}.jpg")
            path.write_bytes(file)
            paths[file] = str(path)
        everything = own | peer_readers(library, paths)
        cases = [("as distributed", distributed, everything), ("progressive", progressive, everything)]
        cases += [(f"as distributed, {kind}", files, own) for kind, files in by_sampling(distributed).items()]
        for case, files, pipelines in cases:
            timings = interleave({name: _each(files, read) for name, read in pipelines.items()}, rounds=options.n)
            report("reading", case, timings, per=len(files), reference=REFERENCE, options=options)


if __name__ == "__main__":
    main()
