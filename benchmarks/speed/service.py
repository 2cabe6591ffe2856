"""Load the service: throughput beside the library alone, latency at half load, hostile bodies, memory, a graceful stop.

EfficientNet-Lite0, folded over S-24, exported to ONNX; photos of imagenet_samples, one per request. The clients run
in this process, on the same CPUs as the service, which counts against it: their share of CPU time is printed. Full
load is 8 connections that ask as fast as they are answered, in turn with the library alone, five seconds each; half
load sends at half that rate, whether or not answers have come. ``-n`` is the number of turns; with ``-n 1`` everything
is cut short.

    python -m benchmarks.speed.service -n 6 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.harness import arguments, photos

from prepixel.export import export_classifier
from prepixel.files import image_files
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runs import fold_pixel_model
from prepixel.runtime import Predictor

CONNECTIONS = 8
WORKERS = 2
DOCUMENTED = {200, 408, 413, 415, 422, 429, 503}


def main() -> None:
    """Run each load in turn, and print what came of it."""
    options = arguments(__doc__)
    short = options.n == 1
    files = sorted(image_files(photos() / "imagenet_samples"))[: 8 if short else options.files]
    contents = [Path(file).read_bytes() for file in files]
    seconds = 1.0 if short else 5.0
    scores: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        export_classifier(fold_pixel_model("efficientnet_lite0"), Path(folder, "net"))
        with Service(Path(folder, "net")) as service:
            requests = [request_of(one) for one in contents]
            scores |= in_turn(Path(folder, "net"), service, contents, seconds, options.n)
            scores |= half_load(service, requests, 2 * seconds, scores["images_per_second"] / 2)
            scores |= hostile_load(service, contents, 60 if short else 10_000)
            scores |= graceful_stop(service, requests)
    for name, value in scores.items():
        print(f"{name:36s} {value:10.3f}")
    if options.output:
        case = f"efficientnet_lite0, {WORKERS} workers, {CONNECTIONS} connections, clients on the same CPUs"
        row = ScoreRow("service", case, "prepixel serve", len(contents), scores, describe_environment())
        append_records(options.output, [row])


class Service:
    """A service in a process of its own."""

    def __init__(self, folder: Path) -> None:
        words = ["--port", "0", "--workers", str(WORKERS)]
        line = [sys.executable, "-m", "prepixel.cli", "serve", str(folder), *words]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def connect(self) -> socket.socket:
        """Open a connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def body_bytes(self) -> float:
        """Return how many bytes of bodies the service holds, as its metrics say."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("prepixel_body_bytes "))

    def resident_mib(self) -> float:
        """Return the memory of the process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def request_of(body: bytes, kind: str = "image/jpeg") -> bytes:
    """Return the bytes of a request."""
    head = f"POST /predict?top=1 HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def body_size(request: bytes) -> int:
    """Return the size of a request's body."""
    return len(request.partition(b"\r\n\r\n")[2])


def ask(connection: socket.socket, request: bytes) -> int:
    """Send a request, read its answer, and return the status."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed without an answer")
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    json.loads(body)
    return int(head.split(b" ", 2)[1])


def library_rate(folder: Path, contents: Sequence[bytes], seconds: float) -> float:
    """Return how many photos a second the library alone answers, on as many threads as the service has workers."""
    predictor = Predictor.load(folder, threads=1)
    predictor.predict(contents[:2])
    done, ends = [0] * WORKERS, time.perf_counter() + seconds

    def work(place: int) -> None:
        turn = place
        while time.perf_counter() < ends:
            predictor.predict([contents[turn % len(contents)]])
            turn += WORKERS
            done[place] += 1

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    return sum(done) / (time.perf_counter() - started)


def in_turn(folder: Path, service: Service, contents: Sequence[bytes], seconds: float, rounds: int) -> dict[str, float]:
    """Measure the library alone and the service at full load in turn; medians, and the median of the rounds' shares."""
    requests = [request_of(one) for one in contents]
    found = []
    for _ in range(rounds):
        library = library_rate(folder, contents, seconds)
        loaded = full_load(service, requests, seconds)
        share = loaded["images_per_second"] / library
        found.append({"library_images_per_second": library, **loaded, "share_of_library": share})
    scores = {name: float(np.median([one[name] for one in found])) for name in found[0]}
    shares = [one["share_of_library"] for one in found]
    return scores | {"lowest_share": min(shares), "highest_share": max(shares)}


def full_load(service: Service, requests: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Ask on several connections, each as fast as it is answered."""
    latencies: list[float] = []
    statuses: Counter[int] = Counter()

    def work(place: int) -> None:
        connection, turn, ends = service.connect(), place, time.perf_counter() + seconds
        while time.perf_counter() < ends:
            started = time.perf_counter()
            statuses[ask(connection, requests[turn % len(requests)])] += 1
            latencies.append(time.perf_counter() - started)
            turn += CONNECTIONS
        connection.close()

    for request in requests[:8]:
        ask(service.connect(), request)
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(work, range(CONNECTIONS)))
    elapsed = time.perf_counter() - started
    assert set(statuses) == {200}, statuses
    return {
        "images_per_second": len(latencies) / elapsed,
        "full_load_p50_ms": float(np.percentile(latencies, 50)) * 1000,
        "full_load_p99_ms": float(np.percentile(latencies, 99)) * 1000,
        "client_cpu_share": (time.process_time() - cpu) / elapsed / WORKERS,
    }


def half_load(service: Service, requests: Sequence[bytes], seconds: float, rate: float) -> dict[str, float]:
    """Send at a fixed rate, each request at its time; latency counts from that time."""
    latencies: list[float] = []
    count = max(8, round(seconds * rate))
    started = time.perf_counter() + 0.1
    connections = threading.local()

    def work(place: int) -> None:
        if not hasattr(connections, "own"):
            connections.own = service.connect()
        due = started + place / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        assert ask(connections.own, requests[place % len(requests)]) == 200
        latencies.append(time.perf_counter() - due)

    with ThreadPoolExecutor(2 * CONNECTIONS) as pool:
        list(pool.map(work, range(count)))
    return {
        "half_load_p50_ms": float(np.percentile(latencies, 50)) * 1000,
        "half_load_p99_ms": float(np.percentile(latencies, 99)) * 1000,
    }


def hostile_load(service: Service, contents: Sequence[bytes], count: int) -> dict[str, float]:
    """Send good and hostile bodies; every one must have a documented status, and memory must stay flat."""
    makers: list[Callable[[random.Random, bytes], tuple[bytes, str]]] = [
        lambda _, photo: (photo, "image/jpeg"),
        lambda chance, photo: (photo[: chance.randrange(len(photo))], "image/jpeg"),
        lambda chance, photo: (changed(chance, photo), "image/jpeg"),
        lambda chance, _: (chance.randbytes(chance.randrange(1, 5000)), "image/jpeg"),
        lambda chance, photo: (changed(chance, form_of(photo)), "multipart/form-data; boundary=x"),
        lambda _, photo: (photo, "text/html"),
        lambda _, photo: (photo + bytes(33_000_000), "image/jpeg"),
    ]
    weights = [40, 15, 20, 10, 10, 4.9, 0.1]
    statuses: Counter[int] = Counter()
    memory: list[float] = []

    def work(place: int) -> None:
        chance = random.Random(place)
        connection = service.connect()
        for turn in range(place, count, CONNECTIONS):
            body, kind = chance.choices(makers, weights)[0](chance, chance.choice(contents))
            statuses[ask(connection, request_of(body, kind))] += 1
            if place == 0 and turn % (count // 20 or 1) < CONNECTIONS:
                memory.append(service.resident_mib())
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(work, range(CONNECTIONS)))
    assert set(statuses) <= DOCUMENTED, statuses
    assert statuses.total() == count
    half = len(memory) // 2
    found: dict[str, float] = {f"status_{status}": number for status, number in sorted(statuses.items())}
    return found | {
        "hostile_requests": count,
        "mib_highest_in_first_half": max(memory[: half or 1]),
        "mib_highest_in_second_half": max(memory[half:]),
    }


def changed(chance: random.Random, contents: bytes) -> bytes:
    """Return bytes of which a few are others."""
    array = bytearray(contents)
    for _ in range(chance.randrange(1, 20)):
        array[chance.randrange(len(array))] = chance.randrange(256)
    return bytes(array)


def form_of(photo: bytes) -> bytes:
    """Return a form with one photo."""
    return b'--x\r\nContent-Disposition: form-data; name="p"; filename="a"\r\n\r\n' + photo + b"\r\n--x--\r\n"


def graceful_stop(service: Service, requests: Sequence[bytes]) -> dict[str, float]:
    """Tell the service to stop while requests are answered; each that was sent must be answered."""
    count = 32
    sent = threading.Barrier(count + 1)
    statuses: list[Any] = []

    def work(place: int) -> None:
        connection = service.connect()
        connection.sendall(requests[place % len(requests)][:-1])
        sent.wait()
        statuses.append(ask(connection, requests[place % len(requests)][-1:]))

    with ThreadPoolExecutor(count) as pool:
        found = [pool.submit(work, place) for place in range(count)]
        sent.wait()
        expected = sum(map(body_size, (requests[place % len(requests)] for place in range(count)))) - count
        while service.body_bytes() < expected:  # until all requests have begun
            time.sleep(0.001)
        service.process.send_signal(signal.SIGTERM)
        errors = [one.exception() for one in found if one.exception() is not None]
    status = service.process.wait(timeout=60)
    assert (status, errors) == (0, []), (status, errors[:1])
    return {"stop_requests": count, "stop_answered": statuses.count(200), "stop_lost": count - len(statuses)}


if __name__ == "__main__":
    main()
