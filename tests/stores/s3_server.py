"""An S3 server on loopback, and a proxy before it that fails, waits and cuts connections."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

SKEWED = (
    b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is "
    b"too large.</Message></Error>"
)
REFUSED = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 40\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code></Error>    "
)


@contextlib.contextmanager
def s3_server(**environment: str) -> Iterator[str]:
    """Run moto's server in a process of its own, with more in its environment, and yield its URL."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/moto-api/")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(url: str, *, refusal_is_an_answer: bool = False) -> None:
    """Wait for a server that is starting."""
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            if refusal_is_an_answer:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(url)


class FaultyProxy:
    """Pass connections on to a server: some are refused with 503, some are cut inside the answer.

    A clock that goes wrong by ``clock_offset`` seconds refuses requests signed 15 minutes from its time, as S3 does.

    Each connection carries one request, because the proxy asks the client to close it.
    """

    def __init__(
        self, port: int, *, refused: float = 0.0, cut: float = 0.0, latency: float = 0.0, clock_offset: float = 0.0
    ) -> None:
        self.port, self.refused, self.cut, self.latency = port, refused, cut, latency
        self.clock_offset = clock_offset
        self.cut_once = ""  # a text of the line of a request whose answer is cut, the first time
        self.num_refused = self.num_cut = self.num_requests = 0
        self.lines: list[str] = []  # of the requests, the first of each
        self._draws, self._lock = random.Random(1), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError):
            request = _read_request(client)
            if not request:
                return
            with self._lock:
                self.num_requests += 1
                self.lines.append(request.partition(b"\r\n")[0].decode("latin-1"))
                draw = self._draws.random()
                refuse, cut = draw < self.refused, self.refused <= draw < self.refused + self.cut
                if self.cut_once and self.cut_once in self.lines[-1]:
                    cut, self.cut_once = True, ""
                self.num_refused += refuse
                self.num_cut += cut
            time.sleep(self.latency)
            if refuse:
                client.sendall(REFUSED)
                return
            if self.clock_offset and self._is_skewed(request):
                head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(SKEWED)}\r\nConnection: close\r\n\r\n"
                client.sendall(head.encode() + SKEWED)
                return
            with socket.create_connection(("127.0.0.1", self.port)) as server:
                server.sendall(request)
                self._answer(server, client, cut, empty=request.startswith(b"HEAD "))

    def _is_skewed(self, request: bytes) -> bool:
        found = re.search(rb"x-amz-date: *(\d{8}T\d{6}Z)", request, re.IGNORECASE)
        assert found
        signed = datetime.strptime(found[1].decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return abs(signed.timestamp() - time.time() - self.clock_offset) > 15 * 60

    def _answer(self, server: socket.socket, client: socket.socket, cut: bool, *, empty: bool) -> None:
        """Pass an answer on, whole or cut; a server may leave the connection open behind it."""
        answer, end = b"", None
        while (end is None or len(answer) < end) and (part := server.recv(1 << 16)):
            answer += part
            head = answer.find(b"\r\n\r\n") + 4
            if end is None and head > 3:
                size = re.search(rb"\r\ncontent-length: *(\d+)", answer[:head], re.IGNORECASE)
                end = head if empty else head + int(size[1]) if size else None
        if cut:
            head = answer.find(b"\r\n\r\n") + 4
            answer = answer[: head + (len(answer) - head) // 2]
        client.sendall(answer)


def _read_request(client: socket.socket) -> bytes:
    """Read one request whole, and ask for its connection to be closed after the answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = client.recv(1 << 16)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    sizes = [int(line.partition(b":")[2]) for line in lines if line.lower().startswith(b"content-length:")]
    while sizes and len(body) < sizes[0]:
        body += client.recv(1 << 16)
    lines = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body
