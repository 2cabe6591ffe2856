"""A small object server on loopback with S3's requests, that waits before each answer, refuses some and cuts others.

It serves a folder, whose subfolders are buckets, or a listing that is made up: a million names with few contents. It
takes any credentials. What it is for is measuring: it costs little time for each request, unlike complete servers.

    python -m benchmarks.object_server FOLDER --latency 0.02
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import hashlib
import os
import random
import re
import secrets
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape, unescape

_WRITTEN = "2026-01-01T00:00:00.000Z"
_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


class FolderObjects:
    """Objects that are the files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._keys: dict[str, list[str]] = {}  # of a bucket, sorted

    def size(self, name: str) -> int | None:
        """Return an object's bytes; None for one that is not there."""
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name: str, begin: int, end: int) -> bytes:
        """Return a part of an object."""
        with (self.root / name).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), end - begin, begin)

    def write(self, name: str, contents: bytes) -> None:
        """Write an object."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{secrets.token_hex(4)}")
        temporary.write_bytes(contents)
        temporary.replace(path)
        self._keys.pop(name.partition("/")[0], None)

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        (self.root / name).unlink(missing_ok=True)
        self._keys.pop(name.partition("/")[0], None)

    def list_after(self, bucket: str, prefix: str, after: str, count: int) -> list[tuple[str, int]]:
        """Return the names and sizes of objects of a bucket behind a name, sorted."""
        if bucket not in self._keys:
            top = self.root / bucket
            walk = os.walk(top, followlinks=True)
            self._keys[bucket] = sorted(
                Path(folder, name).relative_to(top).as_posix()
                for folder, _, names in walk
                for name in names
                if name[0] != "."
            )
        keys = self._keys[bucket]
        begin = max(bisect.bisect_right(keys, after), bisect.bisect_left(keys, prefix))
        found = [key for key in keys[begin : begin + count] if key.startswith(prefix)]
        return [(key, (self.root / bucket / key).stat().st_size) for key in found]


class MadeUpObjects(FolderObjects):
    """Any number of objects ``photos/classNNN/NNNNNNNNN.jpg``, whose contents are those of a few files in turn.

    What is written, is written to a folder.
    """

    _PER_CLASS = 1000

    def __init__(self, root: Path, count: int, contents: Sequence[bytes]) -> None:
        super().__init__(root)
        self._made_up = [f"photos/class{n // self._PER_CLASS:05}/{n:09}.jpg" for n in range(count)]
        self._contents = contents

    def size(self, name: str) -> int | None:
        """Return an object's bytes."""
        return len(self._content(name)) if name.endswith(".jpg") else super().size(name)

    def read(self, name: str, begin: int, end: int) -> bytes:
        """Return a part of an object."""
        return self._content(name)[begin:end] if name.endswith(".jpg") else super().read(name, begin, end)

    def _content(self, name: str) -> bytes:
        return self._contents[int(name[-13:-4]) % len(self._contents)]

    def list_after(self, bucket: str, prefix: str, after: str, count: int) -> list[tuple[str, int]]:
        """Return the names and sizes of objects."""
        if not "photos/".startswith(prefix) and not prefix.startswith("photos/"):
            return super().list_after(bucket, prefix, after, count)
        begin = max(bisect.bisect_right(self._made_up, after), bisect.bisect_left(self._made_up, prefix))
        keys = [key for key in self._made_up[begin : begin + count] if key.startswith(prefix)]
        return [(key, len(self._content(key))) for key in keys]


class Faults:
    """How long answers take, and how many of them go wrong."""

    def __init__(self, latency: float = 0.0, refused: float = 0.0, cut: float = 0.0) -> None:
        self.latency, self.refused, self.cut = latency, refused, cut
        self.requests = 0
        self._draws = random.Random(1)

    def draw(self) -> str:
        """Return what becomes of a request."""
        self.requests += 1
        draw = self._draws.random()
        return "refuse" if draw < self.refused else "cut" if draw < self.refused + self.cut else "answer"


class Connection(asyncio.Protocol):
    """Read requests of one connection, and answer one after the other."""

    def __init__(self, objects: FolderObjects, faults: Faults, uploads: dict[str, dict[int, bytes]]) -> None:
        self._objects, self._faults, self._uploads = objects, faults, uploads
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when a request is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", 0))
        if len(self._received) < end + 4 + size:
            return
        body = bytes(self._received[end + 4 : end + 4 + size])
        self._received.clear()  # clients wait for an answer before they send more
        method, target, _ = first.split(" ")
        asyncio.get_running_loop().call_later(self._faults.latency, self._answer, method, target, headers, body)

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        assert self._transport is not None
        fate = self._faults.draw()
        if fate == "refuse":
            answer = _answer_of("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>")
        else:
            answer = self._respond(method, target, headers, body)
        if fate == "cut":
            head = answer.find(b"\r\n\r\n") + 4
            self._transport.write(answer[: head + (len(answer) - head) // 2])
            self._transport.close()
            return
        self._transport.write(answer)

    def _respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        path, _, text = target.partition("?")
        name, query = urllib.parse.unquote(path).strip("/"), dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        if method in {"GET", "HEAD"} and "list-type" in query:
            return self._list(name, query)
        if method in {"GET", "HEAD"}:
            return self._get(name, headers, whole=method == "GET")
        if method == "DELETE":
            self._objects.delete(name)
            return _answer_of("204 No Content", b"")
        if method == "PUT" and "uploadId" in query:
            self._uploads[query["uploadId"]][int(query["partNumber"])] = body
        elif method == "PUT":
            self._objects.write(name, body)
        elif "delete" in query:
            keys = re.findall(r"<Key>([^<]*)</Key>", body.decode())
            for key in map(unescape, keys):
                self._objects.delete(f"{name}/{key}")
            return _xml(
                f"<DeleteResult>{''.join(f'<Deleted><Key>{key}</Key></Deleted>' for key in keys)}</DeleteResult>"
            )
        elif "uploads" in query:
            upload = secrets.token_hex(8)
            self._uploads[upload] = {}
            return _xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        elif "uploadId" in query:
            parts = self._uploads.pop(query["uploadId"])
            body = b"".join(parts[number] for number in sorted(parts))
            self._objects.write(name, body)
            return _xml(
                f"<CompleteMultipartUploadResult><ETag>{_etag(len(body))}</ETag></CompleteMultipartUploadResult>"
            )
        return _answer_of("200 OK", b"", f"ETag: {_etag(len(body))}")

    def _get(self, name: str, headers: dict[str, str], *, whole: bool) -> bytes:
        size = self._objects.size(name)
        if size is None:
            return _answer_of("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>" if whole else b"")
        etag, status, more = _etag(size), "200 OK", ""
        if headers.get("if-match", etag) != etag:
            return _answer_of("412 Precondition Failed", b"<Error><Code>PreconditionFailed</Code></Error>")
        begin, end = 0, size
        if asked := headers.get("range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or size) + 1, size)
            if begin >= size:
                return _answer_of("416 Range Not Satisfiable", b"<Error><Code>InvalidRange</Code></Error>")
            status, more = "206 Partial Content", f"Content-Range: bytes {begin}-{end - 1}/{size}\r\n"
        head = f"{more}ETag: {etag}\r\nLast-Modified: {_MODIFIED}"
        return _answer_of(status, self._objects.read(name, begin, end) if whole else b"", head, size=end - begin)

    def _list(self, bucket: str, query: dict[str, str]) -> bytes:
        count = int(query.get("max-keys", 1000))
        after = query.get("continuation-token") or query.get("start-after") or ""
        found = self._objects.list_after(bucket, query.get("prefix", ""), after, count)
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_WRITTEN}</LastModified>"
            f"<ETag>{_etag(size)}</ETag><Size>{size}</Size></Contents>"
            for key, size in found
        )
        more = len(found) == count
        token = f"<NextContinuationToken>{escape(found[-1][0])}</NextContinuationToken>" if more else ""
        return _xml(
            f"<ListBucketResult><KeyCount>{len(found)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{rows}</ListBucketResult>"
        )


def _etag(size: int) -> str:
    """Return an ETag, good enough for objects that nobody replaces."""
    return f'"{hashlib.sha256(str(size).encode()).hexdigest()[:16]}"'


def _answer_of(status: str, body: bytes, head: str = "", *, size: int | None = None) -> bytes:
    length = len(body) if size is None else size
    lines = [f"HTTP/1.1 {status}", *([head] if head else []), f"Content-Length: {length}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _xml(text: str) -> bytes:
    return _answer_of("200 OK", text.encode(), "Content-Type: application/xml")


@contextmanager
def object_server(root: Path, *words: str, core: int | None = None) -> Iterator[str]:
    """Run the server in a process of its own, on one core if it is named, and yield its URL."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    command = [*pinned, sys.executable, "-m", "benchmarks.object_server", str(root), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def serve(objects: FolderObjects, faults: Faults) -> None:
    """Print the server's URL, and serve for ever."""
    uploads: dict[str, dict[int, bytes]] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(objects, faults, uploads), "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve a folder, or a made-up listing of photos found in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="its subfolders are buckets")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--refused", type=float, default=0.0, help="share of requests that get status 503")
    parser.add_argument("--cut", type=float, default=0.0, help="share of answers that break off")
    parser.add_argument("--count", type=int, default=0, help="list so many objects; contents are the root's *.jpg")
    options = parser.parse_args()
    objects = FolderObjects(options.root)
    if options.count:
        contents = [path.read_bytes() for path in sorted(options.root.glob("*.jpg"))]
        objects = MadeUpObjects(options.root, options.count, contents)
    asyncio.run(serve(objects, Faults(options.latency, options.refused, options.cut)))


if __name__ == "__main__":
    main()
