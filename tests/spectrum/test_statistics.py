"""Streamed, merged and whole statistics are one; files give them back to the bit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prepixel.errors import StatisticsError
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum, encode_int8
from prepixel.spectrum.statistics import Statistics

BANDS = BandSet("own", (0, 9, 64, 130))
GRID = (3, 5)


def make_images(n: int, seed: int = 0) -> Tensor:
    """Make images whose channels differ in mean and spread; the first is DC, far from 0."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 4, *GRID, dtype=torch.float64, generator=generator)
    spread, mean = (
        torch.tensor(numbers, dtype=torch.float64)[:, None, None] for numbers in ([90, 20, 8, 3], [-700, 1, 40, 0])
    )
    return values * spread + mean


def seen(images: Tensor, *, source: str = "") -> Statistics:
    statistics = Statistics.empty(BANDS, GRID, source=source)
    statistics.update(images)
    return statistics


def assert_close(one: Statistics, other: Statistics) -> None:
    assert (one.num_images, one.num_positions) == (other.num_images, other.num_positions)
    torch.testing.assert_close(one.mean, other.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.squares, other.squares, rtol=1e-11, atol=0)
    assert torch.equal(one.minimum, other.minimum)
    assert torch.equal(one.maximum, other.maximum)


def test_mean_and_std_are_over_all_positions() -> None:
    images = make_images(7)
    statistics = seen(images)
    columns = images.transpose(0, 1).reshape(4, -1)
    assert (statistics.num_images, statistics.num_positions) == (7, 105)
    torch.testing.assert_close(statistics.mean, columns.mean(1), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(statistics.std(), columns.std(1, correction=0), rtol=1e-12, atol=0)
    assert torch.equal(statistics.minimum, columns.amin(1))
    assert torch.equal(statistics.maximum, columns.amax(1))
    # Not the spread of each image's own mean, which is what was published.
    assert (statistics.std() > 2 * images.mean((2, 3)).std(0)).all()


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6), split=st.integers(0, 6))
def test_any_grouping_gives_the_same(sizes: list[int], split: int) -> None:
    images = make_images(sum(sizes), seed=sum(sizes))
    batches = images.split(sizes)
    streamed = Statistics.empty(BANDS, GRID)
    for batch in batches:
        streamed.update(batch)
    parts = [seen(batch) for batch in batches]
    left, right = Statistics.empty(BANDS, GRID), Statistics.empty(BANDS, GRID)
    for part in parts[:split]:
        left = left.merge(part)
    for part in reversed(parts[split:]):
        right = part.merge(right)
    whole = seen(images)
    for other in (streamed, left.merge(right), right.merge(left)):
        assert_close(whole, other)


def test_merging_does_not_lose_a_small_spread_on_a_large_mean() -> None:
    """A sum of squares would: 1e9 squared leaves no digit for a spread of 1e-3."""
    values = torch.tensor([0.0, 1e-3] * 30, dtype=torch.float64).reshape(1, 4, *GRID) + 1e9
    merged = seen(values).merge(seen(values)).merge(seen(values))
    torch.testing.assert_close(merged.std(), torch.full((4,), 5e-4, dtype=torch.float64), rtol=0.1, atol=0)


def test_merge_leaves_its_parts_alone_and_joins_sources() -> None:
    one, other = seen(make_images(2), source="flowers"), seen(make_images(3, seed=1), source="photos")
    before = dataclasses.replace(one, mean=one.mean.clone())
    merged = one.merge(other)
    assert_close(one, before)
    assert merged.source == "flowers; photos"
    assert merged.merge(other).source == "flowers; photos; photos"
    assert one.merge(one).source == "flowers"


def test_a_spectrum_counts_by_what_its_values_mean() -> None:
    images = make_images(3)
    shift, unit = torch.tensor([-700.0, 0, 0, 0]), torch.tensor([4.0, 1, 1, 1])
    stored = encode_int8(Spectrum.of_coefficients(images, BANDS), shift, unit)
    torch.testing.assert_close(seen(images).mean, seen_spectrum(stored).mean, atol=1, rtol=0)
    assert_close(seen_spectrum(stored), seen(stored.coefficients()))


def seen_spectrum(spectrum: Spectrum) -> Statistics:
    statistics = Statistics.empty(spectrum.bands, GRID)
    statistics.update(spectrum)
    return statistics


def test_shift_is_the_mean_color_and_nothing_else() -> None:
    statistics = seen(make_images(5))
    shift = statistics.shift()
    assert shift[1] == 0
    assert shift[3] == 0
    assert torch.equal(shift[[0, 2]], statistics.mean[[0, 2]])


def test_scale_of_a_channel_that_never_varies_is_one() -> None:
    images = make_images(3)
    images[:, 2] = 17
    statistics = seen(images)
    assert statistics.scale()[2] == 1
    assert torch.equal(statistics.scale()[[0, 1, 3]], statistics.std()[[0, 1, 3]])
    flat = torch.zeros(1, 4, *GRID, dtype=torch.float64)
    assert seen(flat).int8_unit().tolist() == [1, 1, 1, 1]


def test_normalized_uses_shift_and_scale() -> None:
    images = make_images(11)
    statistics = seen(images)
    normalized = statistics.normalized(Spectrum.of_coefficients(images, BANDS))
    columns = normalized.transpose(0, 1).reshape(4, -1)
    torch.testing.assert_close(columns.std(1, correction=0), torch.ones(4, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(columns.mean(1)[[0, 2]], torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_int8_unit_reaches_what_was_seen_what_dc_can_be_or_no_farther_than_asked() -> None:
    images = make_images(400)
    images[0, 1, 0, 0] = 5000  # one value at 250 standard deviations
    statistics = seen(images)
    unit, shift = statistics.int8_unit(reach=20), statistics.shift()
    assert unit[0].item() == pytest.approx((1024 + shift[0].abs().item()) / 127), "DC: what 8-bit samples can have"
    for channel, spread in ((1, images[:, 1].square().mean().sqrt()), (2, statistics.std()[2])):
        assert unit[channel].item() == pytest.approx(20 * spread.item() / 127), "the reach"
    assert unit[3].item() == pytest.approx(images[:, 3].abs().max().item() / 127), "the farthest seen"
    stored = encode_int8(Spectrum.of_coefficients(images, BANDS), shift, unit)
    at_the_limit = (stored.values.abs() == 127).sum((0, 2, 3))
    assert at_the_limit.tolist() == [0, 1, 0, 1], "the one value clipped, and the farthest itself"


def test_for_bands_takes_channels_in_the_order_asked() -> None:
    statistics = seen(make_images(4))
    chosen = statistics.for_bands(BandSet("two", (130, 0)))
    assert torch.equal(chosen.mean, statistics.mean[[3, 0]])
    assert torch.equal(chosen.std(), statistics.std()[[3, 0]])
    assert torch.equal(chosen.int8_unit(), statistics.int8_unit()[[3, 0]])
    assert chosen.num_images == 4
    with pytest.raises(StatisticsError, match=r"band set own lack channels \[5\] of other; measure all 192 channels"):
        statistics.for_bands(BandSet("other", (0, 5)))


def test_files_give_back_every_bit(tmp_path: Path) -> None:
    statistics = seen(make_images(5), source="synthetic, train")
    path = tmp_path / "statistics.json"
    statistics.write(path)
    back = Statistics.read(path)
    for field in dataclasses.fields(Statistics):
        one, other = getattr(statistics, field.name), getattr(back, field.name)
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other
    assert [p.name for p in tmp_path.iterdir()] == ["statistics.json"], "no temporary file stays"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "statistics.json"
    seen(make_images(5)).write(path)
    before = path.read_bytes()
    broken = dataclasses.replace(seen(make_images(5)), mean=torch.full((4,), torch.nan, dtype=torch.float64))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.write(path)
    assert path.read_bytes() == before


def change(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "statistics.json"
    seen(make_images(5)).write(path)
    fields = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "prepixel statistics 2"}, "format is 'prepixel statistics 2'"),
        ({"mean": [1.0, 2.0]}, "'mean' is not 4 finite numbers"),
        ({"minimum": [1.0, 2.0, float("nan"), 0.0]}, "it holds NaN, which is not JSON"),
        ({"squares": [1.0, 2.0, -1.0, 0.0]}, "squares below 0"),
        ({"num_images": 6}, "num_images, grid and num_positions contradict"),
        ({"num_images": 0, "num_positions": 0}, "num_images, grid and num_positions contradict"),
        ({"grid": [3]}, "num_images, grid and num_positions contradict"),
        ({"bands": {"name": "x", "channels": [0, 0, 1, 2], "origin": ""}}, "listed twice"),
        ({"bands": None}, "'bands' holds null, not an object"),
    ],
)
def test_files_that_are_none_say_why(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = change(tmp_path, **changes)
    with pytest.raises(
        StatisticsError, match=rf"statistics\.json: not a statistics file \(.*{message}.*prepixel stats"
    ):
        Statistics.read(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{"])
def test_text_that_is_no_statistics_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "statistics.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StatisticsError, match=r"not a statistics file"):
        Statistics.read(path)
    with pytest.raises(StatisticsError, match=r"absent\.json: No such file or directory; check the path"):
        Statistics.read(tmp_path / "absent.json")


def test_wrong_input_is_refused() -> None:
    statistics = seen(make_images(2))
    with pytest.raises(ValueError, match=r"4 channels on a grid of 3 x 5; the batch is \(2, 4, 5, 3\)"):
        statistics.update(torch.zeros(2, 4, 5, 3))
    with pytest.raises(ValueError, match="statistics of band set own; the batch has S-6"):
        statistics.update(Spectrum.of_coefficients(torch.zeros(1, 6, *GRID), BandSet.parse("S-6")))
    with pytest.raises(ValueError, match="statistics of band set own; the spectrum has S-6"):
        statistics.normalized(Spectrum.of_coefficients(torch.zeros(1, 6, *GRID), BandSet.parse("S-6")))
    for bad in (torch.nan, torch.inf):
        images = make_images(2)
        images[1, 2, 0, 0] = bad
        with pytest.raises(ValueError, match="not finite; find the image"):
            statistics.update(images)
    with pytest.raises(ValueError, match="own on 3 x 5 and of own on 3 x 7 cannot be merged"):
        statistics.merge(Statistics.empty(BANDS, (3, 7)))
    with pytest.raises(ValueError, match="reach must be above 0, not 0"):
        statistics.int8_unit(reach=0)
    assert_close(statistics, seen(make_images(2)))


def test_nothing_seen_is_nothing_known(tmp_path: Path) -> None:
    empty = Statistics.empty(BANDS, GRID)
    empty.update(torch.zeros(0, 4, *GRID))
    for ask in (empty.std, empty.shift, empty.scale, empty.int8_unit, lambda: empty.write(tmp_path / "s.json")):
        with pytest.raises(ValueError, match="have seen no image; update them first"):
            ask()
