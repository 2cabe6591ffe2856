"""The service over real HTTP: answers, refusals with their documented status, a graceful stop that loses nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.requests import Request
from tests.serving.service import SECONDS, Service, form
from tests.small_photos import Captured, jpeg

from prepixel.cli import main
from prepixel.runtime import Predictor
from prepixel.serving.app import _Service
from prepixel.serving.batcher import Batcher, QueueFull, Stopping
from prepixel.serving.metrics import Metrics
from prepixel.serving.openapi import _STATUSES
from prepixel.serving.requests import Refusal
from prepixel.serving.service_settings import ServiceError, ServiceSettings

PHOTO = jpeg(61, 83)
FORM = form({})[1]


@pytest.fixture(scope="module")
def service(exported: Path) -> Iterator[Service]:
    words = ["--max-body-mb", "0.2", "--max-megapixels", "0.05", "--workers", "2"]
    with Service(exported, *words) as running:
        yield running


def test_a_photo_is_answered_as_the_library_answers(service: Service, exported: Path) -> None:
    answer = service.ask(PHOTO)
    assert answer.status == 200
    assert answer.json["trained"] is True
    (photo,) = answer.json["photos"]
    (expected,) = Predictor.load(exported).predict([PHOTO]).top(3)
    assert [one["class"] for one in photo["classes"]] == [name for name, _ in expected]
    assert [one["probability"] for one in photo["classes"]] == pytest.approx([share for _, share in expected], abs=2e-6)
    assert len(service.ask(PHOTO, "/predict?top=1").json["photos"][0]["classes"]) == 1
    for kind in ("application/octet-stream", "application/x-www-form-urlencoded"):
        assert service.ask(PHOTO, kind=kind).json == answer.json


def test_a_form_is_answered_photo_by_photo(service: Service) -> None:
    body, kind = form({"a.jpg": PHOTO, "ä b.jpg": PHOTO[:-99], "c": b"text", "d.jpg": jpeg(31, 47)})
    answer = service.ask(body, kind=kind)
    assert answer.status == 200
    photos = answer.json["photos"]
    assert [(one["name"], one["status"]) for one in photos] == [
        *(("a.jpg", 200), ("ä b.jpg", 422), ("c", 415), ("d.jpg", 200))
    ]
    assert photos[0]["classes"] == service.ask(PHOTO).json["photos"][0]["classes"]
    assert photos[1]["error"]["kind"] == "TruncatedJpeg"
    body, kind = form({"a.jpg": PHOTO[:-99], "b": b"text"})
    answer = service.ask(body, kind=kind)
    assert (answer.status, answer.json["error"]["kind"]) == (422, "TruncatedJpeg")


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_photos_without_coefficients_are_read_by_their_pixels(service: Service) -> None:
    assert service.ask(png(), kind="image/png").status == 200


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("truncated", {"body": PHOTO[:-50]}, 422, "TruncatedJpeg: byte "),
    ("damaged", {"body": PHOTO[:700] + b"\xff" * 20 + PHOTO[720:]}, 422, "DamagedJpeg: byte 700: "),
    ("text", {"body": b"hello"}, 415, "UnreadableImage: "),
    ("empty", {"body": b""}, 422, "NoPhoto: the body is empty"),
    ("too many pixels", {"body": jpeg(256, 256)}, 413, "JpegLimitExceeded: "),
    ("large body", {"body": PHOTO + bytes(200_000)}, 413, "BodyTooLarge: the body is larger than the 200000 bytes"),
    ("huge body", {"body": bytes(900_000)}, 413, "BodyTooLarge"),
    ("json", {"body": b"{}", "kind": "application/json"}, 415, "UnsupportedMediaType: a body of type application/json"),
    ("top 0", {"body": PHOTO, "path": "/predict?top=0"}, 422, "WrongParameter: top is '0'; give a whole number from 1"),
    ("top x", {"body": PHOTO, "path": "/predict?top=x"}, 422, "WrongParameter"),
    ("no boundary", {"body": PHOTO, "kind": "multipart/form-data"}, 422, "MalformedForm"),
    ("no form", {"body": PHOTO, "kind": "multipart/form-data; boundary=x"}, 422, "MalformedForm"),
    ("cut form", {"body": form({"a": PHOTO})[0][:-20], "kind": FORM}, 422, "MalformedForm"),
    ("no file", {"body": form({})[0], "kind": FORM}, 422, "NoPhoto|MalformedForm"),
    ("many files", {"body": form({str(place): b"x" for place in range(33)})[0], "kind": FORM}, 413, "TooManyPhotos"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "error"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_is_refused_has_its_documented_status(
    service: Service, request_: dict[str, Any], status: int, error: str
) -> None:
    answer = service.ask(**request_)
    assert answer.status == status
    assert any(words in answer.error for words in error.split("|")), answer.error
    assert "buffer of" not in answer.error
    assert status in _STATUSES
    assert service.ask(PHOTO).status == 200


def test_chunks_are_held_to_the_same_limit(service: Service) -> None:
    def parts(count: int) -> Iterator[bytes]:
        yield PHOTO
        for _ in range(count):
            yield bytes(50_000)

    assert service.ask(parts(0)).status == 200
    assert service.ask(parts(8)).status == 413


def test_other_methods_and_paths_are_named(service: Service) -> None:
    assert service.get("/predict").error == "MethodNotAllowed: Method Not Allowed"
    assert service.get("/nothing").error == "NotFound: Not Found"
    assert (service.get("/healthz").body, service.get("/readyz").body) == (b"ok\n", b"ready\n")


def test_the_description_names_what_there_is(service: Service) -> None:
    described = service.get("/openapi.json").json
    assert described["openapi"].startswith("3.1")
    predict = described["paths"]["/predict"]["post"]
    assert set(predict["responses"]) == {"200", *map(str, _STATUSES)}
    assert predict["parameters"][0]["schema"]["maximum"] == 3
    for path in set(described["paths"]) - {"/predict"}:
        assert service.get(path).status == 200


def test_the_page_asks_the_service(service: Service) -> None:
    page = service.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert b'fetch("predict"' in page.body


def test_metrics_count_what_was_answered(service: Service) -> None:
    names = ('prepixel_requests_total{status="200"}', 'prepixel_photos_total{outcome="predicted"}')
    before = [service.metric(name) for name in (*names, 'prepixel_requests_total{status="413"}')]
    body, kind = form({"a.jpg": PHOTO, "b.jpg": PHOTO})
    service.ask(body, kind=kind)
    service.ask(bytes(900_000))
    after = [service.metric(name) for name in (*names, 'prepixel_requests_total{status="413"}')]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 2, 1]
    assert service.metric("prepixel_batch_photos_sum") == service.metric("prepixel_queue_seconds_count")
    assert service.metric("prepixel_body_bytes") == service.metric("prepixel_queued_photos") == 0


def test_hostile_bodies_end_in_a_documented_status(service: Service) -> None:
    """Photos with random bytes changed, cut and repeated; forms taken apart; raw bytes in place of HTTP."""
    random_ = random.Random(7)
    bodies = []
    for _ in range(150):
        body = bytearray(random_.choice([PHOTO, png(), form({"a.jpg": PHOTO})[0]]))
        for _ in range(random_.randrange(1, 30)):
            body[random_.randrange(len(body))] = random_.randrange(256)
        bodies.append(bytes(body[: random_.randrange(len(body))] if random_.random() < 0.3 else body))
    kinds = ["image/jpeg", form({})[1], "multipart/form-data; boundary=" + "x" * 300]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: service.ask(body, kind=random_.choice(kinds)), bodies))
    assert {answer.status for answer in answers} <= {200, *_STATUSES}
    assert len({answer.status for answer in answers}) > 2
    for raw in (b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"POST /predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n"):
        with socket.create_connection((service.host, service.port), timeout=SECONDS) as connection:
            connection.sendall(raw)
            assert b" 400 " in connection.recv(1000)
    with socket.create_connection((service.host, service.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")  # and gone
    assert service.ask(PHOTO).status == 200


def test_a_graceful_stop_loses_no_request(exported: Path) -> None:
    with Service(exported, "--workers", "1", "--max-batch", "1") as service:
        connections = [service.connect() for _ in range(24)]
        for connection in connections:
            connection.connect()
        started = threading.Barrier(len(connections) + 1)

        def ask(connection: Any) -> int:
            started.wait()
            connection.request("POST", "/predict", PHOTO, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return int(answer.status)

        with ThreadPoolExecutor(len(connections)) as pool:
            answers = [pool.submit(ask, connection) for connection in connections]
            started.wait()
            while service.metric('prepixel_requests_total{status="200"}') < 1:
                time.sleep(0.001)
            status, err = service.stop()
            assert [answer.result() for answer in answers] == [200] * len(connections)
        assert (status, err) == (0, "")
        with pytest.raises(OSError, match="refused"):
            service.get("/readyz")


def test_a_port_in_use_is_named(exported: Path, service: Service, capsys: Captured) -> None:
    assert main(["serve", str(exported), "--port", str(service.port)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"prepixel: 127.0.0.1:{service.port}: cannot listen there: ")
    assert err.count("\n") == 1


def test_what_is_missing_is_named(
    exported: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["serve", str(tmp_path)]) == 2
    assert "holds no exported network" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", str(exported)]) == 2
    assert "needs the package uvicorn; install it: pip install 'prepixel[serve]'" in capsys.readouterr().err


def test_settings_are_checked() -> None:
    with pytest.raises(ServiceError, match="max_batch is 0; it must be above 0"):
        ServiceSettings(max_batch=0)
    with pytest.raises(ServiceError, match="a request may hold 32 photos, and the queue 4"):
        ServiceSettings(max_queue=4)
    assert ServiceSettings(workers=3).num_workers == 3
    assert ServiceSettings().num_workers >= 1


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_a_full_queue_refuses_whole_requests(exported: Path) -> None:
    async def scenario() -> None:
        settings = ServiceSettings(workers=1, max_batch=4, max_queue=5, max_photos=5, max_wait_seconds=0.05)
        batcher = Batcher(Predictor.load(exported, threads=1), settings, Metrics())
        with pytest.raises(Stopping):
            batcher.submit([PHOTO])
        batcher.start()
        first = batcher.submit([PHOTO] * 3)
        with pytest.raises(QueueFull):
            batcher.submit([PHOTO] * 3)
        second = batcher.submit([PHOTO, b"no photo"])
        outcomes = await asyncio.gather(*first, *second)
        assert [isinstance(one, Exception) for one in outcomes] == [False] * 4 + [True]
        last = batcher.submit([PHOTO] * 5)
        last[0].cancel()  # its request is gone
        await batcher.stop()
        assert all(one.done() for one in last)
        with pytest.raises(Stopping):
            batcher.submit([PHOTO])

    asyncio.run(scenario())


@pytest.mark.parametrize(("wait", "batches"), [(0.0, 4), (60.0, 1)])
def test_photos_wait_for_others_as_long_as_asked(exported: Path, wait: float, batches: int) -> None:
    async def scenario() -> str:
        metrics = Metrics()
        settings = ServiceSettings(workers=2, max_batch=4, max_wait_seconds=wait)
        batcher = Batcher(Predictor.load(exported, threads=1), settings, metrics)
        batcher.start()
        found = []
        for _ in range(4):
            found += batcher.submit([PHOTO])
            if wait == 0:
                await asyncio.gather(*found)
        await asyncio.gather(*found)
        await batcher.stop()
        return metrics.text()

    assert f"prepixel_batch_photos_sum 4\nprepixel_batch_photos_count {batches}\n" in asyncio.run(scenario())


def test_a_photo_that_waits_too_long_is_given_up(exported: Path) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": PHOTO, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}
    request = Request({**scope, "headers": [(b"content-type", b"image/jpeg")]}, receive)

    async def scenario() -> None:
        settings = ServiceSettings(answer_seconds=0.05, max_wait_seconds=1.0)
        service = _Service(dataclasses.replace(Predictor.load(exported), threads=1), settings)
        service.batcher.start()
        with pytest.raises(Refusal) as raised:
            await service._predict(request)
        assert (raised.value.status, raised.value.kind) == (503, "Overloaded")
        assert service.budget.used == 0
        await service.batcher.stop()

    asyncio.run(scenario())


def test_metrics_are_in_prometheus_text_format(service: Service) -> None:
    lines = service.get("/metrics").body.decode().splitlines()
    for line in lines:
        if line.startswith("#"):
            assert line.split()[1] in {"HELP", "TYPE"}
            continue
        name, _, value = line.rpartition(" ")
        assert float(value) >= 0
        assert name.split("{")[0].startswith("prepixel_")
    buckets = [line for line in lines if line.startswith("prepixel_request_seconds_bucket")]
    counts = [float(line.rpartition(" ")[2]) for line in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == service.metric("prepixel_request_seconds_count")
    assert json.loads(service.get("/openapi.json").body)
