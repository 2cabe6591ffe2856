"""Azurite, Microsoft's emulator of Azure's blob store, on loopback."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.stores.s3_server import free_port, wait_until_it_answers

COMMAND = shutil.which("azurite-blob")
ACCOUNT = "photographs"
KEY = base64.b64encode(b"known to the emulator alone").decode()
_VERSION = "2021-08-06"


@contextlib.contextmanager
def azure_server(folder: Path) -> Iterator[str]:
    """Run the emulator in a process of its own, with a folder for its files, and yield its URL."""
    port = free_port()
    assert COMMAND is not None
    command = [COMMAND, "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location", str(folder)]
    process = subprocess.Popen(
        [*command, "--blobHost", "127.0.0.1", "--blobPort", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
    )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/", refusal_is_an_answer=True)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def make_container(url: str, name: str) -> None:
    """Make a container by a request signed with the shared key, as Azure's documentation has it."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    place = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{_VERSION}\n{place}"
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": date, "x-ms-version": _VERSION, "Content-Length": "0"}
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    request = urllib.request.Request(f"{url}/{ACCOUNT}/{name}?restype=container", method="PUT", headers=headers)
    urllib.request.urlopen(request, timeout=20).close()
