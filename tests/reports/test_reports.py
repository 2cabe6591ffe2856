"""Figures: what is drawn is what the records say, and a file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import IO
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from prepixel.records import ConfusionRow, MetricRow, Records
from prepixel.reports import (
    Shown,
    figure,
    plot_confusion,
    plot_curves,
    plot_detections,
    plot_frequency_channels,
    plot_heat_maps,
    plot_rates,
    plot_score_over_bytes,
    plot_sensitivity,
)
from prepixel.reports.figure import plain_text


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Keep every figure that is written."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def svg_texts(path: Path) -> list[str]:
    """Return the texts of an SVG, in order."""
    tree = ET.fromstring(path.read_text(encoding="utf-8"))
    return ["".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text")]


def records(top1: list[float], *, loss: float = 2.0) -> Records:
    rows = [
        MetricRow("r", "val", "top1", value, float(epoch), 7 * epoch, 13) for epoch, value in enumerate(top1, start=1)
    ]
    return Records(
        (*rows, *(MetricRow("r", "train", "loss", loss / epoch, float(epoch), 7 * epoch) for epoch in (1, 2, 3)))
    )


def test_curves_are_means_and_bands_over_seeds(tmp_path: Path, drawn: list[Figure]) -> None:
    runs = {"RGB": [records([0.2, 0.4])], "DCT-24": [records([0.25, 0.5, 0.75]), records([0.35, 0.7])]}
    plot_curves(runs, tmp_path / "curves.png", title="ten classes")
    loss, top1 = drawn[0].axes
    lines = {str(line.get_label()): np.asarray(line.get_xydata()) for line in top1.lines}
    np.testing.assert_allclose(lines["RGB"], [[1, 20], [2, 40]])
    np.testing.assert_allclose(lines["DCT-24 (2 seeds: mean, lowest to highest)"], [[1, 30], [2, 60]])
    band = top1.collections[0].get_paths()[0].vertices
    assert (np.asarray(band)[:, 1].min(), np.asarray(band)[:, 1].max()) == (25, 70)
    np.testing.assert_allclose(np.asarray(loss.lines[0].get_xydata())[:, 1], [2, 1, 2 / 3])
    assert loss.get_yscale() == "log"
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"


def test_run_with_fewer_records_is_in_the_legend(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_curves({"done": [records([0.5])], "begun": [records([])]}, tmp_path / "curves.svg")
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["done", "begun"]
    assert {"done", "begun", "training loss, log scale", "validation top-1", "epoch"} <= set(
        svg_texts(tmp_path / "curves.svg")
    )


def test_nothing_to_draw_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to draw: these records hold neither a loss nor a score"):
        plot_curves({"empty": [Records(())]}, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["curves", "curves.jpeg2000"])
def test_unknown_format_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"end the name in .png, .svg or .pdf"):
        plot_curves({"RGB": [records([0.2])]}, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "curves.png").write_bytes(b"old")

    def fail(figure: Figure, file: IO[bytes], **_: object) -> None:
        file.write(b"half")
        raise OSError("no space")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space"):
        plot_curves({"RGB": [records([0.2])]}, tmp_path / "curves.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_confusion_shows_shares_and_counts(tmp_path: Path, drawn: list[Figure]) -> None:
    row = ConfusionRow("r", "val", 3.0, 7, ("cat", "dog", "none"), ((5, 2, 0), (1, 11, 1), (0, 0, 0)))
    plot_confusion(row, tmp_path / "confusion.png", title="DCT-24")
    axes = drawn[0].axes[0]
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares, [[5 / 7, 2 / 7, 0], [1 / 13, 11 / 13, 1 / 13], [0, 0, 0]])
    assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "11", "2", "5"]
    assert axes.get_title(loc="left") == "DCT-24\n16 of 20 right (80.0 %)"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "none"]


def test_confusion_of_many_classes_is_drawn_without_words(tmp_path: Path, drawn: list[Figure]) -> None:
    size = 61
    counts = tuple(tuple(3 * (x == y) for x in range(size)) for y in range(size))
    plot_confusion(ConfusionRow("r", "val", 1.0, 1, tuple(map(str, range(size))), counts), tmp_path / "c.png")
    assert not drawn[0].axes[0].texts


def test_mosaic_puts_each_channel_in_its_place(tmp_path: Path, drawn: list[Figure]) -> None:
    plane = np.zeros((3, 5, 8, 8), dtype=np.int32)
    plane[:, :, 0, 0] = np.arange(15).reshape(3, 5)
    plane[1, 2, 6, 7] = -400
    plot_frequency_channels({"Y": plane}, tmp_path / "channels.png", title="one block")
    axes = drawn[0].axes[0]
    colors = np.asarray(axes.images[0].get_array())
    assert colors.shape == (24, 40, 4)
    np.testing.assert_allclose(colors[:3, :5, 0], np.arange(15).reshape(3, 5) / 14)
    white = (colors[:, :, :3] == 1).all(axis=2)
    white[:3, :5] = True
    assert np.argwhere(~white).tolist() == [[6 * 3 + 1, 7 * 5 + 2]]
    assert axes.get_title(loc="left") == "Y: 3 x 5 blocks, 0 % of AC not zero"


def test_channels_of_unequal_grids_share_one_scale(tmp_path: Path, drawn: list[Figure]) -> None:
    luma, chroma = np.full((4, 6, 8, 8), 100), np.full((2, 3, 8, 8), 25)
    plot_frequency_channels({"Y": luma, "Cb": chroma, "Cr": chroma}, tmp_path / "channels.pdf")
    shade = [np.asarray(axes.images[0].get_array())[-1, -1] for axes in drawn[0].axes]
    np.testing.assert_allclose(shade[0], figure.SHADES(1.0), atol=1e-6)
    np.testing.assert_allclose(shade[1], figure.SHADES(0.5), atol=1e-6)
    assert (tmp_path / "channels.pdf").read_bytes().startswith(b"%PDF")


def test_heat_map_shows_numbers_and_ids(tmp_path: Path, drawn: list[Figure]) -> None:
    values = np.linspace(0, 1, 192).reshape(3, 8, 8)
    both = {"dynamic": values, "static": values[::-1]}
    plot_heat_maps(both, tmp_path / "heat.png", title="kept", ids=np.arange(64).reshape(8, 8))
    maps = [axes for axes in drawn[0].axes if axes.get_title(loc="left")]
    assert len(maps) == 6
    np.testing.assert_allclose(np.asarray(maps[5].images[0].get_array()), values[0])
    maps = maps[:3]
    assert [axes.get_title(loc="left") for axes in maps] == ["dynamic\nY", "\nCb", "\nCr"]
    np.testing.assert_allclose(np.asarray(maps[1].images[0].get_array()), values[1])
    assert [text.get_text() for text in maps[2].texts] == list(map(str, range(64)))
    assert next(text.get_text() for text in maps[1].texts) == "32", "numbers in channels of half the largest value"
    assert not maps[0].texts
    assert drawn[0].subfigs[0].axes[-1].get_ylabel() == "share of images with the channel on"
    plot_heat_maps({"": np.zeros((1, 8, 8))}, tmp_path / "none.png")
    assert drawn[1].axes[0].get_title(loc="left") == "gray"


HOSTILE = ("$x$ and $\\frac$", "_under", "a\x1b]0;b\x07", "c\udcff", "d\ne")
PLAIN = ("$x$ and $\\frac$", "_under", "a\\x1b]0;b\\x07", "c\\udcff")


def test_names_are_drawn_as_they_are_whatever_they_hold(tmp_path: Path) -> None:
    """Dollars are no formulas, and control characters are visible: in every figure."""
    output, names = tmp_path / "figure.svg", HOSTILE[:4]
    pixels, boxes = np.zeros((40, 60, 3), dtype=np.uint8), np.array([[1.0, 2, 30, 20]] * 4)
    planes, maps = {name: np.zeros((2, 3, 8, 8)) for name in names}, np.ones((1, 8, 8))
    confusion = ConfusionRow("r", "val", 1.0, 7, names, tuple((1, 0, 0, 0) for _ in names))
    draw = {
        "curves": lambda: plot_curves({name: [records([0.2])] for name in names}, output, title=names[0]),
        "bytes": lambda: plot_score_over_bytes({name: (64, [0.5]) for name in names}, output, title=names[0]),
        "rates": lambda: plot_rates(
            dict.fromkeys(names, (1.0, 2.0)), {names[0]: 3.0}, output, names=(names[2], names[3])
        ),
        "confusion": lambda: plot_confusion(confusion, output, title=names[0]),
        "heat": lambda: plot_heat_maps(dict.fromkeys(names, maps), output, title=names[0], quantity=names[3]),
        "sensitivity": lambda: plot_sensitivity(
            maps, {name: [(3, 0.5), (7, 0.7)] for name in names}, output, quantity=names[0], title=names[1]
        ),
        "detections": lambda: plot_detections({names[2]: Shown(pixels, boxes, names)}, output, title=names[0]),
        "channels": lambda: plot_frequency_channels(planes, output, title=names[0]),
    }
    for kind, plot in draw.items():
        plot()
        drawn = " ".join(svg_texts(output))
        assert not [name for name in PLAIN if name not in drawn], kind
        assert "mathdefault" not in drawn, kind


def test_long_names_are_shortened() -> None:
    assert plain_text("n" * 100) == "n" * 79 + "\u2026"
    assert plain_text("gr\u00f6\u00dfer") == "gr\u00f6\u00dfer"


def test_ticks_of_scores_that_are_close_differ(tmp_path: Path) -> None:
    points = {"RGB": (150528, [0.1012, 0.1033]), "DCT-24": (18816, [0.1021, 0.1040])}
    plot_score_over_bytes(points, tmp_path / "bytes.svg")
    texts = svg_texts(tmp_path / "bytes.svg")
    ticks = [text for text in texts if text.endswith(" %") and ":" not in text]
    assert len(ticks) >= 4
    assert len(set(ticks)) == len(ticks)
    assert {"147", "18.4", "bar: mean; points: seeds"} <= set(texts)


def test_detectors_have_their_scores_and_no_empty_panel(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [MetricRow("r", "val", "box_ap", 0.1 * epoch, float(epoch), epoch, 13) for epoch in (1, 2)]
    plot_curves({"FCOS": [Records((*rows, MetricRow("r", "train", "loss", 2.0, 1.0, 1)))]}, tmp_path / "curves.svg")
    titles = [axes.get_title(loc="left") for axes in drawn[0].axes]
    assert titles == ["training loss, log scale", "validation AP of boxes"]
    np.testing.assert_allclose(np.asarray(drawn[0].axes[1].lines[0].get_xydata()), [[1, 10], [2, 20]])


@pytest.mark.parametrize(("name", "title"), [("map", "validation mAP"), ("r2", "validation R2")])
def test_labels_and_values_have_their_scores(name: str, title: str, tmp_path: Path, drawn: list[Figure]) -> None:
    rows = tuple(MetricRow("r", "val", name, 0.4 * epoch - 0.6, float(epoch), epoch, 13) for epoch in (1, 2))
    plot_curves({"light": [Records(rows)]}, tmp_path / "curves.svg")
    (axes,) = drawn[0].axes
    assert axes.get_title(loc="left") == title
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xydata()), [[1, -20], [2, 20]])
    assert axes.get_ylim()[0] < -19


def test_labels_of_objects_in_one_place_do_not_overlap(tmp_path: Path, drawn: list[Figure]) -> None:
    pixels = np.full((240, 320, 3), 99, dtype=np.uint8)
    boxes = np.array(
        [[10.0, 10, 120, 90], [11, 12, 121, 92], [9, 8, 119, 88], [300, 200, 320, 240], [298, 201, 319, 239]]
    )
    names = ["person 98.1 %", "person 77.0 %", "tie 60.2 %", "umbrella 55.0 %", "dining table 51.0 %"]
    plot_detections({"photo": Shown(pixels, boxes, names)}, tmp_path / "found.png", width_inches=8.0)
    drawn[0].draw_without_rendering()
    axes = drawn[0].axes[0]
    picture = axes.get_window_extent()
    extents = [text.get_window_extent() for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == names
    for place, extent in enumerate(extents):
        assert picture.x0 - 1 <= extent.x0
        assert extent.x1 <= picture.x1 + 1
        assert picture.y0 - 1 <= extent.y0
        assert extent.y1 <= picture.y1 + 1
        for other in extents[:place]:
            assert not (extent.x0 < other.x1 and other.x0 < extent.x1 and extent.y0 < other.y1 and other.y0 < extent.y1)


def test_pictures_side_by_side_have_one_size_whatever_labels_they_hold(tmp_path: Path, drawn: list[Figure]) -> None:
    """A label that began at the right edge took a strip from all pictures before it was moved into its own."""
    pixels = np.full((240, 320, 3), 99, dtype=np.uint8)
    none, edge = (
        Shown(pixels, np.zeros((0, 4)), []),
        Shown(pixels, np.array([[310.0, 9, 320, 30]]), ["dining table 51 %"]),
    )
    plot_detections({"a": none, "b": none, "c": none}, tmp_path / "plain.png", width_inches=15.0)
    plot_detections({"a": none, "b": edge, "c": none}, tmp_path / "found.png", width_inches=15.0)
    plain, found = ([axes.get_position().bounds for axes in one.axes] for one in drawn)
    np.testing.assert_allclose(found, plain, atol=1e-3)


@pytest.mark.parametrize(
    ("bh", "bw"), [(63, 42), (42, 63), (10, 90), (90, 40), (1, 1), (500, 10), (10, 500), (188, 38)]
)
@pytest.mark.parametrize("components", [1, 3, 4])
def test_no_text_of_a_channel_map_covers_another(
    components: int, bh: int, bw: int, tmp_path: Path, drawn: list[Figure]
) -> None:
    planes = dict.fromkeys(("C", "M", "Y", "K")[:components], np.ones((bh, bw, 8, 8)))
    plot_frequency_channels(planes, tmp_path / "channels.png", title="n01494475_hammerhead.JPEG, 500 x 333")
    whole = drawn[0]
    edges = whole.get_suptitle(), whole.get_supxlabel()
    texts = [text for text in whole.findobj(Text) if text.get_visible() and text.get_text() in edges]
    texts += [text for axes in whole.axes for text in (axes.xaxis.label, axes._left_title)]  # type: ignore[attr-defined]
    assert len(texts) == 2 + 2 * components
    texts += [label for axes in whole.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    boxes = [text.get_window_extent() for text in texts]
    clashes = [
        (a.get_text(), b.get_text())
        for i, a in enumerate(texts)
        for j, b in enumerate(texts[:i])
        if boxes[i].overlaps(boxes[j])
    ]
    assert not clashes
    assert all(whole.bbox.contains(*box.min) and whole.bbox.contains(*box.max) for box in boxes)


def test_a_confusion_of_more_classes_than_can_be_named_names_every_second_or_so(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    """Its axes were numbered by rows of the picture, which are the numbers of nothing."""
    size = 150
    counts = tuple(tuple(2 * (x == y) for x in range(size)) for y in range(size))
    row = ConfusionRow("r", "val", 1.0, 1, tuple(f"class {n}" for n in range(size)), counts)
    plot_confusion(row, tmp_path / "c.png")
    axes = drawn[0].axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        places = [int(place) for place in axis.get_ticklocs()]
        assert places == list(range(0, size, 3))
        assert [label.get_text() for label in axis.get_ticklabels()] == [f"class {place}" for place in places]
    assert axes.get_title(loc="left") == "300 of 300 right (100.0 %); one class in 3 is named"


def test_a_confusion_of_many_classes_shows_those_that_occur(tmp_path: Path, drawn: list[Figure]) -> None:
    counts = [[0] * 1000 for _ in range(1000)]
    counts[7][7], counts[7][900], counts[41][3] = 3, 1, 2
    row = ConfusionRow("r", "val", 1.0, 1, tuple(f"class {n}" for n in range(1000)), tuple(map(tuple, counts)))
    plot_confusion(row, tmp_path / "c.png", title="net")
    axes = drawn[0].axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["class 3", "class 7", "class 41", "class 900"]
    assert axes.get_title(loc="left") == "net\n3 of 6 right (50.0 %); 996 classes without images and answers left out"
    assert [text.get_text() for text in axes.texts] == ["3", "1", "2"]
