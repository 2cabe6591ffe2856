"""A service in a process of its own, and requests to it by plain HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECONDS = 60


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return f"{self.json['error']['kind']}: {self.json['error']['message']}"


class Service:
    """Start ``prepixel serve`` on a free port; `stop` it, or leave the context."""

    def __init__(self, folder: Path, *words: str) -> None:
        line = [sys.executable, "-m", "prepixel.cli", "serve", str(folder), "--port", "0", *words]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        address = self.process.stdout.readline()
        if "http://" not in address:
            self.process.kill()
            raise RuntimeError(f"{address}{self.process.communicate()[1]}")
        self.host, self.port = "127.0.0.1", urlsplit(address.split()[-1]).port or 0

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)

    def ask(
        self, body: Any = b"", path: str = "/predict", kind: str = "image/jpeg", method: str = "POST", **headers: str
    ) -> Answer:
        connection = self.connect()
        connection.request(method, path, body, {"Content-Type": kind, **headers})
        found = connection.getresponse()
        answer = Answer(found.status, found.read(), {name.lower(): value for name, value in found.getheaders()})
        connection.close()
        return answer

    def get(self, path: str) -> Answer:
        return self.ask(None, path, method="GET")

    def metric(self, sample: str) -> float:
        lines = self.get("/metrics").body.decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0.0)

    def stop(self) -> tuple[int, str]:
        """Tell it to stop; return its exit status and what it wrote to standard error."""
        self.process.terminate()
        _, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, err


def form(photos: dict[str, bytes], *, boundary: str = "0123456789") -> tuple[bytes, str]:
    """Return the body and the content type of a multipart form with these files."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n'
        f"Content-Type: image/jpeg\r\n\r\n".encode()
        + contents
        + b"\r\n"
        for name, contents in photos.items()
    ]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
