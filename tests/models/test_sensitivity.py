"""Channels left out: what is measured is what a network of fewer columns gives, and the needed ones are found."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prepixel.errors import ModelError
from prepixel.models import fold, frequency_network
from prepixel.models.sensitivity import ChannelProbe, measure_sensitivity, zigzag_like
from prepixel.spectrum import BandSet, Spectrum

BANDS = BandSet.parse("192")
NEEDED = (1, 9, 65, 130)


def spectra(count: int = 60, grid: tuple[int, int] = (10, 14)) -> list[Spectrum]:
    values = 40 * torch.randn(count, 192, *grid, generator=torch.Generator().manual_seed(1))
    return [Spectrum.of_coefficients(part, BANDS) for part in values.split(17)]


class Planted(nn.Module):
    """Answer by the mean of four channels, one a class, each of its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 192, 8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = 10 * self.stem(x).mean((2, 3))
        return torch.stack([features[:, c] * w for c, w in zip(NEEDED, (8, 4, 2, 1), strict=True)], dim=1)


def planted() -> nn.Module:
    """Make the stem's features the block's own coefficients: its weights are rows of the transform and of color."""
    from prepixel.models.folding.reconstruction import block_pixels

    network = Planted()
    rows = block_pixels(BANDS, 8, "dct")  # f, color, y, x: pixels of a unit coefficient
    inverse = torch.linalg.inv(rows.flatten(1).T)  # pixels to coefficients
    with torch.no_grad():
        network.stem.weight.copy_((inverse / 40).reshape(192, 3, 8, 8))
        network.stem.bias.copy_(-(inverse / 40 * 128 / 255).sum(1))
    return fold(network, pixels=(80, 112), grid=(10, 14), bands=BANDS, mean=(0, 0, 0), std=(1, 1, 1))


def test_the_channels_that_carry_the_answer_are_found() -> None:
    probe = ChannelProbe(planted(), spectra(30))
    found = measure_sensitivity(probe, sets=[BandSet("needed", NEEDED)], greedy_images=20)
    ranked = sorted(found.without, key=lambda channel: -found.without[channel].divergence)
    assert set(ranked[:4]) == set(NEEDED)
    assert found.without[ranked[4]].divergence < 1e-6
    assert found.without[1].agreement < 1
    assert set(found.order[:4]) == set(NEEDED)
    assert found.order[0] == 1  # of the largest weight
    assert found.best(4).channels == NEEDED
    kept, effect = found.kept["needed"]
    assert kept.channels == NEEDED
    assert effect.agreement == 1
    assert effect.divergence < 1e-6
    assert set(found.order) == set(range(192))


def test_leaving_out_is_folding_with_fewer_columns() -> None:
    torch.manual_seed(2)
    pixel_network = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    batches = spectra(23)
    for form in ("composed", "factored"):
        whole, some = (
            fold(pixel_network, pixels=(40, 56), grid=(10, 14), bands=bands, form=form) for bands in (BANDS, "T-12")
        )
        labels = torch.arange(23) % 5
        probe = ChannelProbe(whole, batches, labels)
        assert len(probe.reaching) == 48
        with torch.no_grad():
            everything = torch.cat([whole(batch) for batch in batches]).double().log_softmax(1)
            fewer = torch.cat([some(batch.select(some.bands)) for batch in batches]).double().log_softmax(1)
        effect = probe.effect(some.bands.channels)
        assert effect.divergence == pytest.approx(
            float((everything.exp() * (everything - fewer)).sum(1).mean()), abs=1e-9
        )
        assert effect.agreement == float((everything.argmax(1) == fewer.argmax(1)).double().mean())
        assert effect.top1 == float((fewer.argmax(1) == labels).double().mean())
        assert probe.effect(some.bands.channels, 5).n == 5


def test_networks_without_a_stem_are_asked_too() -> None:
    torch.manual_seed(3)
    bands = BandSet.parse("S-6")
    probe = ChannelProbe(frequency_network("resnet18", bands, 3), [spectra(5)[0].select(bands)])
    found = measure_sensitivity(probe, greedy_images=3)
    assert set(found.without) == set(bands.channels)
    assert found.everything == probe.effect(bands.channels)
    assert found.everything.divergence == 0
    assert sorted(found.order) == sorted(bands.channels)
    assert list(found.kept) == ["greedy-3"]


def test_progress_ends_where_it_said() -> None:
    seen: list[tuple[int, int]] = []
    bands = BandSet.parse("S-6")
    probe = ChannelProbe(frequency_network("resnet18", bands, 3), [spectra(5)[0].select(bands)])
    measure_sensitivity(
        probe, sets=zigzag_like([bands]), greedy_images=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1][0] == seen[-1][1] == len(seen)


def test_errors() -> None:
    network = frequency_network("resnet18", BANDS, 3)
    with pytest.raises(ModelError, match="no image to measure"):
        ChannelProbe(network, [])
    with pytest.raises(ModelError, match="3 labels for 5 images"):
        ChannelProbe(network, [spectra(5)[0]], torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ModelError, match="193 channels asked for, and 0 reach"):
        measure_sensitivity(ChannelProbe(network, [spectra(2)[0]])).best(193)


def test_zigzag_sets_have_as_many_of_each_component() -> None:
    (like,) = zigzag_like([BandSet.parse("S-24")])
    assert like.counts == (16, 4, 4)
