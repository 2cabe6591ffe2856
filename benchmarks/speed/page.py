"""Time the page's reading and network in Chromium beside the same code on this machine, and count what is downloaded.

Each round reads the photos one by one, from memory to the network's int8 values (192 channels, 28 x 28 blocks), and
runs EfficientNet-Lite0 on some of them: in the browser, by WebAssembly on one thread, and here, by the compiled module
and onnxruntime on one thread. Files are compressed by gzip -9, as static servers do. Skips, with the reason, without
Emscripten, Node, npm and Chromium.

    python -m benchmarks.speed.page -n 9 --output benchmarks/results/records.jsonl
"""

from __future__ import annotations

import gzip
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, arguments, photos
from tests.web.chromium import Browser, chromium_program, served
from web.build_page import build_page, default_network, fetch_runtime, missing_tool

from prepixel.jpeg.source import Limits
from prepixel.records import ScoreRow, append_records, describe_environment
from prepixel.runtime import Predictor
from prepixel.runtime.predictor import read_input

NETWORK_PHOTOS = 20
PREPARE = """
(async (names, count) => {
  const [{ loadCore }, { centerBox }, { Network }] = await Promise.all(
    ["core", "geometry", "network"].map((name) => import(`./${name}.js`)));
  const core = await loadCore();
  const network = await Network.load("network/", () => {});
  const files = [];
  for (const name of names) files.push(new Uint8Array(await (await fetch("photos/" + name)).arrayBuffer()));
  const read = (bytes) => {
    const photo = core.open(bytes);
    const { input } = network;
    const values = photo.resample({ ...input, box: centerBox(photo.height, photo.width, input.crop_fraction) });
    photo.close();
    return values;
  };
  const values = files.slice(0, count).map(read);
  globalThis.readAll = () => {
    const began = performance.now();
    for (const bytes of files) read(bytes);
    return (performance.now() - began) / files.length;
  };
  globalThis.runAll = async () => {
    const began = performance.now();
    for (const one of values) await network.probabilities(one);
    return (performance.now() - began) / values.length;
  };
})
"""


def timed(work: Callable[[Any], object], items: list[Any]) -> float:
    """Return the milliseconds per item."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return 1e3 * (time.perf_counter() - began) / len(items)


def downloads(page: Path) -> dict[str, tuple[int, int]]:
    """Return the bytes of each part, as they are and compressed."""
    parts = {
        "the decoder (WebAssembly and its loader)": ("prepixel_photo.*",),
        "the page (HTML, CSS, modules)": ("*.html", "*.css", "*.js", "page.json"),
        "onnxruntime-web": ("ort*",),
        "EfficientNet-Lite0 on 192 channels, float32 weights": ("network/*",),
    }
    sizes = {}
    for name, patterns in parts.items():
        contents = [path.read_bytes() for pattern in patterns for path in page.glob(pattern)]
        sizes[name] = (sum(map(len, contents)), sum(len(gzip.compress(one, 9, mtime=0)) for one in contents))
    return sizes


def measure(page: Path, network: Path, paths: list[Path], rounds: int, program: str) -> dict[str, list[float]]:
    """Return the milliseconds per photo of each subject and round, browser and library in turn."""
    predictor = Predictor.load(network, threads=1)
    contents = [path.read_bytes() for path in paths]

    def read(one: bytes) -> Any:
        return read_input(predictor.manifest.input, [one], threads=1, limits=Limits(), on_error="raise")[0]

    values = [read(one) for one in contents[:NETWORK_PHOTOS]]
    timings: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as profile, served(page) as url:
        browser = Browser(program, Path(profile))
        try:
            browser.open(f"{url}/index.html")
            browser.run(f"({PREPARE})({json.dumps([path.name for path in paths])}, {NETWORK_PHOTOS})")
            subjects: dict[str, Callable[[], float]] = {
                "reading, in Chromium": lambda: float(browser.run("readAll()")),
                "reading, the compiled module": lambda: timed(read, contents),
                "the network, onnxruntime-web in Chromium": lambda: float(browser.run("runAll()")),
                "the network, onnxruntime": lambda: timed(predictor.run, values),
            }
            for counted in range(-1, rounds):  # the first round warms caches
                for name, subject in subjects.items():
                    milliseconds = subject()
                    if counted >= 0:
                        timings.setdefault(name, []).append(milliseconds)
        finally:
            browser.close()
    return timings


def main() -> None:
    """Build the page, measure, and print a table."""
    options = arguments(__doc__)
    program = chromium_program()
    reason = missing_tool() or (None if program else "no Chromium (Debian: apt-get install chromium)")
    network = None if reason else default_network(ROOT / "build")
    if program is None or network is None:
        print(f"skipped: {reason or 'no weights of efficientnet_lite0'}")
        return
    try:
        fetch_runtime(ROOT / "build" / "npm")
    except RuntimeError as error:
        print(f"skipped: {error}")
        return
    paths = sorted((photos() / "imagenet_samples").glob("*.*"))[: options.files]
    rows, environment = [], describe_environment()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page"
        build_page(page, network, ROOT / "build")
        sizes = downloads(page)
        (page / "photos").mkdir()
        for path in paths:
            shutil.copyfile(path, page / "photos" / path.name)
        timings = measure(page, network, paths, options.n, program)
    for name, values in timings.items():
        scores = {"median ms": statistics.median(values), "lowest ms": min(values), "highest ms": max(values)}
        count = min(NETWORK_PHOTOS, len(paths)) if "network" in name else len(paths)
        print(f"{name:45s}" + "".join(f"  {key} {value:7.2f}" for key, value in scores.items()) + f"  {count} photos")
        told = {**scores, "photos": count}
        rows.append(ScoreRow("page", "milliseconds a photo, one thread", name, options.n, told, environment))
    for name, (plain, packed) in sizes.items():
        print(f"{name:55s} {plain:12,} bytes, {packed:12,} compressed")
        told = {"file bytes": plain, "compressed bytes": packed}
        rows.append(ScoreRow("page", "what is downloaded", name, 1, told, environment))
    if options.output:
        append_records(options.output, rows)


if __name__ == "__main__":
    main()
