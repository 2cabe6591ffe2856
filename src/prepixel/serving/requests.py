"""The bodies of requests: read within limits, and split into photos."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from prepixel.serving.service_settings import ServiceSettings

_PLAIN = {"application/octet-stream", "application/x-www-form-urlencoded", ""}  # the second is curl's --data-binary
_DRAINED = 4  # a body that is too large is read to its end if it is at most so many times as large as allowed


class Refusal(Exception):
    """Report a request that is not answered with a prediction.

    Attributes:
        status: of HTTP.
        kind: a word for programs: an error's class name.
        message: a sentence for people.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, kind, message)
        self.status, self.kind, self.message = status, kind, message


@dataclass(frozen=True)
class Photo:
    """Store one photo of a request.

    Attributes:
        name: the file name that the client gave, or empty.
        contents: its bytes.
    """

    name: str
    contents: bytes


class BodyBudget:
    """Memory that the bodies of all requests share."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    @contextlib.contextmanager
    def share(self) -> Iterator[BodyShare]:
        """Count what a request takes until the context ends."""
        share = BodyShare(self)
        try:
            yield share
        finally:
            self.used -= share.used


class BodyShare:
    """The part of a budget that one request has taken."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget, self.used = budget, 0

    def take(self, size: int) -> None:
        """Take more of the budget.

        Raises:
            Refusal: it is used up.
        """
        if self._budget.used + size > self._budget.limit:
            raise Refusal(429, "Busy", "the service holds as many bytes as it may; try again later")
        self._budget.used += size
        self.used += size


async def read_photos(request: Request, settings: ServiceSettings, share: BodyShare) -> list[Photo]:
    """Read a request's body and return its photos: the body itself, or the files of a multipart form.

    Raises:
        Refusal: the body is too large, too slow, of another kind, or holds no photo or too many.
        ClientDisconnect: the client is gone.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    content_type = kind.decode("latin-1").lower()
    form = content_type == "multipart/form-data"
    if not (form or content_type.startswith("image/") or content_type in _PLAIN):
        raise Refusal(
            415, "UnsupportedMediaType", f"a body of type {content_type[:80]} is not read; send image/jpeg or a form"
        )
    body = await _read_body(request, settings, share)
    if not form:
        if not body:
            raise Refusal(422, "NoPhoto", "the body is empty; send the bytes of a photo")
        return [Photo("", body)]
    photos = _split_form(body, options.get(b"boundary", b""), settings.max_photos)
    if not photos:
        raise Refusal(422, "NoPhoto", "the form holds no file; send photos as files")
    return photos


async def _read_body(request: Request, settings: ServiceSettings, share: BodyShare) -> bytes:
    limit = settings.max_body_bytes
    too_large = Refusal(413, "BodyTooLarge", f"the body is larger than the {limit} bytes that are allowed")
    stated = request.headers.get("content-length", "")
    expected = int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else 0
    parts, size = list[bytes](), 0
    if expected > _DRAINED * limit:
        raise too_large
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in _stream(request):
                size += len(part)
                if size > _DRAINED * limit:
                    raise too_large
                if max(size, expected) <= limit:
                    share.take(len(part))
                    parts.append(part)
                else:  # a client that is cut off while it sends would not see the answer
                    parts.clear()
    except TimeoutError as error:
        raise Refusal(
            408, "BodyTooSlow", f"the body did not arrive within {settings.body_seconds:g} seconds"
        ) from error
    if max(size, expected) > limit:
        raise too_large
    return b"".join(parts)


async def _stream(request: Request) -> AsyncIterator[bytes]:
    async for part in request.stream():
        if part:
            yield part


def _split_form(body: bytes, boundary: bytes, max_photos: int) -> list[Photo]:
    """Return the files of a multipart form; fields without a file name are passed over."""
    photos, headers = list[Photo](), dict[bytes, bytes]()
    name, value, contents = bytearray(), bytearray(), bytearray()

    def end_header() -> None:
        headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def end_part() -> None:
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        if b"filename" in options:
            if len(photos) == max_photos:
                raise Refusal(413, "TooManyPhotos", f"the form holds more than {max_photos} photos; send fewer at once")
            photos.append(Photo(options[b"filename"].decode("utf-8", "replace"), bytes(contents)))
        headers.clear()
        contents.clear()

    ended: list[bool] = []
    callbacks: Any = {
        "on_header_field": lambda data, start, end: name.extend(data[start:end]),
        "on_header_value": lambda data, start, end: value.extend(data[start:end]),
        "on_header_end": end_header,
        "on_part_data": lambda data, start, end: contents.extend(data[start:end]),
        "on_part_end": end_part,
        "on_end": lambda: ended.append(True),
    }
    try:
        if not boundary:
            raise FormParserError("it has no boundary")
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
        if not ended:
            raise FormParserError("it ends before its last boundary")
    except FormParserError as error:
        raise Refusal(422, "MalformedForm", f"the multipart form cannot be read: {error}") from error
    return photos


__all__ = ["BodyBudget", "BodyShare", "ClientDisconnect", "Photo", "Refusal", "read_photos"]
