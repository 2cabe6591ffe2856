"""Ask whether networks prefer low frequencies, or photos only have more of them: rank correlations over channels.

Two networks folded over 192 channels of 56 x 56 blocks; the 48 channels that reach them; two sets of photos (the first
``-n`` of each). Per channel: its energy (mean square of the coefficient, for DC its variance); what leaving it out
changes (Kullback-Leibler divergence of the answers, in nats); the same on flattened photos, whose 48 channels are
scaled to one energy each, the sum per component unchanged; and what noise of one and the same energy in that channel
alone changes on the photos as they are. Low frequency is minus (v + u). Rank correlations are Spearman's over the
channels of a component, DC left out (15 channels; 95 % interval by Fisher's transform with Bonett and Wright's
standard error), of luma and of both chromas together. ``-n 1`` is a smoke test on four photos.

    python -m benchmarks.accuracy.claims_bias -n 24 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from benchmarks.accuracy.folding import Photos, Pretrained
from benchmarks.answers import PIXELS, batches, classifiers, labeled_photos, read_coefficients, report
from benchmarks.harness import arguments, photos
from torch import Tensor

from prepixel.engine import disable_malloc_trim
from prepixel.models import FoldedNetwork, fold
from prepixel.models.sensitivity import reaching_channels
from prepixel.records import ScoreRow, describe_environment

QUESTION = "claim: spectral bias"
NOISE = 0.02  # of a component's energy without DC
LUMA, CHROMA = (0,), (1, 2)


@dataclass(frozen=True)
class Channels:
    """What was measured of each channel that reaches a network: a value per channel, in order."""

    ids: Tensor
    energy: Tensor
    removal: Tensor
    flattened: Tensor
    noise: Tensor


def read_all(folded: FoldedNetwork, one: Photos) -> Tensor:
    """Return all photos' normalized channels."""
    with torch.inference_mode():
        return torch.cat([folded.input(read_coefficients(part)) for part, _ in batches(one)])


def divergence(before: Tensor, after: Tensor) -> float:
    """Return how far answers move: Kullback-Leibler divergence of the softmax, in nats, the photos' mean."""
    return max(0.0, float((before.exp() * (before - after)).sum(1).mean()))


def answers(folded: FoldedNetwork, values: Tensor) -> Tensor:
    """Return log probabilities."""
    with torch.inference_mode():
        parts = [folded.from_normalized(part).double().log_softmax(1) for part in values.split(20)]
    return torch.cat(parts)


def energies(values: Tensor, ids: Tensor) -> Tensor:
    """Return each channel's mean square; for DC the variance."""
    chosen = values[:, ids].double()
    mean = torch.where((ids % 64 == 0)[:, None, None], chosen.mean((0, 2, 3))[:, None, None], 0.0)
    return (chosen - mean).square().mean((0, 2, 3))


def flatten(values: Tensor, ids: Tensor, energy: Tensor) -> Tensor:
    """Scale the channels without DC to one energy, the sum of each component unchanged."""
    scaled = values.clone()
    for component in range(3):
        chosen = (ids // 64 == component) & (ids % 64 != 0)
        factors = (energy[chosen].mean() / energy[chosen]).sqrt().float()
        scaled[:, ids[chosen]] *= factors[:, None, None]
    return scaled


def with_noise(values: Tensor, channel: int, energy: float) -> Tensor:
    """Add noise of an energy to one channel."""
    generator = torch.Generator().manual_seed(channel)
    noise = torch.randn(values[:, channel].shape, generator=generator)
    changed = values.clone()
    changed[:, channel] += math.sqrt(energy) * noise
    return changed


def without(values: Tensor, channel: int) -> Tensor:
    """Leave a channel out."""
    changed = values.clone()
    changed[:, channel] = 0
    return changed


def measure(folded: FoldedNetwork, values: Tensor) -> Channels:
    """Measure every channel."""
    ids = torch.tensor(reaching_channels(folded, "192"))
    energy = energies(values, ids)
    flat = flatten(values, ids, energy)
    usual, usual_flat = answers(folded, values), answers(folded, flat)
    removal, flattened, noise = [], [], []
    for channel in ids.tolist():
        of_component = (ids // 64 == channel // 64) & (ids % 64 != 0)
        removal.append(divergence(usual, answers(folded, without(values, channel))))
        flattened.append(divergence(usual_flat, answers(folded, without(flat, channel))))
        strength = NOISE * float(energy[of_component].sum())
        noise.append(divergence(usual, answers(folded, with_noise(values, channel, strength))))
    return Channels(ids, energy, torch.tensor(removal), torch.tensor(flattened), torch.tensor(noise))


def ranks(values: Tensor) -> Tensor:
    """Return ranks; equal values share their mean rank."""
    values = values.double()
    below = (values[:, None] > values).sum(1)
    equal = (values[:, None] == values).sum(1)
    return below + (equal + 1) / 2


def spearman(a: Tensor, b: Tensor) -> str:
    """Return a rank correlation with its 95 % interval.

    Source: D. G. Bonett and T. A. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", Psychometrika 65, 2000.
    """
    return with_interval(float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1]), len(a))


def with_interval(rho: float, count: int) -> str:
    """Format a rank correlation of so many pairs with its 95 % interval; of a partial one, count a pair less."""
    if abs(rho) > 1 - 1e-9 or not math.isfinite(rho):
        return f"{rho:+.2f}"
    half = 1.959964 * math.sqrt((1 + rho * rho / 2) / (count - 3))
    low, high = math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
    return f"{rho:+.2f} ({low:+.2f} to {high:+.2f})"


def rows(case: str, count: int, found: Channels, facts: dict[str, float]) -> list[ScoreRow]:
    """Return the rank correlations of each component."""
    result = []
    low = -((found.ids % 64) // 8 + found.ids % 8)
    for name, components in (("luma, 15 channels", LUMA), ("chroma, 30 channels", CHROMA)):
        chosen = torch.isin(found.ids // 64, torch.tensor(components)) & (found.ids % 64 != 0)
        columns = {
            "energy ~ low frequency": (found.energy, low),
            "removal ~ energy": (found.removal, found.energy),
            "removal ~ low frequency": (found.removal, low),
            "removal, flattened photos ~ low frequency": (found.flattened, low),
            "equal noise ~ low frequency": (found.noise, low),
        }
        scores: dict[str, Any] = {key: spearman(a[chosen], b[chosen]) for key, (a, b) in columns.items()}
        result.append(ScoreRow(QUESTION, case, name, count, scores | facts, describe_environment()))
    return result


def agreement(name: str, count: int, one: Channels, other: Channels) -> ScoreRow:
    """Return how two networks, or two sets of photos, order the channels without DC."""
    chosen = one.ids % 64 != 0
    columns = {
        "removal": (one.removal, other.removal),
        "removal, flattened photos": (one.flattened, other.flattened),
        "equal noise": (one.noise, other.noise),
        "energy": (one.energy, other.energy),
    }
    scores: dict[str, Any] = {key: spearman(a[chosen], b[chosen]) for key, (a, b) in columns.items()}
    return ScoreRow(QUESTION, "do they agree? 45 channels", name, count, scores, describe_environment())


def examine(model: Pretrained, one: Photos) -> tuple[Channels, dict[str, float]]:
    """Measure a network's channels on a set of photos, and what flattening leaves of its answers."""
    folded = fold(model.network, pixels=PIXELS, bands="192", mean=model.mean, std=model.std)
    values = read_all(folded, one)
    found = measure(folded, values)
    flat = flatten(values, found.ids, found.energy)
    right = {
        name: 100 * float((answers(folded, inputs).argmax(1) == one.labels).double().mean())
        for name, inputs in (("top-1 %, photos", values), ("top-1 %, flattened", flat))
    }
    return found, {name: round(value, 1) for name, value in right.items()}


def main() -> None:
    """Measure two networks on two sets of photos."""
    disable_malloc_trim()
    options = arguments(__doc__)
    torch.set_num_threads(1)
    folder, few = photos(), options.n == 1
    count = 4 if few else options.n
    sets = [replace(one, paths=one.paths[:count], labels=one.labels[:count]) for one in labeled_photos(folder, few=few)]
    models = classifiers(folder, few=few)
    measured: dict[tuple[str, str], Channels] = {}
    for model in models:
        for one in sets[: 1 if few else None]:
            found, facts = examine(model, one)
            measured[model.name, one.name] = found
            report(rows(f"{model.name}, {one.name}", len(one.labels), found, facts), options)
    if few:
        return
    pairs = [(f"two networks, {one.name}", (models[0].name, one.name), (models[1].name, one.name)) for one in sets] + [
        (f"two sets of photos, {model.name}", (model.name, sets[0].name), (model.name, sets[1].name))
        for model in models
    ]
    report([agreement(name, count, measured[a], measured[b]) for name, a, b in pairs], options)


if __name__ == "__main__":
    main()
