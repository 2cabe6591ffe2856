"""Gates: a bit for each channel, drawn while training, decided by a sign in evaluation.

A gate scores every channel; ``log-odds = sharpness x (score - price x cost)`` is how much rather the channel is on than
off. While training, logistic noise (the difference of two Gumbel draws) decides, forward by a bit, backward by the soft
sample; in evaluation the sign decides, without noise.

Price and sharpness are 0 and 1 but for the loss ``budget``. There the price is the Lagrange multiplier of "the expected
cost is the target": the log-odds above are what maximizes expected score plus entropy under that constraint. It is
solved for each batch. The target descends from all channels to the request in the first half of training; then the
log-odds grow, and a loss keeps them apart from zero, so that the bits that are drawn become the bits of evaluation.

Source: "Learning in the Frequency Domain" (CVPR 2020), section 3.3, for the dynamic gate and the loss ``paper``; its
released code for ``released``. The budget, the static gate and the floors are ours.
"""

from __future__ import annotations

import abc
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from prepixel.gates.gate_settings import GateError, GateSettings
from prepixel.spectrum.bands import COMPONENT_NAMES, BandSet

BIAS_OFF, BIAS_ON = 0.1, 2.0  # at the start P(on) is sigmoid(1.9) = .870
_DESCENT = 0.5  # share of training in which a budget's target descends
_SETTLED = 0.9  # share of training at which log-odds are sharpest
_SHARPEST = 64.0
_BISECTIONS = 30
_PRICE_MOMENTUM = 0.1
_ENOUGH_TO_NORM = 16  # images whose mean and spread a norm can go by
_NORM_MOMENTUM = 0.1


@dataclass(frozen=True)
class GateOutput:
    """Record which channels a gate let pass.

    Attributes:
        bits: 1 on, 0 off; while training their gradient is the soft sample's.
        log_odds: of on against off.
        forced: on by a floor, whatever their log-odds.
    """

    bits: Float[Tensor, "n f"]
    log_odds: Float[Tensor, "n f"]
    forced: Bool[Tensor, "n f"]

    @property
    def probabilities(self) -> Float[Tensor, "n f"]:
        """Return P(on); 1 for channels that a floor keeps on."""
        return self.log_odds.sigmoid().masked_fill(self.forced, 1.0)


class Gate(nn.Module, abc.ABC):
    """Let some frequency channels pass and set the others to zero.

    Args:
        bands: the channels, in order.
        settings: how they are chosen.
        costs: bytes a sample of each channel, above 0; one and the same for all if None.

    Raises:
        GateError: a floor or a budget is more than the band set has, or a budget of bytes is less than the floors'.
        ValueError: costs are not one number above 0 for each channel.
    """

    costs: Tensor
    progress: Tensor
    temperature: Tensor
    price: Tensor
    _prices: Tensor
    _images: Tensor
    _on: Tensor
    _likely: Tensor
    _entropy: Tensor
    _were_on: Tensor

    def __init__(self, bands: BandSet, settings: GateSettings, costs: Float[Tensor, " f"] | None = None) -> None:
        super().__init__()
        self.bands = bands
        self.settings = settings
        costs = torch.ones(len(bands), device="cpu") if costs is None else costs.detach().float().cpu()
        self.budget = _budget(bands, settings, costs)
        if settings.bytes is None:
            costs = torch.ones_like(costs)
        self.register_buffer("costs", costs / costs.mean())
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("temperature", torch.tensor(settings.temperature_start))
        self.register_buffer("price", torch.zeros(()))
        self.register_buffer("_prices", torch.zeros(()))  # how many the price is a mean of
        # Since the last look: images, bits and probabilities by channel, entropy; and what was mostly on at that look.
        self.register_buffer("_images", torch.zeros(()))
        self.register_buffer("_on", torch.zeros(len(bands)))
        self.register_buffer("_likely", torch.zeros(len(bands)))
        self.register_buffer("_entropy", torch.zeros(()))
        self.register_buffer("_were_on", torch.ones(len(bands)))
        components = [component for component, _, _ in bands]
        self._members = [[place for place, one in enumerate(components) if one == c] for c in range(3)]

    @abc.abstractmethod
    def scores(self, normalized: Float[Tensor, "n f bh bw"]) -> Float[Tensor, "n f"]:
        """Compute how much rather each channel is on than off, before any price."""

    def forward(
        self, normalized: Float[Tensor, "n f bh bw"], filled: Float[Tensor, " n"] | None = None
    ) -> tuple[Float[Tensor, "n f bh bw"], GateOutput]:
        """Set the channels that are off to zero, and say which are on.

        Args:
            normalized: normalized channels.
            filled: the share of the grid that each image fills, 0..1, all else being zeros; None for all of it.
        """
        with _full_precision(normalized.device):
            seen = normalized.to(self.costs.dtype)
            if filled is not None:
                seen = seen / filled.to(seen)[:, None, None, None]
            choice = self.choose(self.scores(seen))
        return normalized * choice.bits.to(normalized.dtype)[:, :, None, None], choice

    def choose(self, scores: Float[Tensor, "n f"]) -> GateOutput:
        """Turn scores into bits: drawn while training, by their sign in evaluation."""
        forced = self._forced(scores.detach())
        sharpness = self._sharpness()
        price = self.price
        if self.training and self.budget is not None:
            price = self._solve_price(scores.detach(), forced, sharpness)
        log_odds = scores if self.budget is None else sharpness * (scores - price * self.costs)
        if not self.training:
            return GateOutput(((log_odds > 0) | forced).to(log_odds), log_odds, forced)
        uniform = torch.rand_like(log_odds).clamp(1e-6, 1 - 1e-6)
        noisy = log_odds + uniform.log() - (-uniform).log1p()
        soft = (noisy / (self.temperature * sharpness)).sigmoid()  # sharper draws, not steeper gradients
        bits = ((noisy > 0) | forced).to(soft) + (soft - soft.detach())
        choice = GateOutput(bits, log_odds, forced)
        self._note(choice)
        return choice

    def penalty(self, choice: GateOutput) -> Float[Tensor, ""]:
        """Compute what is added to a task's mean loss over the images of a choice."""
        settings = self.settings
        if settings.loss == "paper":
            return settings.strength * choice.bits.sum(1).mean()
        if settings.loss == "released":
            return settings.strength * choice.bits.mean()
        kept = self._nearest(choice.log_odds.detach(), choice.forced)[0]
        distance = torch.where(kept, 1 - choice.probabilities, choice.probabilities) * self.costs
        return settings.strength * self._settling() * distance.sum(1).mean()

    def set_progress(self, progress: float) -> None:
        """Set how far training is, 0..1: temperature and budget follow."""
        self.progress.fill_(progress)
        self.temperature.fill_(self.settings.temperature(progress))

    @torch.no_grad()
    def pop_metrics(self) -> dict[str, float]:
        """Return what was seen since the last call, and reset it.

        Returns:
            Nothing, if no image passed; else the mean number of channels on, their mean entropy in nats, how many went
            from mostly on to mostly off or back (compared with all on at first), and the temperature.
        """
        images = float(self._images)
        if not images:
            return {}
        mostly_on = (self._likely > 0.5 * images).to(self._were_on)
        numbers = {
            "gate/channels_on": float(self._on.sum()) / images,
            "gate/entropy": float(self._entropy) / images,
            "gate/flipped": float((mostly_on != self._were_on).sum()),
            "gate/temperature": float(self.temperature),
        }
        self._were_on.copy_(mostly_on)
        for total in (self._images, self._on, self._likely, self._entropy):
            total.zero_()
        return numbers

    @torch.no_grad()
    def _note(self, choice: GateOutput) -> None:
        self._images += len(choice.bits)
        self._on += choice.bits.detach().sum(0)
        self._likely += choice.probabilities.sum(0)
        p = choice.probabilities
        self._entropy += -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).mean(1).sum()

    def _forced(self, scores: Float[Tensor, "n f"]) -> Bool[Tensor, "n f"]:
        """Mark the channels that floors keep on: the most probable of each component."""
        forced = torch.zeros_like(scores, dtype=torch.bool)
        for members, floor in zip(self._members, self.settings.floors, strict=True):
            if floor:
                places = torch.tensor(members, device=scores.device)
                best = scores[:, places].topk(floor, dim=1).indices
                forced.scatter_(1, places[best], True)
        return forced

    def _settling(self) -> Tensor:
        """Return how far the second half is, 0..1."""
        return ((self.progress - _DESCENT) / (_SETTLED - _DESCENT)).clamp(0, 1)

    def _sharpness(self) -> Tensor:
        return (self._settling() * math.log(_SHARPEST)).exp()

    def _target(self) -> Tensor:
        """Return the mean cost of an image that is the target now; costs are 1 a channel in the mean."""
        start = len(self.bands) / (1 + math.exp(BIAS_OFF - BIAS_ON))
        assert self.budget is not None
        done = (self.progress / _DESCENT).clamp(max=1)
        return start * (done * math.log(self.budget / start)).exp()

    @torch.no_grad()
    def _solve_price(self, scores: Tensor, forced: Tensor, sharpness: Tensor) -> Tensor:
        """Find the price at which a batch's expected cost is the target; learn the one that evaluation uses."""
        target = self._target()
        ratios = scores / self.costs
        low, high = ratios.min() - 50, ratios.max() + 50
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            on = (sharpness * (scores - middle * self.costs)).sigmoid().masked_fill(forced, 1.0)
            dear = (on * self.costs).sum(1).mean() > target
            low, high = torch.where(dear, middle, low), torch.where(dear, high, middle)
        self._prices += 1
        momentum = (1 / self._prices).clamp(min=_PRICE_MOMENTUM)
        self.price.lerp_(self._nearest(scores, forced)[1], momentum)
        return (low + high) / 2

    def _nearest(self, scores: Tensor, forced: Tensor) -> tuple[Bool[Tensor, "n f"], Float[Tensor, ""]]:
        """Choose the batch's best bits that cost no more than the target in the mean, and the price that tells them."""
        ratios = (scores / self.costs).masked_fill(forced, math.inf).flatten()
        order = ratios.argsort(descending=True, stable=True)
        costs = self.costs.expand_as(scores).flatten()[order].double().cumsum(0)
        kept = costs <= self._target() * len(scores) * (1 + 1e-6)
        ordered = ratios[order]
        least = torch.where(kept, ordered, math.inf).min()
        most = torch.where(kept, -math.inf, ordered).max()
        least = torch.where(least.isinf(), most + 1, least)  # none is kept, or forced ones alone
        most = torch.where(most.isinf(), least - 1, most)  # all are kept
        bits = torch.zeros_like(kept).scatter_(0, order, kept).view_as(scores)
        return bits, (least + most) / 2


class DynamicGate(Gate):
    """Choose by each image: global average pool, a layer of as many features, norm, ReLU, two logits a channel."""

    def __init__(self, bands: BandSet, settings: GateSettings, costs: Float[Tensor, " f"] | None = None) -> None:
        super().__init__(bands, settings, costs)
        f = len(bands)
        self.mix = nn.Conv2d(f, f, 1)
        self.norm = nn.BatchNorm2d(f)
        self.pair = nn.Conv2d(f, 2 * f, 1, groups=f)  # off and on of each channel
        nn.init.normal_(self.pair.weight, std=0.001)
        assert self.pair.bias is not None
        with torch.no_grad():
            self.pair.bias.copy_(torch.tensor([BIAS_OFF, BIAS_ON]).repeat(f))

    def scores(self, normalized: Float[Tensor, "n f bh bw"]) -> Float[Tensor, "n f"]:
        """Compute each image's scores from the means of its channels; few images in training are normed as in use."""
        mixed = self.mix(normalized.mean((2, 3), keepdim=True))
        if self.training and len(mixed) < _ENOUGH_TO_NORM:
            self._track(mixed.detach())
            norm = self.norm
            mixed = functional.batch_norm(mixed, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        else:
            mixed = self.norm(mixed)
        off, on = self.pair(mixed.relu()).view(len(mixed), len(self.bands), 2).unbind(2)
        scores: Tensor = on - off
        return scores

    @torch.no_grad()
    def _track(self, mixed: Float[Tensor, "n f 1 1"]) -> None:
        """Learn mean and spread over many batches of few images, none of which has a spread that means anything.

        Detectors train so: two images, each in units of the two's own spread, are +1 and -1 whatever they show.
        """
        norm = self.norm
        mean, variance, steps = norm.running_mean, norm.running_var, norm.num_batches_tracked
        assert mean is not None
        assert variance is not None
        assert steps is not None
        steps += 1
        # a plain mean at first, the initial 0 and 1 among it; then as a norm's momentum is, for as many images
        share = max(1 / (int(steps) + 1), _NORM_MOMENTUM * len(mixed) / _ENOUGH_TO_NORM)
        values = mixed[:, :, 0, 0]
        mean.lerp_(values.mean(0), share)
        variance.lerp_((values - mean).square().mean(0), share)


class StaticGate(Gate):
    """Choose alike for all images: one learned score a channel."""

    def __init__(self, bands: BandSet, settings: GateSettings, costs: Float[Tensor, " f"] | None = None) -> None:
        super().__init__(bands, settings, costs)
        self.score = nn.Parameter(torch.full((len(bands),), BIAS_ON - BIAS_OFF))

    def scores(self, normalized: Float[Tensor, "n f bh bw"]) -> Float[Tensor, "n f"]:
        """Return the scores, the same for every image."""
        return self.score.expand(len(normalized), -1)


def build_gate(bands: BandSet, settings: GateSettings, costs: Float[Tensor, " f"] | None = None) -> Gate:
    """Build the gate that settings describe.

    Raises:
        GateError: kind is none, or the settings ask for more than the band set has.
    """
    if settings.kind == "none":
        raise GateError("gate.kind is none; set it to dynamic or static")
    return (DynamicGate if settings.kind == "dynamic" else StaticGate)(bands, settings, costs)


def _budget(bands: BandSet, settings: GateSettings, costs: Tensor) -> float | None:
    """Return the budget in channels of mean cost, checked with the floors; None without one."""
    for name, floor, has in zip(COMPONENT_NAMES, settings.floors, bands.counts, strict=True):
        if floor > has:
            raise GateError(f"floors keeps {floor} channels of {name} on, and band set {bands} has {has}")
    if not bool((costs > 0).all()) or costs.shape != (len(bands),):
        raise ValueError(f"costs must be one number above 0 for each of the {len(bands)} channels of {bands}")
    if settings.loss != "budget":
        return None
    if settings.channels is not None:
        if settings.channels > len(bands):
            raise GateError(f"channels is {settings.channels}, and band set {bands} has {len(bands)}")
        return float(settings.channels)
    assert settings.bytes is not None
    total = float(costs.sum())
    if settings.bytes > total:
        raise GateError(f"bytes is {settings.bytes}, and all of band set {bands} takes {total:g}")
    if settings.bytes < float(costs.min()) * max(1, sum(settings.floors)):
        raise GateError(f"bytes is {settings.bytes}, too few for the channels that must be on")
    return settings.bytes / float(costs.mean())


def _full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Compute scores in float32: in bfloat16 most of them would be ties."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
