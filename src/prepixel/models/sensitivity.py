"""Which frequency channels a network needs, asked without training: leave channels out and see what its answers do.

A channel is left out by setting its normalized values to zero, which is what dropping its input channel does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from prepixel.errors import ModelError
from prepixel.models.folding.fold import FoldedNetwork
from prepixel.models.folding.folded_stem import FoldedStem
from prepixel.models.folding.reconstruction import Reconstruction
from prepixel.models.frequency_network import FrequencyNetwork
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum

Progress = Callable[[int, int], None]
_SHARE_DROPPED = 0.125  # of the channels that are left, in a round of greedy elimination


@dataclass(frozen=True)
class Effect:
    """Report what leaving channels out does to a network's answers.

    Attributes:
        divergence: mean Kullback-Leibler divergence of the softmax from that with all channels, in nats; 0 for none.
        agreement: share of images whose answer stays the same.
        top1: share of images whose answer is right; None without labels.
        n: images.
    """

    divergence: float
    agreement: float
    top1: float | None
    n: int


@dataclass(frozen=True)
class Sensitivity:
    """Report what was found about a network's channels.

    Attributes:
        everything: with all channels.
        without: the effect of leaving out one channel, by its id; of channels that cannot reach the network, none.
        kept: the effect of keeping just the channels of a set, by the set's name.
        order: channel ids, most needed first, by greedy elimination.
    """

    everything: Effect
    without: dict[int, Effect] = field(default_factory=dict)
    kept: dict[str, tuple[BandSet, Effect]] = field(default_factory=dict)
    order: tuple[int, ...] = ()

    def best(self, count: int, origin: str = "") -> BandSet:
        """Return the channels that greedy elimination kept longest, in the order of their ids.

        Raises:
            ModelError: there are not so many.
        """
        if not 1 <= count <= len(self.order):
            raise ModelError(f"{count} channels asked for, and {len(self.order)} reach the network")
        return BandSet(f"greedy-{count}", tuple(sorted(self.order[:count])), origin)


class ChannelProbe:
    """Run a network on the same images again and again, with channels left out.

    Args:
        network: takes spectra; put into evaluation mode.
        spectra: batches of images.
        labels: of all images, in order; None where they are not known.

    Raises:
        ModelError: there is no image, or not a label for each.
    """

    def __init__(
        self,
        network: FoldedNetwork | FrequencyNetwork,
        spectra: Iterable[Spectrum],
        labels: Int64[Tensor, " n"] | None = None,
    ) -> None:
        self.network = network.eval()
        self.bands = network.bands if isinstance(network, FoldedNetwork) else network.input.bands
        self.reaching = reaching_channels(network, self.bands)
        self.device = next(network.parameters()).device
        with torch.inference_mode():
            self.batches = [self._reaching_values(network.input(spectrum.to(self.device))) for spectrum in spectra]
        self.num_images = sum(len(batch) for batch in self.batches)
        if not self.num_images:
            raise ModelError("no image to measure the network's answers on")
        if labels is not None and len(labels) != self.num_images:
            raise ModelError(f"{len(labels)} labels for {self.num_images} images")
        self.labels = labels
        self.reference = self._log_probabilities(self.reaching, self.num_images)

    def _reaching_values(self, normalized: Float[Tensor, "n f bh bw"]) -> Float[Tensor, "n r bh bw"]:
        return normalized[:, [self.bands.channels.index(channel) for channel in self.reaching]]

    def effect(self, channels: Iterable[int], images: int | None = None) -> Effect:
        """Measure what keeping just some channels does; those that do not reach the network make no difference.

        Args:
            channels: ids.
            images: only the first so many; None for all.
        """
        count = min(images or self.num_images, self.num_images)
        got, expected = self._log_probabilities(channels, count), self.reference[:count]
        answers = got.argmax(1)
        labels = None if self.labels is None else self.labels[:count].to(answers)
        return Effect(
            max(0.0, float((expected.exp() * (expected - got)).sum(1).mean())),
            float((answers == expected.argmax(1)).double().mean()),
            None if labels is None else float((answers == labels).double().mean()),
            count,
        )

    def _log_probabilities(self, channels: Iterable[int], count: int) -> Float64[Tensor, "n k"]:
        kept = set(channels)
        places = torch.tensor([self.bands.channels.index(channel) for channel in self.reaching], device=self.device)
        mask = torch.tensor([float(channel in kept) for channel in self.reaching], device=self.device)
        results: list[Tensor] = []
        for batch in self.batches:
            part = batch[: count - sum(map(len, results))]
            if not len(part):
                break
            values = part.new_zeros(len(part), len(self.bands), *part.shape[2:])
            values[:, places] = part * mask.to(part)[:, None, None]
            with torch.inference_mode():
                results.append(self.network.from_normalized(values).double().log_softmax(1))
        return torch.cat(results)


def measure_sensitivity(
    probe: ChannelProbe,
    *,
    sets: Sequence[BandSet] = (),
    greedy_images: int = 0,
    progress: Progress | None = None,
) -> Sensitivity:
    """Ask what each channel means to a network, what published sets keep, and in which order to drop channels.

    Cost: one pass over the images for each channel that reaches the network and for each set, and some passes over
    ``greedy_images`` for each channel.

    Args:
        probe: the network and its images.
        sets: band sets to keep one at a time; channels that the network does not take are left out of them.
        greedy_images: images that greedy elimination goes by; 0 leaves it out.
        progress: called with passes done and passes in all.
    """
    reaching = list(probe.reaching)
    rounds = list(_rounds(len(reaching))) if greedy_images else []
    total = len(reaching) + len(sets) + sum(rounds)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    without = {}
    for channel in reaching:
        without[channel] = probe.effect(other for other in reaching if other != channel)
        advance()
    kept = {}
    for bands in sets:
        kept[bands.name] = bands, probe.effect(bands.channels)
        advance()
    dropped: list[int] = []
    for _ in rounds:
        effects = {}
        for channel in reaching:
            effects[channel] = probe.effect((c for c in reaching if c != channel), greedy_images).divergence
            advance()
        least = sorted(reaching, key=lambda channel: (effects[channel], -channel))[: _at_once(len(reaching))]
        dropped += least
        reaching = [channel for channel in reaching if channel not in least]
    order = tuple(reversed(dropped + reaching)) if rounds else ()
    for size in _sizes(len(order)):
        chosen = BandSet(f"greedy-{size}", tuple(sorted(order[:size])))
        kept[chosen.name] = chosen, probe.effect(chosen.channels)
    return Sensitivity(probe.effect(probe.reaching), without, kept, order)


def zigzag_like(sets: Sequence[BandSet]) -> list[BandSet]:
    """Return, for each set, the first in zigzag order, as many of each component."""
    return [BandSet.parse("zigzag-{}-{}-{}".format(*bands.counts)) for bands in sets]


def _at_once(left: int) -> int:
    return max(1, int(left * _SHARE_DROPPED))


def _rounds(left: int) -> Iterator[int]:
    """Yield how many channels each round of greedy elimination tries; the last one that is left is not tried."""
    while left > 1:
        yield left
        left -= _at_once(left)


def _sizes(count: int) -> Iterator[int]:
    """Yield the sizes at which a greedy order is measured: the published sets', as far as there are channels."""
    return (size for size in (3, 6, 12, 24, 32, 48, 64, 96, 128) if size < count)


def reaching_channels(network: nn.Module, bands: BandSet | str) -> tuple[int, ...]:
    """Return the channels that the network's first layer has as inputs."""
    bands = BandSet.of(bands)
    for module in network.modules():
        if isinstance(module, FoldedStem | Reconstruction):
            return tuple(bands.channels[place] for place in module.live.tolist())
    return bands.channels
