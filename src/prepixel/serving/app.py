"""The HTTP service: photos in, JSON out. One process, one event loop, a few threads that compute."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from prepixel.errors import JpegLimitExceeded, PrepixelError, UnreadableImage, UnsupportedJpeg
from prepixel.jpeg.source import Limits, source_name
from prepixel.runtime import Predictor
from prepixel.serving.batcher import Batcher, Outcome, QueueFull, Stopping
from prepixel.serving.metrics import CONTENT_TYPE, Metrics
from prepixel.serving.openapi import description
from prepixel.serving.requests import BodyBudget, ClientDisconnect, Photo, Refusal, read_photos
from prepixel.serving.service_settings import ServiceSettings

_RETRY_SECONDS = "1"
_DEFAULT_TOP = 5


def build_app(predictor: Predictor, settings: ServiceSettings | None = None) -> Starlette:
    """Build the service's application (ASGI).

    Args:
        predictor: of the network; its limits are replaced by those of the settings.
        settings: what is allowed; None for the defaults.
    """
    settings = settings or ServiceSettings()
    limits = Limits(settings.max_pixels, settings.max_memory_bytes)
    service = _Service(dataclasses.replace(predictor, threads=1, limits=limits), settings)
    routes = [
        Route("/", service.page),
        Route("/predict", service.predict, methods=["POST"]),
        Route("/healthz", service.healthz),
        Route("/readyz", service.readyz),
        Route("/metrics", service.show_metrics),
        Route("/openapi.json", service.openapi),
    ]
    handlers: Any = {HTTPException: _http_error, Exception: _unexpected_error}
    return Starlette(routes=routes, lifespan=service.lifespan, exception_handlers=handlers)


class _Service:
    """What the application's handlers share."""

    def __init__(self, predictor: Predictor, settings: ServiceSettings) -> None:
        self.predictor, self.settings = predictor, settings
        self.metrics = Metrics()
        self.batcher = Batcher(predictor, settings, self.metrics)
        self.budget = BodyBudget(settings.max_waiting_bytes)
        self.metrics.gauges = {
            "prepixel_queued_photos": ("Photos that wait for a worker.", lambda: len(self.batcher)),
            "prepixel_body_bytes": ("Bytes of bodies in memory.", lambda: self.budget.used),
            "prepixel_ready": ("Whether photos are taken.", lambda: int(self.batcher.running)),
        }

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.batcher.start()
        yield
        await self.batcher.stop()

    async def predict(self, request: Request) -> Response:
        """Answer a request for predictions, and count it."""
        started = time.perf_counter()
        try:
            response = await self._predict(request)
        except Refusal as error:
            response = _error(error.status, error.kind, error.message)
        except ClientDisconnect:  # nobody is there to read an answer
            response = Response(status_code=499)
        self.metrics.requests[response.status_code] += 1
        self.metrics.request_seconds.add(time.perf_counter() - started)
        return response

    async def _predict(self, request: Request) -> Response:
        top = _top(request, len(self.predictor.classes))
        with self.budget.share() as share:
            photos = await read_photos(request, self.settings, share)
            try:
                waiting = self.batcher.submit([photo.contents for photo in photos])
            except QueueFull:
                raise Refusal(429, "Busy", "too many photos wait already; try again later") from None
            except Stopping:
                raise Refusal(503, "Stopping", "the service is stopping; ask another instance") from None
            try:
                async with asyncio.timeout(self.settings.answer_seconds):
                    outcomes = await asyncio.gather(*waiting)
            except TimeoutError:
                raise Refusal(503, "Overloaded", "no answer in time; try again later") from None
        return self._response(photos, outcomes, top)

    def _response(self, photos: Sequence[Photo], outcomes: Sequence[Outcome], top: int) -> Response:
        answers, statuses = [], []
        for photo, outcome in zip(photos, outcomes, strict=True):
            name = {"name": photo.name} if photo.name else {}
            if isinstance(outcome, Exception):
                status, error = described_error(outcome, photo.contents)
                self.metrics.photos[error["kind"]] += 1
                answers.append({**name, "status": status, "error": error})
            else:
                status = 200
                self.metrics.photos["predicted"] += 1
                answers.append({**name, "status": status, "classes": self._classes(outcome, top)})
            statuses.append(status)
        if 200 not in statuses:  # nothing could be answered
            status = statuses[0]
            return JSONResponse({"error": answers[0]["error"], "photos": answers}, status)
        return JSONResponse({"trained": self.predictor.manifest.trained, "photos": answers})

    def _classes(self, probabilities: Any, top: int) -> list[dict[str, Any]]:
        order = (-probabilities).argsort(kind="stable")[:top].tolist()
        names = self.predictor.classes
        return [{"class": names[place], "probability": round(float(probabilities[place]), 6)} for place in order]

    async def healthz(self, request: Request) -> Response:
        """Tell that the process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """Tell whether photos are taken."""
        ready = self.batcher.running
        return PlainTextResponse("ready\n" if ready else "stopping\n", 200 if ready else 503)

    async def show_metrics(self, request: Request) -> Response:
        """Show counters in Prometheus' text format."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """Describe the service."""
        return JSONResponse(description(self.predictor.manifest, self.settings))

    async def page(self, request: Request) -> Response:
        """Show a page to drop a photo on."""
        text = files("prepixel.serving").joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers={"X-Content-Type-Options": "nosniff"})


def described_error(error: Exception, contents: bytes) -> tuple[int, dict[str, str]]:
    """Return the status and the description of what was wrong with a photo."""
    if not isinstance(error, PrepixelError):
        return 500, {"kind": "InternalError", "message": "the service failed on this photo; its log says how"}
    if isinstance(error, JpegLimitExceeded):
        status = 413
    elif isinstance(error, UnsupportedJpeg | UnreadableImage):
        status = 415
    else:
        status = 422
    if hasattr(error, "source"):
        error.source = None  # a place in a batch, which the client knows nothing of
    message = str(error).removeprefix(f"{source_name(contents)}: ")  # clients know no buffers
    return status, {"kind": type(error).__name__, "message": message}


def _top(request: Request, num_classes: int) -> int:
    text = request.query_params.get("top", str(min(_DEFAULT_TOP, num_classes)))
    if not (text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= num_classes):
        raise Refusal(422, "WrongParameter", f"top is {text[:20]!r}; give a whole number from 1 to {num_classes}")
    return int(text)


def _error(status: int, kind: str, message: str) -> Response:
    headers = {"Retry-After": _RETRY_SECONDS} if status in {429, 503} else {}
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers=headers)


async def _http_error(request: Request, error: HTTPException) -> Response:
    kind = HTTPStatus(error.status_code).phrase.title().replace(" ", "")
    return JSONResponse({"error": {"kind": kind, "message": error.detail}}, error.status_code, headers=error.headers)


async def _unexpected_error(request: Request, error: Exception) -> Response:
    return _error(500, "InternalError", "the service failed; its log says how")
