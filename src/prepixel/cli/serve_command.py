"""The command `serve`: answer photos over HTTP with an exported network."""

from __future__ import annotations

import argparse

from prepixel.cli.console import UNTRAINED, print_line
from prepixel.cli.option_types import integer, number, path, words

SUMMARY = "answer photos over HTTP with an exported network"
ABOUT = """\
Answer photos over HTTP with an exported network, without torch. POST a photo,
or a form with several, to /predict; /openapi.json describes the rest, and /
is a page to drop a photo on. Stops at SIGINT or SIGTERM, after the requests
that have begun are answered."""
EXAMPLE = "prepixel serve exported/lite0 --port 8000"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve`."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="an exported network")
    parser.add_argument("--host", type=words, default="127.0.0.1", metavar="HOST", help="address (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=integer(0, 65_535), default=8000, metavar="N", help="port; 0 takes a free one (default: 8000)"
    )
    parser.add_argument(
        "--engine", choices=("onnxruntime", "openvino"), default="onnxruntime", help="(default: onnxruntime)"
    )
    parser.add_argument(
        "--workers",
        type=integer(0, 1024),
        default=0,
        metavar="N",
        help="batches computed at the same time, each on one thread (default: 0, one per CPU)",
    )
    parser.add_argument(
        "--max-batch", type=integer(1, 1024), default=2, metavar="N", help="photos of a batch at most (default: 2)"
    )
    parser.add_argument(
        "--max-wait-ms",
        type=number(0.0, 60_000.0),
        default=0.0,
        metavar="MS",
        help="how long a photo waits for others to share its batch (default: 0)",
    )
    parser.add_argument(
        "--max-queue",
        type=integer(1, 1_000_000),
        default=256,
        metavar="N",
        help="photos that may wait; more are refused with 429 (default: 256)",
    )
    parser.add_argument(
        "--max-body-mb",
        type=number(0.0, 2000.0, exclusive=True),
        default=32.0,
        metavar="MB",
        help="size of a request; larger ones are refused with 413 (default: 32)",
    )
    parser.add_argument(
        "--max-megapixels",
        type=number(0.0, 268.0, exclusive=True),
        default=50.0,
        metavar="MP",
        help="size of a photo; larger ones are refused with 413 (default: 50)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from prepixel.optional import require
    from prepixel.runtime import Predictor

    require("prepixel serve", options.engine, "starlette", "uvicorn", "python_multipart")
    from prepixel.serving import ServiceSettings, serve

    body = max(1, int(options.max_body_mb * 1e6))
    settings = ServiceSettings(
        workers=options.workers,
        max_batch=options.max_batch,
        max_wait_seconds=options.max_wait_ms / 1000,
        max_queue=options.max_queue,
        max_body_bytes=body,
        max_waiting_bytes=max(body, ServiceSettings.max_waiting_bytes),
        max_photos=min(options.max_queue, ServiceSettings.max_photos),
        max_pixels=max(1, int(options.max_megapixels * 1e6)),
    )
    predictor = Predictor.load(options.folder, engine=options.engine, threads=1)
    if not predictor.manifest.trained:
        print_line(f"note: {UNTRAINED}")
    name = predictor.manifest.name
    serve(
        predictor,
        host=options.host,
        port=options.port,
        settings=settings,
        started=lambda address: print_line(f"{name}: {address}"),
    )
    return 0
