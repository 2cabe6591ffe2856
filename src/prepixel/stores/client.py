"""Requests to object stores through obstore, with retries and with errors that say what to do.

Credentials come from the provider's own chain (environment, profile of the machine, instance metadata). They are
neither taken from URLs nor part of any message or record.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from typing import IO, Any, NamedTuple, TypeVar

from prepixel.errors import ObjectReplaced, StoreError
from prepixel.optional import extras_for

_MAX_RETRIES = 8
_BODY_RETRIES = 5
PAGE = 1000  # objects of one request, at most
_TIMEOUT = "60s"
_LAST = "\U0010ffff"
_FIRST_PROCESS: dict[str, int] = {}  # the process that used a store first; a forked one inherits it
_Result = TypeVar("_Result")

# Part of a provider's error: what it means, and what to do.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (r"NoSuchBucket|ContainerNotFound|bucket does not exist", "there is no such bucket", "check its name and region"),
    (
        r"RequestTimeTooSkewed|request time and the current time",
        "the clocks of this machine and the store differ",
        "set this machine's clock",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|failed to authenticate|401 Unauthorized",
        "the store does not accept the credentials",
        "check them; on AWS: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or the role of this machine",
    ),
    (
        r"AccessDenied|403 Forbidden",
        "access is denied",
        "let these credentials list, read and write here",
    ),
    (
        r"PROPFIND",
        "folders of an HTTP server cannot be listed",
        "name a folder of shards that prepixel pack wrote, or a bucket of a store",
    ),
    (
        r"169\.254\.169\.254|metadata\.google|MissingCredential|default credentials|account must be set|Account must",
        "no credentials were found",
        "set the provider's environment variables (on AWS: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION)",
    ),
)

# Names with empty parts, "." or "..", which the client refuses to list.
_NO_PATH = re.compile(r"invalid path: .*?Path \"([^\"]*)\"")


class ObjectInfo(NamedTuple):
    """Describe an object of a store.

    Attributes:
        key: its name in the bucket.
        size: bytes.
        etag: changes with its contents; empty where the store has none, or an HTTP server a weak one.
        modified_ns: when it was written, in nanoseconds since 1970.
    """

    key: str
    size: int
    etag: str
    modified_ns: int


def read_object(
    bucket: str, key: str, *, offset: int = 0, size: int | None = None, etag: str = "", max_bytes: int | None = None
) -> bytes:
    """Read an object, or a range of it, which is shorter where the object ends.

    Args:
        bucket: such as ``s3://photos``.
        key: the object's.
        offset: where the range begins.
        size: its bytes; None for the whole object.
        etag: what the object must still have; empty for any.
        max_bytes: raise where the object is larger.

    Raises:
        FileNotFoundError: there is no such object.
        ObjectReplaced: it has another ETag.
        StoreError: the store does not answer, or refuses.
        OSError: the object is larger than ``max_bytes``.
    """
    if size == 0:
        return b""
    options: Any = {"if_match": etag} if etag else {}
    if size is not None:
        options["range"] = (offset, offset + size)

    def read() -> bytes:
        import obstore

        result = obstore.get(_store(bucket, os.getpid()), key, options=options)
        if max_bytes is not None and result.meta["size"] > max_bytes:
            text = f"has {result.meta['size']} bytes; {max_bytes} are read at most"
            raise OSError(errno.EFBIG, text, f"{bucket}/{key}")
        return bytes(result.bytes())

    try:
        return _request(bucket, key, read)
    except _RangeBehindEndError:
        return b""


def object_info(bucket: str, key: str) -> ObjectInfo:
    """Return an object's size and ETag.

    Raises:
        FileNotFoundError, StoreError: as `read_object`.
    """

    def head() -> ObjectInfo:
        import obstore
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        store = _store(bucket, os.getpid())
        try:
            return _info(obstore.head(store, key))
        except (PermissionDeniedError, UnauthenticatedError):
            obstore.get_range(store, key, start=0, end=1)  # whose refusal says why; that of HEAD has no text
            raise

    return _request(bucket, key, head)


def list_objects(bucket: str, prefix: str, *, page: int | None = None) -> Iterator[ObjectInfo]:
    """Yield the objects below a prefix, in the store's order: by their names' bytes.

    Args:
        bucket: such as ``s3://photos``.
        prefix: a folder, without a slash at its end; empty for the whole bucket.
        page: objects of one request; None for `PAGE`.

    Raises:
        StoreError: the store does not answer, refuses, or cannot list.
    """
    listing = Listing(bucket, prefix, page)
    while found := listing.next_page():
        yield from found


class Listing:
    """List the objects below a prefix, page by page; each page is requested again until it is whole.

    Azure lists from the start only: there, one answer is followed to its end, and begun again where it breaks off.
    """

    def __init__(self, bucket: str, prefix: str, page: int | None = None) -> None:
        """Take what `list_objects` takes; nothing is requested yet."""
        self._bucket, self._prefix, self._page = bucket, prefix, page or PAGE
        self._after: str | None = ""  # the key to go on behind; None at the end
        self._stream: Iterator[Any] | None = None  # of a store that lists from the start only

    def next_page(self) -> list[ObjectInfo]:
        """Return further objects; none at the end."""
        if self._after is None:
            return []
        found = _request(self._bucket, self._prefix, self._request_page)
        if len(found) < self._page:
            self._after = None
            return found
        if self._stream is not None:
            self._after = found[-1].key
            return found
        # "cat/", an empty object that shows a folder, is listed as "cat", behind which "cat-1" would come again
        last = next((place for place, info in reversed(list(enumerate(found))) if info.size), len(found) - 1)
        behind = found[last].key
        self._after = f"{behind}/ " if behind == self._after else behind  # without the blank, the slash is lost
        return found[: last + 1]

    def skip_folder(self, folder: str) -> None:
        """Go on behind all keys that begin with a folder's, which ends in a slash, if the last page ended in it."""
        if self._stream is None and self._after is not None and self._after.startswith(folder):
            self._after = f"{folder}{_LAST}"

    def _request_page(self) -> list[ObjectInfo]:
        import obstore

        store = _store(self._bucket, os.getpid())
        stream, self._stream = self._stream, None  # one that breaks off is not used again
        if stream is None:
            options: Any = {"offset": self._after or None, "chunk_size": self._page}
            stream = iter(obstore.list(store, self._prefix or None, **options))
        found = [_info(meta) for meta in next(stream, [])]
        if self._bucket.startswith("az:"):
            self._stream = stream
        return found


def write_object(bucket: str, key: str, file: IO[bytes] | BytesIO) -> None:
    """Write an object whole, from a file's start to its end; the old object stays until the new one is whole.

    Raises:
        StoreError: the store does not answer, or refuses.
    """

    def put() -> None:
        import obstore

        for attempt in range(_BODY_RETRIES):
            file.seek(0)
            try:
                obstore.put(_store(bucket, os.getpid()), key, file)
            except FileNotFoundError as error:
                # The answer to an upload's completion was lost, and the client asked again for what was done.
                if "NoSuchUpload" not in str(error) or attempt + 1 == _BODY_RETRIES:
                    raise
            else:
                return

    try:
        _request(bucket, key, put)
    except FileNotFoundError as error:
        raise StoreError(f"{bucket}: there is no such bucket; check its name and region") from error


def delete_object(bucket: str, key: str) -> None:
    """Delete an object; one that is not there is no error.

    Raises:
        StoreError: the store does not answer, or refuses.
    """

    def delete() -> None:
        import obstore

        obstore.delete(_store(bucket, os.getpid()), key)

    with contextlib.suppress(FileNotFoundError):
        _request(bucket, key, delete)


def _info(meta: Any) -> ObjectInfo:
    modified = meta["last_modified"]
    nanoseconds = round(modified.timestamp() * 1e6) * 1000
    etag = meta["e_tag"] or ""
    if etag.startswith("W/"):  # a weak one never matches (RFC 9110, 13.1.1)
        etag = ""
    elif etag and not etag.startswith('"'):  # Azure's listings leave the quotes out
        etag = f'"{etag}"'
    return ObjectInfo(meta["path"], meta["size"], etag, nanoseconds)


@functools.lru_cache(maxsize=64)
def _store(bucket: str, process: int) -> Any:
    """Return the client of a bucket.

    Raises:
        StoreError: this process was forked from one that has used a store: it would wait for threads it does not have.
    """
    from obstore.store import from_url

    if _FIRST_PROCESS.setdefault("pid", process) != process:
        raise StoreError(
            f"{bucket}: this process was forked after its parent had used a store, whose client does not survive that; "
            "take workers=0, or the start method spawn"
        )

    options: Any = {"timeout": _TIMEOUT, "connect_timeout": "5s"}
    allowed = {os.environ.get(f"{provider}_ALLOW_HTTP", "").lower() for provider in ("AWS", "GOOGLE", "AZURE")}
    if bucket.startswith("http://") or "true" in allowed:  # the environment's choice, which options given here hide
        options["allow_http"] = True
    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=8), "base": 2}
    retry: Any = {"max_retries": _MAX_RETRIES, "backoff": backoff, "retry_timeout": timedelta(seconds=120)}
    return from_url(bucket, client_options=options, retry_config=retry)


class _RangeBehindEndError(Exception):
    """Report a range that begins behind an object's end."""


def _request(bucket: str, key: str, send: Callable[[], _Result]) -> _Result:
    """Send a request; the client has retried it, this repeats those whose answer broke off."""
    with extras_for(f"reading {bucket}"):
        import obstore.exceptions as errors
    name = f"{bucket}/{key}" if key else bucket
    for attempt in range(_BODY_RETRIES):
        try:
            return send()
        except FileNotFoundError as error:  # the store's, as obstore raises it
            if re.search(_CAUSES[0][0], str(error)):
                raise _store_error(bucket, error) from None
            raise FileNotFoundError(errno.ENOENT, "there is no such object", name) from None
        except errors.PreconditionError:
            raise ObjectReplaced(
                f"{name}: was replaced after it was listed (its ETag is another); start again when nothing writes there"
            ) from None
        except errors.BaseError as error:
            if "416 Range Not Satisfiable" in str(error):
                raise _RangeBehindEndError from None
            if attempt + 1 == _BODY_RETRIES or not _broke_off(str(error)):
                raise _store_error(name, error) from None
            time.sleep(random.uniform(0.5, 1) * 0.1 * 2**attempt)
    raise AssertionError("unreachable")


def _broke_off(text: str) -> bool:
    """Return whether an answer began and did not end."""
    return re.search(r"error decoding response body|body|connection closed|reset by peer|incomplete", text) is not None


def _store_error(name: str, error: Exception) -> StoreError:
    text = str(error)
    if found := _NO_PATH.search(text):
        return StoreError(f"{name}: the name of the object {found[1][:200]!r} is no path; rename or remove that object")
    for pattern, what, hint in _CAUSES:
        if re.search(pattern, text):
            return StoreError(f"{name}: {what}; {hint}")
    first = re.sub(r"\?[^\s:]*", "", (text.strip().splitlines() or [""])[0])  # a query may hold a signature
    first = re.sub(r"<[^>]*>", " ", first)
    return StoreError(f"{name}: the store does not answer as it should ({first[:200].strip()}); try again later")
