"""Ask whether frequencies or the larger photo make a network better: the same network, weights and schedule on each.

MobileNetV2 with pretrained features and a new head learns twenty kinds of flowers from ten photos a class (whose short
side is 500 pixels or more), on crops that are the same in every arm. RGB 224; RGB 448 behind a first layer of stride 4
that starts as the mean of 2 x 2 pixels before the original one; RGB 448 as it is; 24 or all 192 channels of 448 pixels
on 56 x 56 blocks, folded (192 with the mean of 2 x 2 pixels, which is the stride-4 arm in other coordinates); and 24
channels of 224 pixels on 28 x 28 blocks. The folded first layer is one convolution over blocks, or (factored) the
original one behind a fixed map to pixels. Scored once, after the last epoch. ``-n`` is the number of seeds, 1 without
``--arms`` a smoke test; with ``--output``, a summary of all its seeds is appended, and ``-n 0`` does only that.

    python -m benchmarks.accuracy.claims_resolution -n 3 --output benchmarks/results/claims.jsonl
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from benchmarks.harness import photos
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prepixel.data import CropLoader, FolderDataset, PixelReader, RandomCrop, SpectrumReader
from prepixel.engine import OptimizationSettings, disable_malloc_trim
from prepixel.engine.optimization import build_optimizer, learning_rate
from prepixel.models import count_macs, example_pixels, example_spectrum, fold
from prepixel.models.folding.folded_stem import FoldedStem
from prepixel.models.input_norm import IMAGENET_MEAN, IMAGENET_STD
from prepixel.records import ScoreRow, append_records, describe_environment, read_records
from prepixel.spectrum import BandSet

QUESTION = "claim: resolution or frequency"
CASE, REFERENCE = "MobileNetV2, twenty kinds of flowers", "RGB 224"
PER_CLASS, EPOCHS, BATCH, CLASSES = 10, 8, 16, 20
OPTIMIZATION = OptimizationSettings(
    optimizer="sgd", learning_rate=0.005, weight_decay=1e-4, warmup_epochs=1, schedule="cosine"
)


@dataclass(frozen=True)
class Arm:
    """A network, the reader of its inputs, and what an input costs."""

    network: nn.Module
    reader: SpectrumReader | PixelReader
    source: int
    macs: int
    bytes: int


class Pixels(nn.Module):
    """Normalize uint8 pixels, and run a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])

    def forward(self, pixels: Tensor) -> Any:
        """Compute logits."""
        return self.network((pixels.float() / 255 - self.mean) / self.std)


def pretrained(weights: Path) -> nn.Module:
    """Build MobileNetV2 with pretrained features and a head that torch's seed decides."""
    backbone = torchvision.models.mobilenet_v2()
    backbone.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, CLASSES))
    return nn.Sequential(backbone.features, head)


def with_stride_4(network: nn.Module) -> nn.Module:
    """Widen the first layer to pixels half as large: it starts as the mean of 2 x 2, then the original layer."""
    first = network.get_submodule("0.0.0")
    assert isinstance(first, nn.Conv2d)
    wide = nn.Conv2d(3, first.out_channels, 6, 4, 2, bias=False)
    with torch.no_grad():
        wide.weight.copy_(first.weight.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4)
    network.set_submodule("0.0.0", wide)
    return network


def pixel_arm(size: int, change: Callable[[nn.Module], nn.Module] = lambda network: network) -> Callable[[Path], Arm]:
    """Return what builds an arm on pixels."""

    def build(weights: Path) -> Arm:
        network = Pixels(change(pretrained(weights)))
        macs = count_macs(network.network, example_pixels((size, size)))
        return Arm(network, PixelReader((size, size)), size, macs, 3 * size * size)

    return build


def folded_arm(
    bands: BandSet | str, side: int, form: Literal["composed", "factored"], *, fixed: bool = False
) -> Callable[[Path], Arm]:
    """Return what builds an arm on coefficients.

    Composed: the first layer is one convolution over blocks, with more weights than the original, which learn, or stay
    as they are if it is fixed. Factored: the original first layer learns, behind a fixed map to pixels.
    """

    def build(weights: Path) -> Arm:
        grid, kept = (side, side), BandSet.of(bands)
        folded = fold(
            pretrained(weights), pixels=224, grid=grid, bands=kept, reduction="box", form=form,
            mean=IMAGENET_MEAN, std=IMAGENET_STD,
        )  # fmt: skip
        macs = count_macs(folded, example_spectrum(kept, grid))
        for module in folded.modules():
            if fixed and isinstance(module, FoldedStem):
                module.requires_grad_(False)
        return Arm(folded, SpectrumReader(grid, kept), 8 * side, macs, kept.num_bytes(grid))

    return build


ARMS = {
    REFERENCE: pixel_arm(224),
    "S-24 of 448": folded_arm("S-24", 56, "composed"),
    "S-24 of 448, factored": folded_arm("S-24", 56, "factored"),
    "S-24 of 448, first layer fixed": folded_arm("S-24", 56, "composed", fixed=True),
    "192 of 448": folded_arm("192", 56, "composed"),
    "RGB 448, stride-4 stem": pixel_arm(448, with_stride_4),
    "RGB 448": pixel_arm(448),
    "S-24 of 224": folded_arm("S-24", 28, "composed"),
}


def link_first(source: Path, target: Path, count: int) -> FolderDataset:
    """Link the first photos of each class into a folder."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (target / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:count]:
            (target / folder.name / path.name).symlink_to(path)
    return FolderDataset(target)


def learn(arm: Arm, train: FolderDataset, seed: int, epochs: int) -> Iterator[float]:
    """Train an arm's network; yield each epoch's mean loss."""
    loader = CropLoader(
        train, arm.reader, crop=RandomCrop((0.5, 1.0)), seed=seed, training=True, threads=1, batch_size=BATCH
    )
    network = arm.network.to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(network, OPTIMIZATION)
    step = 0
    for epoch in range(epochs):
        losses = []
        for batch in loader.epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(OPTIMIZATION, step, len(loader), epochs)
            loss = cross_entropy(network(batch.inputs), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            step += 1
        yield statistics.fmean(losses)


def answers(arm: Arm, files: FolderDataset) -> Tensor:
    """Return whether each photo's answer is right."""
    network = arm.network.eval()
    loader = CropLoader(files, arm.reader, training=False, threads=1, batch_size=2 * BATCH)
    right = []
    for batch in loader.epoch(0):
        with torch.inference_mode():
            right.append(network(batch.inputs).argmax(1) == batch.targets)
    return torch.cat(right)


def summary(
    rows: Sequence[ScoreRow], question: str = QUESTION, arms: Iterable[str] = ARMS, case: str = CASE
) -> list[ScoreRow]:
    """Return a row per arm: mean and deviation over seeds, and the difference from RGB 224 with the same seed."""
    found: dict[str, dict[str, ScoreRow]] = {name: {} for name in arms}
    for row in rows:
        if row.question == question:
            found[row.subject][row.case] = row
    base = {seed: 100 * float(row.scores["top1"]) for seed, row in found[REFERENCE].items()}
    summaries = []
    for name, seeds in ((name, seeds) for name, seeds in found.items() if seeds):
        top1 = {seed: 100 * float(row.scores["top1"]) for seed, row in sorted(seeds.items())}
        one = next(iter(seeds.values()))
        scores: dict[str, Any] = {
            "seeds": len(top1),
            "top-1 %, mean ± sd": spread(list(top1.values())),
            "less RGB 224, points, mean ± sd": spread([top1[seed] - base[seed] for seed in top1 if seed in base]),
            "each seed": " ".join(f"{value:.1f}" for value in top1.values()),
            **{key: one.scores[key] for key in ("made from", "bytes", "network MACs")},
        }
        summaries.append(ScoreRow(f"{question}, summary", case, name, one.n, scores, one.environment))
    return summaries


def spread(values: Sequence[float]) -> str:
    """Format a mean, with the sample standard deviation where there are several values; nothing for none."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.1f}"


def options(description: str | None, arms: Iterable[str] = ARMS) -> argparse.Namespace:
    """Parse the seeds, the arms and the output."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--arms", nargs="+", choices=list(arms), default=None, help="which (default: all)")
    parser.add_argument("--output", type=Path, default=None, help="append records to this JSON-lines file")
    return parser.parse_args()


def run(
    question: str,
    arms: Mapping[str, Callable[[Path], Arm]],
    chosen: argparse.Namespace,
    few: list[str],
    case: str = CASE,
) -> None:
    """Train every arm with every seed, and append a summary of all records of the question."""
    disable_malloc_trim()
    folder = photos()
    short = chosen.n == 1 and chosen.arms is None
    weights = folder / "weights" / "mobilenet_v2_backbone_deepsort_tvkeys.pt"
    names = few if short else chosen.arms or list(arms)
    with tempfile.TemporaryDirectory() as temporary:
        train = link_first(folder / "flowers20" / "train", Path(temporary) / "train", 1 if short else PER_CLASS)
        val = link_first(folder / "flowers20" / "val", Path(temporary) / "val", 1 if short else 10_000)
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.n):
            for name in names:
                torch.manual_seed(seed)
                scores, count = train_and_score(arms[name](weights), train, val, seed, 1 if short else EPOCHS)
                print(f"seed {seed}: {name}: {scores}", flush=True)
                if chosen.output:
                    row = ScoreRow(question, f"seed {seed}", name, count, scores, describe_environment())
                    append_records(chosen.output, [row])
    if chosen.output and chosen.output.exists():
        append_records(chosen.output, summary(read_records(chosen.output).of_kind(ScoreRow), question, arms, case))


def train_and_score(
    arm: Arm, train: FolderDataset, val: FolderDataset, seed: int, epochs: int
) -> tuple[dict[str, Any], int]:
    """Return an arm's score after its last epoch, what an input costs, and the number of photos that it answered."""
    start = time.process_time()
    losses = list(learn(arm, train, seed, epochs))
    seconds = time.process_time() - start
    right = answers(arm, val)
    scores = {
        "top1": float(right.double().mean()),
        "last loss": losses[-1],
        "made from": f"{arm.source} x {arm.source}",
        "bytes": arm.bytes,
        "network MACs": arm.macs,
        "CPU seconds": round(seconds),
    }
    return scores, len(right)


def main() -> None:
    """Compare frequencies with larger photos."""
    run(QUESTION, ARMS, options(__doc__), [REFERENCE, "S-24 of 448"])


if __name__ == "__main__":
    main()
