"""The page in Chromium: the integers and answers of the library, without a mouse, without sight, and without a net."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.jpeg.small_files import pixels, small_files
from tests.web.chromium import Browser, served
from torch import nn
from web.build_page import ROOT, build_page, channel_order, missing_tool

from prepixel.jpeg import read_jpeg
from prepixel.models import fold
from prepixel.runtime import Predictor
from prepixel.spectrum import BandSet, Spectrum

TOLERANCE = 2e-5  # of a probability: two builds of ONNX Runtime sum in different orders

READ_ALL = """
(async (names) => {
  const [{ loadCore }, { centerBox }, manifest] = await Promise.all([
    import("./core.js"), import("./geometry.js"), fetch("network/manifest.json").then((one) => one.json())]);
  const core = await loadCore();
  const hex = async (values) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", values)))
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const given = { ...manifest.input, channels: manifest.input.bands.channels };
  const found = [];
  for (const name of names) {
    const photo = core.open(new Uint8Array(await (await fetch("photos/" + name)).arrayBuffer()));
    const planes = await Promise.all(photo.components.map((_, i) => hex(photo.quantized(i))));
    const values = photo.resample({ ...given, box: centerBox(photo.height, photo.width, given.crop_fraction) });
    found.push({ planes, values: await hex(values) });
    photo.close();
  }
  return found;
})
"""

ANSWER_ALL = """
(async (names, counts) => {
  const worker = new Worker("worker.js", { type: "module" });
  const ask = (request) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.id === undefined) return;
      if (data.refused === undefined) resolve(data);
      else reject(new Error(data.refused));
    };
    worker.postMessage({ id: 1, ...request });
  });
  await ask({ ask: "start" });
  const found = [];
  for (const name of names) {
    const file = await (await fetch("photos/" + name)).blob();
    await ask({ ask: "open", file });
    const answers = [];
    for (const count of counts) answers.push(Array.from((await ask({ ask: "show", count })).probabilities));
    found.push(answers);
  }
  return found;
})
"""


def _progressive(contents: bytes) -> bytes:
    done = subprocess.run(["jpegtran", "-progressive"], input=contents, capture_output=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def some_photos(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """20 photos, two of them again as progressive files, one in gray, and one lying on its side."""
    folder = tmp_path_factory.mktemp("photos")
    chosen = sorted((photos / "imagenet_samples").glob("*.*"))[::8][:20]
    for path in chosen:
        shutil.copyfile(path, folder / path.name)
    for path in chosen[:2]:
        (folder / f"progressive_{path.name}").write_bytes(_progressive(path.read_bytes()))
    with Image.open(chosen[2]) as image:
        image.convert("L").save(folder / "gray.jpg")
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(folder / "turned.jpg", exif=exif)
    return folder


@pytest.fixture(scope="module")
def site(page: Path, some_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the page, with photos beside it."""
    folder = tmp_path_factory.mktemp("site") / "page"
    shutil.copytree(page, folder)
    shutil.copytree(some_photos, folder / "photos")
    with served(folder) as url:
        yield url


@pytest.fixture(scope="module")
def predictor(network: Path) -> Predictor:
    """The library's own."""
    return Predictor.load(network, threads=1)


@pytest.fixture(scope="module")
def small_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo-like file that needs no data."""
    path = tmp_path_factory.mktemp("small") / "small.jpg"
    Image.fromarray(pixels(301, 263)).save(path, "jpeg", quality=90)
    return path


def _digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.data
def test_coefficients_and_values_are_the_library_s(
    browser: Browser, site: str, some_photos: Path, predictor: Predictor
) -> None:
    paths = sorted(some_photos.iterdir())
    assert len(paths) == 24
    browser.open(f"{site}/index.html")
    found = browser.run(f"({READ_ALL})({json.dumps([path.name for path in paths])})")
    values, _ = predictor.read(paths)
    for path, told, expected in zip(paths, found, values, strict=True):
        assert told["planes"] == [_digest(one.quantized) for one in read_jpeg(path).components], path.name
        assert told["values"] == _digest(expected), path.name
    assert {read_jpeg(path).process for path in paths} == {"baseline", "progressive"}
    assert {read_jpeg(path).color for path in paths} == {"ycbcr", "gray"}
    assert {read_jpeg(path).orientation for path in paths} == {1, 6}


@pytest.mark.data
def test_answers_are_the_predictor_s(browser: Browser, site: str, some_photos: Path, predictor: Predictor) -> None:
    paths = sorted(some_photos.iterdir())
    counts = [192, 24]
    browser.open(f"{site}/index.html")
    names = json.dumps([path.name for path in paths])
    found = np.array(browser.run(f"({ANSWER_ALL})({names}, {counts})"))  # photo, count, class
    values, _ = predictor.read(paths)
    left_out = [place for place, channel in enumerate(range(192)) if channel not in channel_order()[:24]]
    some = values.copy()
    some[:, left_out] = 0
    expected = np.stack([predictor.run(values), predictor.run(some)], axis=1)
    difference = np.abs(found - expected).max()
    print(f"largest difference of a probability, {len(paths)} photos, {counts} channels: {difference:.1e}")
    assert difference < TOLERANCE
    assert (found.argmax(2) == expected.argmax(2)).all()
    assert not (expected[:, 0].argmax(1) == expected[:, 1].argmax(1)).all()  # channels matter


def test_a_photo_s_facts_and_answer(browser: Browser, page: Path, small_photo: Path, predictor: Predictor) -> None:
    with served(page) as url:
        browser.open(f"{url}/index.html")
        browser.choose(small_photo)
        text = browser.run("document.body.innerText")
        assert "263 x 301 pixels" in text
        assert "baseline, 1 scan" in text
        assert "sampling 2 x 2, 1 x 1, 1 x 1" in text
        assert "24 channels: 16 Y, 4 Cb, 4 Cr, the published set S-24" in text
        assert "18,816 bytes (int8), 12.5 % of the 150,528 bytes of 224 x 224 RGB pixels" in text
        top = predictor.predict([small_photo]).top(5)[0]
        listed = browser.run("Array.from(document.querySelectorAll('#full-answer li'), (one) => one.innerText)")
        assert [one.split("\n")[0] for one in listed] == [name for name, _ in top]
        assert [one.split("\n")[-1] for one in listed] == [f"{100 * share:.1f} %" for _, share in top]
        assert f"With all: {top[0][0]}" in browser.run("document.getElementById('said').textContent")
        assert browser.failures == []


def test_the_image_is_what_the_channels_hold(browser: Browser, page: Path, tmp_path: Path) -> None:
    y, x = np.mgrid[:301, :263]
    stripes = np.sin(2 * np.pi * (y / 7 + x / 31))  # neither symmetric nor smooth
    colors = np.stack([128 + 90 * stripes, 150 - 60 * stripes, 60 + 0.3 * x], axis=-1)
    path = tmp_path / "stripes.jpg"
    Image.fromarray(colors.round().astype(np.uint8)).save(path, "jpeg", quality=95, subsampling=0)
    with served(page) as url:
        browser.open(f"{url}/index.html")
        browser.choose(path)
        shown = browser.run(
            "(() => { const one = document.getElementById('full'); return Array.from("
            "one.getContext('2d').getImageData(0, 0, one.width, one.height).data); })()"
        )
    seen = np.array(shown, np.float64).reshape(224, 224, 4)[..., :3]
    with Image.open(path) as image:
        cut = image.crop((16, 35, 16 + 230, 35 + 230)).resize((224, 224), Image.Resampling.BILINEAR)
    difference = np.abs(seen - np.asarray(cut, np.float64)).mean()
    print(f"mean difference of a sample from Pillow's: {difference:.2f}")
    # int8 steps of 7 per coefficient, each evenly wrong: 7 / sqrt(12) is 2 levels in each of Y, Cb and Cr
    assert difference < 4


def test_without_a_mouse_or_sight(browser: Browser, page: Path, small_photo: Path) -> None:
    with served(page) as url:
        browser.open(f"{url}/index.html")
        browser.choose(small_photo)
        focused = []
        browser.run("document.body.focus()")
        for _ in range(12):
            browser.press("Tab")
            focused.append(browser.run("document.activeElement.id || document.activeElement.textContent"))
        sets = ["S-6", "S-12", "S-24", "S-32", "S-48", "S-64", "All 192"]
        assert focused[:10] == ["file", "drawn", "count", *sets]
        assert focused[10] == "The same in numbers"
        browser.run("document.getElementById('count').focus()")
        browser.press("ArrowRight")
        browser.wait("document.getElementById('some-title').textContent === '25 channels'")
        assert browser.run("document.activeElement.getAttribute('aria-valuetext')") == "25 channels: 17 Y, 4 Cb, 4 Cr"
        browser.run("document.querySelector('#sets button').focus()")
        browser.press("Enter")
        browser.wait("document.getElementById('some-title').textContent === '6 channels'")
        assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
        assert "With 6 channels: " in browser.run("document.querySelector('[aria-live]').textContent")
        nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
        roles = {"button", "slider", "image", "region", "article"}
        told = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node]
        unnamed = [role for role, name in told if role in roles and not name]
        assert unnamed == []
        assert roles <= {role for role, _ in told}
        assert ("image", "Y: 4 of 64 frequencies kept") in told


def test_files_that_are_not_read_are_explained(browser: Browser, page: Path, small_photo: Path, tmp_path: Path) -> None:
    whole = small_photo.read_bytes()
    png = io.BytesIO()
    Image.fromarray(pixels()).save(png, "png")
    cases = {
        "truncated.jpg": (whole[:3000], "the file ends"),
        "picture.png": (png.getvalue(), "PNG"),
        "cmyk.jpg": (small_files()["cmyk"], "a CMYK or YCCK image has no YCbCr coefficients"),
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"<b>no photo</b>" * 9, "not a JPEG: it does not begin with SOI"),
    }
    with served(page) as url:
        browser.open(f"{url}/index.html")
        browser.choose(small_photo)
        for name, (contents, words) in cases.items():
            path = tmp_path / name
            path.write_bytes(contents)
            browser.choose(path)
            said = browser.run("document.querySelector('[role=alert]').textContent")
            assert said.startswith(f"{name}: "), said
            assert words in said
            visible = "Array.from(document.querySelectorAll('#shown, #facts'), (one) => one.checkVisibility())"
            assert browser.run(visible) == [False, False], name
        huge = tmp_path / "huge.jpg"
        with huge.open("wb") as file:
            file.write(whole[:100])
            file.truncate(300 << 20)
        browser.choose(huge)
        said = browser.run("document.querySelector('[role=alert]').textContent")
        assert said == (
            "huge.jpg: a file of 314572800 bytes, more than the 268435456 that this page reads. Take a smaller photo"
        )
        many = tmp_path / "many.jpg"  # a header that promises more pixels than are allowed
        frame = whole.index(b"\xff\xc0")
        many.write_bytes(whole[: frame + 5] + b"\xff\xff\xff\xff" + whole[frame + 9 :])
        browser.choose(many)
        assert "65535 x 65535" in browser.run("document.querySelector('[role=alert]').textContent")
        browser.choose(small_photo)  # and the next good one is read
        assert browser.run("document.querySelector('[role=alert]').textContent") == ""
        assert browser.failures == []


def test_a_large_photo_does_not_freeze_the_page(browser: Browser, page: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    tile = np.tile(pixels(480, 640), (12, 12, 1))
    Image.fromarray(tile).save(large, "jpeg", quality=95, progressive=True)
    with served(page) as url:
        browser.open(f"{url}/index.html")
        # Ticks of the page's own thread while the worker reads.
        browser.run(
            "globalThis.ticks = 0; setInterval(() => { if (document.body.dataset.state === 'busy') ++ticks; }, 5); 0"
        )
        browser.choose(large)
        milliseconds, ticks = browser.run("[parseFloat(/Read in ([0-9.]+)/.exec(document.body.innerText)[1]), ticks]")
        print(f"{tile.shape[1]} x {tile.shape[0]} pixels: {milliseconds} ms, meanwhile {ticks} ticks")
        assert "7680 x 5760 pixels" in browser.run("document.body.innerText")
        assert ticks > 20


def test_it_works_offline_after_a_visit(browser: Browser, page: Path, small_photo: Path) -> None:
    with served(page) as url:
        browser.open(f"{url}/index.html")
        browser.run("navigator.serviceWorker.ready.then(() => true)")
        browser.wait("navigator.serviceWorker.controller")
    browser.call("Page.navigate", url=f"{url}/index.html")  # the server is gone
    browser.wait("document.body?.dataset.state === 'ready'")
    browser.choose(small_photo)
    assert browser.run("document.querySelectorAll('#full-answer li').length") == 5


def test_without_a_network_it_says_so(program: str, browser: Browser, small_photo: Path, tmp_path: Path) -> None:
    if reason := missing_tool():
        pytest.skip(reason)
    folder = tmp_path / "plain"
    build_page(folder, None, ROOT / "build", home="../index.html")
    assert not list(folder.glob("ort*"))
    with served(folder) as url:
        browser.open(f"{url}/index.html")
        browser.choose(small_photo)
        text = browser.run("document.body.innerText")
        assert "This copy of the page was built without a network" in text
        assert "75,264 bytes (float32)" in text
        assert browser.run("document.querySelectorAll('#full-answer li').length") == 0
        assert browser.run("document.querySelector('#home a').getAttribute('href')") == "../index.html"
        assert browser.failures == []


def test_the_drawn_example(browser: Browser, page: Path) -> None:
    with served(page) as url:
        browser.open(f"{url}/index.html")
        browser.run("document.getElementById('drawn').click()")
        browser.wait("document.body.dataset.state === 'shown'")
        assert "480 x 400 pixels" in browser.run("document.body.innerText")


def test_channels_without_coefficients_are_channels_left_out() -> None:
    """What the page calls the folded network of fewer channels is that one: all channels, others zero."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    mean, std = (0.48, 0.45, 0.4), (0.23, 0.22, 0.25)
    kept, every = BandSet.of("S-24"), BandSet.of("192")
    values = torch.randn(2, 192, 5, 7) * 60
    values[:, [channel for channel in range(192) if channel not in kept.channels]] = 0
    answers = []
    for bands in (kept, every):
        folded = fold(network, pixels=(40, 56), grid=(5, 7), bands=bands, mean=mean, std=std).eval()
        given = values[:, list(bands.channels)]
        count = len(bands)
        with torch.inference_mode():
            answers.append(folded(Spectrum(given, bands, torch.zeros(count), torch.ones(count))))
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-5, atol=1e-5)
    assert answers[0].abs().max() > 0.01


def test_the_slider_s_order_passes_the_published_sets() -> None:
    order = channel_order()
    assert sorted(order) == list(range(192))
    for name in ("S-6", "S-12", "S-24", "S-32", "S-48", "S-64"):
        bands = BandSet.of(name)
        assert set(order[: len(bands)]) == set(bands.channels), name
