"""Photos that packing and thinning are tried on."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from tests.jpeg.small_files import pixels


def write_photos(root: Path, count: int, *, cut: int) -> None:
    """Write JPEGs of different sizes and kinds in folders, the one numbered ``cut`` cut short."""
    for index in range(count):
        path = root / f"class{index % 7}" / f"{index:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        image = Image.fromarray(pixels(31 + index, 173 - index))
        image.save(file, "jpeg", quality=50 + index % 40, progressive=index % 5 == 0, subsampling=index % 3)
        contents = file.getvalue()
        path.write_bytes(contents[: len(contents) // 2] if index == cut else contents)
