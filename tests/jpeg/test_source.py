"""What is opened: regular files of bounded size, buffers, open binary files; nothing else, and nothing hangs."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.jpeg.small_files import HEIGHT, WIDTH, by_pillow

from prepixel.errors import JpegLimitExceeded, PrepixelError, UnreadableImage
from prepixel.jpeg import (
    Limits,
    bandlimit_jpeg,
    pack_jpeg,
    read_header,
    read_image,
    read_jpeg,
    read_pack,
    read_pack_header,
    read_pixels,
    read_segments,
    read_size,
    read_sizes,
)
from prepixel.spectrum import read_arrays, read_spectra

ALL = (range(64),) * 3
JPEG = by_pillow()
PACK = pack_jpeg(JPEG)

READERS: dict[str, Callable[..., Any]] = {
    "read_header": read_header,
    "read_jpeg": read_jpeg,
    "read_image": read_image,
    "read_pixels": read_pixels,
    "read_size": read_size,
    "read_segments": read_segments,
    "bandlimit_jpeg": lambda source, **options: bandlimit_jpeg(source, ALL, **options),
    "pack_jpeg": pack_jpeg,
    "read_pack": read_pack,
    "read_pack_header": read_pack_header,
    "read_sizes": lambda source, **options: read_sizes([source], **options),
    "read_spectra": lambda source, **options: read_spectra([source], grid=(2, 2), bands="S-6", **options),
    "read_arrays": lambda source, **options: read_arrays([source], grid=(2, 2), bands="S-6", **options),
}
FILES = {name: PACK if "read_pack" in name else JPEG for name in READERS}


def special(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.jpg"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "device":
        return Path("/dev/zero")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [("FIFO", "a FIFO"), ("device", "a character device"), ("link", "a character device"), ("socket", "a socket")],
)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_named_at_once(name: str, kind: str, words: str, tmp_path: Path) -> None:
    path = special(kind, tmp_path)
    for source in (path, str(path)):
        with pytest.raises(UnreadableImage, match=rf"{path.name}: {words}.*; only regular files are read"):
            READERS[name](source)


@pytest.mark.parametrize("name", READERS)
def test_a_folder_is_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        READERS[name](tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_file_without_permission_or_name_is_the_systems_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        READERS[name](tmp_path / "nowhere.jpg")


@pytest.mark.parametrize("name", READERS)
def test_a_sparse_file_is_not_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    path.write_bytes(JPEG)
    os.truncate(path, 20 * 2**30)
    if name in ("read_header", "read_size", "read_sizes"):  # which may read the beginning alone
        with contextlib.suppress(JpegLimitExceeded):
            READERS[name](path)
        return
    with pytest.raises(
        JpegLimitExceeded, match=r"sparse\.jpg: a file of 21474836480 bytes is larger than the limit of"
    ):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_open_files_are_read_from_where_they_stand(name: str, tmp_path: Path) -> None:
    file = FILES[name]
    expected = summary(READERS[name](file))
    (tmp_path / "file.jpg").write_bytes(b"in front" + file)
    with (tmp_path / "file.jpg").open("rb") as opened:
        for source in (io.BytesIO(file), opened):
            if source is opened:
                source.seek(8)
            assert summary(READERS[name](source)) == expected


@pytest.mark.parametrize("name", READERS)
def test_open_files_are_named_in_errors(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"<html>")
    with path.open("rb") as opened, pytest.raises(PrepixelError, match=r"bad\.jpg|open BufferedReader"):
        READERS[name](opened)
    with pytest.raises(TypeError, match="binary mode"):
        READERS[name](io.StringIO("text"))
    if name not in ("read_header", "read_size", "read_sizes"):
        with pytest.raises(JpegLimitExceeded, match="is larger than the limit of 10"):
            READERS[name](io.BytesIO(FILES[name]), limits=Limits(max_memory_bytes=10))


def summary(result: Any) -> Any:
    """Reduce a reader's result to what can be compared."""
    if hasattr(result, "components"):
        return [component.quantized.tolist() for component in result.components]
    if hasattr(result, "spectrum"):
        return result.spectrum.values.tolist()
    if hasattr(result, "values"):
        return result.values.tolist()
    if hasattr(result, "sizes"):
        return result.sizes.tolist()
    return result.tolist() if isinstance(result, np.ndarray) else result


@pytest.mark.parametrize(
    "read",
    [
        read_sizes,
        lambda s: read_spectra(s, grid=(2, 2), bands="S-6"),
        lambda s: read_arrays(s, grid=(2, 2), bands="S-6"),
    ],
)
def test_one_source_in_place_of_a_list_is_refused(read: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEG)
    with path.open("rb") as opened:
        for one in (str(path), path, JPEG, bytearray(JPEG), np.frombuffer(JPEG, np.uint8), io.BytesIO(JPEG), opened):
            with pytest.raises(TypeError, match=r"give a list of sources|Type-check error"):
                read(one)


def test_a_batch_may_mix_every_kind_of_source(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEG)
    (tmp_path / "b.ppx").write_bytes(PACK)
    sources = [path, str(path), JPEG, io.BytesIO(JPEG), PACK, io.BytesIO(PACK), tmp_path / "b.ppx"]
    assert read_sizes(sources).sizes.tolist() == [[HEIGHT, WIDTH]] * 7
    sources[3].seek(0)  # type: ignore[union-attr]
    sources[5].seek(0)  # type: ignore[union-attr]
    values = read_arrays(sources, grid=(2, 3), bands="S-24").values
    assert all(np.array_equal(values[0], one) for one in values)


def test_bad_sources_of_every_kind_are_listed_under_skip(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    os.mkfifo(tmp_path / "fifo.ppx")
    sources = [JPEG, tmp_path / "fifo.jpg", tmp_path / "fifo.ppx", tmp_path, io.BytesIO(b""), JPEG]
    report = read_arrays(sources, grid=(2, 2), bands="S-6", on_error="skip").report
    assert report.kept.tolist() == [0, 5]
    assert [failure.kind for failure in report.failures] == [
        "UnreadableImage",
        "UnreadableImage",
        "IsADirectoryError",
        "UnreadableImage",
    ]
    assert stat.S_ISFIFO((tmp_path / "fifo.jpg").stat().st_mode)
