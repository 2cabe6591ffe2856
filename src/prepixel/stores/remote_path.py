"""Paths in object stores, with those methods of `pathlib.Path` that folders of images and shards need."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias

from prepixel.errors import StoreError
from prepixel.stores.client import (
    Listing,
    ObjectInfo,
    delete_object,
    list_objects,
    object_info,
    read_object,
    write_object,
)

_URL = re.compile(r"(s3|gs|az|https?)://([^/?#]*)(/[^?#]*)?", re.IGNORECASE)
_RANGE = 16 << 20  # bytes read by one request


class RemoteStatus(NamedTuple):
    """Store an object's size and time of change, named as `os.stat` names them."""

    st_size: int
    st_mtime_ns: int


class RemotePath:
    """Name an object, or a folder of objects, of a store; made by `to_path`.

    Attributes:
        bucket: such as ``s3://photos`` or ``https://example.org``.
        key: below the bucket, with forward slashes; empty for the bucket itself.
    """

    __slots__ = ("bucket", "key")

    def __init__(self, bucket: str, key: str = "") -> None:
        """Join a bucket's URL and a key."""
        self.bucket, self.key = bucket, key

    @classmethod
    def parse(cls, url: str) -> RemotePath:
        """Return the path that a URL names.

        Raises:
            StoreError: the URL has no bucket, credentials, a query or a fragment.
        """
        found = _URL.fullmatch(url)
        if found is None or not found[2]:
            raise StoreError(f"{hide_secrets(url)}: is no URL of a store; write s3://BUCKET/FOLDER, without a query")
        if "@" in found[2]:
            raise StoreError(
                f"{hide_secrets(url)}: holds credentials; give them by the provider's environment variables"
            )
        key = posixpath.normpath((found[3] or "/").lstrip("/"))
        return cls(f"{found[1].lower()}://{found[2]}", "" if key == "." else key)

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    def __fspath__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and (self.bucket, self.key) == (other.bucket, other.key)

    def __hash__(self) -> int:
        return hash((self.bucket, self.key))

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.bucket, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """Return the last part; of a bucket, its name."""
        return posixpath.basename(self.key) or self.bucket.partition("://")[2]

    @property
    def suffix(self) -> str:
        """Return the last part's ending, with its dot."""
        return posixpath.splitext(self.key)[1]

    @property
    def stem(self) -> str:
        """Return the last part without its ending."""
        return posixpath.splitext(self.name)[0]

    @property
    def parent(self) -> RemotePath:
        """Return the folder."""
        return RemotePath(self.bucket, posixpath.dirname(self.key))

    def with_name(self, name: str) -> RemotePath:
        """Return the path with another last part."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> RemotePath:
        """Return the path with another ending."""
        return RemotePath(self.bucket, posixpath.splitext(self.key)[0] + suffix)

    def relative_to(self, root: RemotePath) -> RemoteName:
        """Return the name below a folder.

        Raises:
            ValueError: the path is not below it.
        """
        if not self.is_relative_to(root):
            raise ValueError(f"{self} is not below {root}")
        return RemoteName(self.key[len(root.key) :].lstrip("/"))

    def is_relative_to(self, root: RemotePath) -> bool:
        """Return whether the path is a folder itself, or below it."""
        below = not root.key or self.key == root.key or self.key.startswith(f"{root.key}/")
        return self.bucket == root.bucket and below

    def is_dir(self) -> bool:
        """Return whether an object lies below the path."""
        return next(list_objects(self.bucket, self.key, page=1), None) is not None

    def is_file(self) -> bool:
        """Return whether the path is an object."""
        if not self.key:
            return False
        try:
            object_info(self.bucket, self.key)
        except FileNotFoundError:
            return False
        return True

    def exists(self) -> bool:
        """Return whether the path is an object, or one lies below it."""
        return self.is_file() or self.is_dir()

    def stat(self) -> RemoteStatus:
        """Return an object's size and time of change.

        Raises:
            FileNotFoundError: there is no such object.
        """
        info = object_info(self.bucket, self.key)
        return RemoteStatus(info.size, info.modified_ns)

    def listed(self) -> ListedObject:
        """Return the object as a listing has it, so that reads ask for its ETag.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return ListedObject.of(self.bucket, object_info(self.bucket, self.key))

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield the objects and folders right below the path, objects first, each kind sorted."""
        objects, folders = split_folder(self)
        yield from (RemotePath(self.bucket, info.key) for info in objects)
        yield from (self / name for name in folders)

    def read_bytes(self, *, max_bytes: int | None = None) -> bytes:
        """Read the object."""
        return read_object(self.bucket, self.key, max_bytes=max_bytes)

    def download(self, file: IO[bytes]) -> None:
        """Write the object's bytes into a file, read by ranges, so that memory does not grow with its size.

        Raises:
            FileNotFoundError, ObjectReplaced, StoreError: as `prepixel.stores.client.read_object`.
        """
        download_listed(self.listed(), file)

    def read_parts(self) -> Iterator[bytes]:
        """Yield the object's bytes, as `download` reads them."""
        return read_parts(self.listed())

    def check_writable(self) -> None:
        """Check that files can be written here at all.

        Raises:
            StoreError: they cannot: it is an HTTP server.
        """
        if self.bucket.startswith("http"):
            raise StoreError(f"{self}: files cannot be written over HTTP; name a folder, or a bucket of a store")

    def upload(self, file: IO[bytes] | BytesIO) -> None:
        """Write the object whole, from a file."""
        self.check_writable()
        write_object(self.bucket, self.key, file)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete the object; one that is not there is no error."""
        del missing_ok
        delete_object(self.bucket, self.key)

    def rmdir(self) -> None:
        """Do nothing: a store has no empty folders."""


class RemoteName(str):
    """The name of an object below a folder."""

    __slots__ = ()

    def as_posix(self) -> str:
        """Return the name."""
        return str(self)


AnyPath: TypeAlias = Path | RemotePath
"""A path of the file system, or in a store."""


class ListedObject(str):
    """The URL of an object, with what its listing said.

    Attributes:
        info: size, ETag and time of change.
    """

    info: ObjectInfo

    @classmethod
    def of(cls, bucket: str, info: ObjectInfo) -> ListedObject:
        """Return the URL of a listed object."""
        url = cls(f"{bucket}/{info.key}")
        url.info = info
        return url

    @property
    def place(self) -> RemotePath:
        """Return the object's path, also where its name holds what the text of a URL cannot, such as ``?``."""
        return RemotePath(self[: -len(self.info.key) - 1], self.info.key)


def is_url(path: object) -> bool:
    """Return whether a path, or a text, names something in a store."""
    return isinstance(path, RemotePath) or (isinstance(path, str) and _URL.match(path) is not None)


def to_path(path: str | os.PathLike[str]) -> AnyPath:
    """Return a path of the file system or, of a URL, one in a store.

    Raises:
        StoreError: the URL cannot be used.
    """
    if isinstance(path, RemotePath):
        return path
    if isinstance(path, ListedObject):
        return path.place
    return RemotePath.parse(path) if isinstance(path, str) and is_url(path) else Path(path)


def hide_secrets(url: str) -> str:
    """Return a URL without what may be a password or a signature."""
    return re.sub(r"//[^/@]*@", "//***@", re.sub(r"[?#].*", "?***", url))


def remote_files(root: RemotePath, endings: Sequence[str]) -> Iterator[ListedObject]:
    """Yield the files below a folder in the order of `prepixel.files.image_files`, without names that begin with a dot.

    The listing streams: memory grows with the subfolders of one folder, not with its files.
    """
    folders: list[str] = []
    for found in _walk_folder(root):
        if isinstance(found, str):
            folders.append(found)
        elif not (name := posixpath.basename(found.key)).startswith(".") and name.lower().endswith(tuple(endings)):
            yield ListedObject.of(root.bucket, found)
    for name in sorted(folders):  # a store sorts them with their slash
        if not name.startswith("."):
            yield from remote_files(root / name, endings)


def split_folder(root: RemotePath) -> tuple[list[ObjectInfo], list[str]]:
    """List the objects and the names of the folders right below a folder, each sorted."""
    found = list(_walk_folder(root))
    return [one for one in found if not isinstance(one, str)], sorted(one for one in found if isinstance(one, str))


def _walk_folder(root: RemotePath) -> Iterator[ObjectInfo | str]:
    """Yield the objects right below a folder, and the name of each folder once, whose own objects are skipped.

    A page is requested for each thousand objects here, and for each folder that does not end in the page it begins in.
    Empty objects that consoles make to show a folder, such as ``cat/``, are listed as ``cat`` right before what is in
    it; they are left out.
    """
    begin = f"{root.key}/" if root.key else ""
    skipped = "/"  # the start of keys that are passed over; none begins with a slash
    empty: ObjectInfo | None = None  # an object, or what shows a folder
    listing = Listing(root.bucket, root.key)
    while page := listing.next_page():
        for info in page:
            if info.key.startswith(skipped) or info.key == root.key:
                continue
            if empty is not None and not info.key.startswith(f"{empty.key}/"):
                yield empty
            empty = None
            name, slash, _ = info.key[len(begin) :].partition("/")
            if slash:
                skipped = f"{begin}{name}/"
                yield name
            elif info.size:
                yield info
            else:
                empty = info
        listing.skip_folder(skipped)
    if empty is not None:
        yield empty


def read_listed(path: str, offset: int = 0, size: int | None = None) -> bytes:
    """Read an object, or a range of it, by its URL; one that was listed must still have the same ETag.

    Raises:
        FileNotFoundError, StoreError: as `prepixel.stores.client.read_object`.
    """
    where = path.place if isinstance(path, ListedObject) else RemotePath.parse(path)
    etag = path.info.etag if isinstance(path, ListedObject) else ""
    return read_object(where.bucket, where.key, offset=offset, size=size, etag=etag)


def download_listed(path: ListedObject, file: IO[bytes]) -> None:
    """Write a listed object's bytes into a file, read by ranges, so that memory does not grow with its size.

    Raises:
        FileNotFoundError, ObjectReplaced, StoreError: as `prepixel.stores.client.read_object`.
    """
    for part in read_parts(path):
        file.write(part)


def read_parts(path: ListedObject) -> Iterator[bytes]:
    """Yield a listed object's bytes by ranges; errors are those of `download_listed`."""
    for offset in range(0, path.info.size, _RANGE):
        yield read_listed(path, offset, min(_RANGE, path.info.size - offset))
