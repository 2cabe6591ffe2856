"""Try an installed prepixel without any extra: read, band-limit, pack and inspect a JPEG; then what the install costs.

Usage: python -P .ci/smoke.py, from a folder that does not hold prepixel's sources.
"""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import prepixel
from prepixel import BandSet
from prepixel.jpeg import bandlimit_jpeg, pack_jpeg, read_jpeg, read_pack

_COST = """
import resource, time
start = time.perf_counter()
import prepixel; prepixel.read_jpeg
seconds = time.perf_counter() - start
print(f"import prepixel; prepixel.read_jpeg: {1000 * seconds:.0f} ms, "
      f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB resident")
"""


def _photo() -> bytes:
    ramp = np.add.outer(np.linspace(0, 120, 61), np.linspace(0, 120, 83))
    pixels = np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return buffer.getvalue()


def _size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main() -> None:
    """Run the smoke test; an assertion or an exit status other than 0 ends it."""
    assert importlib.util.find_spec("torch") is None, "this is not the light install"
    photo, bands = _photo(), BandSet.parse("S-24")
    image = read_jpeg(photo)
    assert [component.quantized.shape for component in image.components] == [(8, 11, 8, 8), (4, 6, 8, 8), (4, 6, 8, 8)]
    kept = tuple(bands.of_component(index) for index in range(3))
    limited = read_jpeg(bandlimit_jpeg(photo, kept))
    packed = read_pack(pack_jpeg(photo, kept))
    for whole, jpeg, pack, ids in zip(image.components, limited.components, packed.components, kept, strict=True):
        mask = np.isin(np.arange(64), ids).reshape(8, 8)
        assert np.array_equal(jpeg.quantized, whole.quantized * mask)
        assert np.array_equal(pack.quantized, whole.quantized * mask)

    scripts = Path(sysconfig.get_path("scripts"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "photos", "class", "photo.jpg")
        file.parent.mkdir(parents=True)
        file.write_bytes(photo)
        for words in (
            ["inspect", str(file)],
            ["scan", f"{folder}/photos"],
            ["pack", f"{folder}/photos", f"{folder}/shards", "--bands", "S-24"],
            ["env"],
        ):
            subprocess.run([scripts / "prepixel", *words], check=True, stdout=subprocess.DEVNULL)

    print(f"prepixel {prepixel.__version__} on Python {sys.version.split()[0]}: smoke test passed")
    packages = Path(sysconfig.get_path("platlib"))
    parts = {name: _size_mib(packages / name) for name in ("prepixel", "numpy", "numpy.libs", "PIL", "pillow.libs")}
    print("site-packages, MiB:", ", ".join(f"{name} {size:.1f}" for name, size in parts.items()))
    subprocess.run([sys.executable, "-P", "-c", _COST], check=True)


if __name__ == "__main__":
    main()
