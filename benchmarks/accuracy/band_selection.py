"""Compare channels that gates learned with published, zigzag, greedy and random sets of the same size.

Each seed trains the recipe on all 192 channels; with dynamic and static gates that end with 24 and with 12 channels on;
and then, from scratch and by the same schedule, on sets of 24 and 12: the channels most often on over the training
images in that seed's gated runs, those that greedy elimination keeps in the seed's network on 192, random sets, the
published sets and zigzag order. One further row is not from scratch: it starts from the gated network's weights, and
has therefore seen the images twice as often. Everything is kept below ``--runs``, and a second call resumes. Without
``--data`` the embedded data set is trained on for one epoch, which proves that the script runs and nothing else. ``-n``
is the number of seeds.

    python -m benchmarks.accuracy.band_selection -n 3 --data ${PREPIXEL_DATA}/imagenette10 --runs runs/selection
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from benchmarks.harness import ROOT

from prepixel.data import FolderDataset, write_synthetic
from prepixel.engine import disable_malloc_trim
from prepixel.models import FrequencyNetwork
from prepixel.models.sensitivity import ChannelProbe, measure_sensitivity
from prepixel.recipes import Recipe, read_recipe
from prepixel.records import ScoreRow, append_records, describe_environment, read_records
from prepixel.runs import load_run, measure_statistics, measure_use, run
from prepixel.spectrum import BandSet

RECIPE = ROOT / "recipes" / "imagenette_selection.yaml"
PUBLISHED = {24: ("S-24", "T-24", "L-24", "zigzag-16-4-4"), 12: ("S-12", "T-12", "zigzag-8-2-2")}
KINDS = ("dynamic", "static")
QUICK = ("--input.grid", "4", "--training.epochs", "1", "--training.evaluate_every", "1")
GREEDY_IMAGES = 64


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--data", type=Path, help="a folder with train/ and val/ (default: a few embedded images)")
    parser.add_argument("--runs", type=Path, help="where runs are kept (default: nowhere)")
    parser.add_argument("--output", type=Path, help="append records to this JSON-lines file")
    return parser.parse_args()


@dataclass(frozen=True)
class Bench:
    """Settings that all runs share.

    Attributes:
        folder: of the runs.
        data: with train and val.
        overrides: of the recipe.
        sizes: of the sets.
    """

    folder: Path
    data: Path
    overrides: tuple[str, ...]
    sizes: tuple[int, ...]

    def recipe(self, *more: str) -> Recipe:
        """Return the recipe with overrides."""
        folders = ("--data.train", str(self.data / "train"), "--data.val", str(self.data / "val"))
        measured = ("--input.statistics", str(self.folder / "statistics.json"))
        return read_recipe(RECIPE, (*folders, *measured, *self.overrides, "--training.progress", "false", *more))

    def measure(self) -> None:
        """Measure the channels once, for all runs."""
        target = self.folder / "statistics.json"
        if not target.exists():
            recipe = self.recipe()
            files = FolderDataset(self.data / "train")
            assert recipe.input.grid is not None
            measure_statistics(files, grid=recipe.input.grid, bands=BandSet.parse("192"), threads=1).write(target)

    def train(self, name: str, seed: int, *more: str) -> Path:
        """Train a run to its end, unless it has ended, and return its folder."""
        folder = self.folder / f"{name}-{seed}"
        recipe = self.recipe("--seed", str(seed), "--name", name, *more)
        if not (folder / "finished").exists():
            run(recipe, folder, resume=True)
            (folder / "finished").touch()
        return folder

    def train_set(self, name: str, seed: int, bands: BandSet | str, *more: str) -> Path:
        """Train a run on a band set, given by its name or itself."""
        if isinstance(bands, BandSet):
            path = self.folder / f"{name}-{seed}.json"
            bands.write(path)
            bands = str(path)
        return self.train(name, seed, "--input.bands", bands, *more)


def sets_of(bench: Bench, seed: int, size: int, whole: Path, gated: dict[str, Path]) -> dict[str, BandSet | str]:
    """Return the band sets of one size: published, learned by this seed's runs, and random."""
    sets: dict[str, BandSet | str] = {name: name for name in PUBLISHED[size]}
    drawn = np.random.default_rng([seed, size]).permutation(192)[:size]
    sets[f"random-{size}"] = BandSet(f"random-{size}", tuple(sorted(map(int, drawn))), f"seed {seed}")
    greedy = bench.folder / f"greedy-{size}-{seed}.json"
    sets[f"greedy-{size}"] = BandSet.read(greedy) if greedy.exists() else greedy_set(bench, whole, size)
    for kind, folder in gated.items():
        use, _ = measure_use(load_run(folder, weights="last"), bench.data / "train", threads=1)
        sets[f"{kind}-{size}"] = use.best(size, f"most often on over the training images in {folder.name}")
    return sets


def greedy_set(bench: Bench, whole: Path, size: int) -> BandSet:
    """Choose channels by leaving them out of the network on all channels, on training images."""
    trained = load_run(whole, weights="last")
    assert isinstance(trained.network, FrequencyNetwork)
    loader = trained.loader(bench.data / "train", threads=1)
    count = GREEDY_IMAGES if not bench.overrides else 8
    samples = len(loader.dataset)
    keys = [(0, place * samples // count) for place in range(count)]  # evenly spaced, so that all classes occur
    batch, _ = loader.dataset.__getitems__(keys)
    probe = ChannelProbe(trained.network, [batch.inputs], batch.targets)
    return measure_sensitivity(probe, greedy_images=count).best(size, f"greedy elimination in {whole.name}")


def learn_all(bench: Bench, seeds: Sequence[int]) -> None:
    """Train every run of every seed."""
    for seed in seeds:
        whole = bench.train_set("192", seed, "192")
        for size in bench.sizes:
            gated = {}
            for kind in KINDS:
                gate = ("--gate.kind", kind, "--gate.channels", str(size))
                gated[kind] = bench.train(f"gate-{kind}-{size}", seed, *gate)
            for name, bands in sets_of(bench, seed, size, whole, gated).items():
                bench.train_set(name, seed, bands)
                print(f"seed {seed}: {name} {top1(bench.folder / f'{name}-{seed}'):.3f}", flush=True)
            tuned = bench.folder / f"dynamic-{size}-{seed}.json"
            start = ("--network.from_run", str(gated["dynamic"]))
            bench.train(f"tuned-{size}", seed, "--input.bands", str(tuned), *start)


def last(folder: Path, name: str) -> float:
    """Read a run's last validation score of a name."""
    return read_records(folder / "records.jsonl").metrics("val", name)[-1].value


def top1(folder: Path) -> float:
    """Read a run's last top-1."""
    return last(folder, "top1")


def rows(bench: Bench, seeds: Sequence[int]) -> Iterator[ScoreRow]:
    """Return one row per kind of run: mean, spread, each seed, and the difference from S of the same size."""
    images = len(FolderDataset(bench.data / "val"))
    for size in bench.sizes:
        learned = [f"{kind}-{size}" for kind in KINDS]
        gates = [f"gate-{kind}-{size}" for kind in KINDS]
        names = ["192", *gates, f"tuned-{size}", *learned, f"greedy-{size}", *PUBLISHED[size], f"random-{size}"]
        for name in names:
            found = [top1(bench.folder / f"{name}-{seed}") for seed in seeds]
            beside = [top1(bench.folder / f"S-{size}-{seed}") for seed in seeds]
            scores: dict[str, float | int | str] = {
                "top-1 %, mean ± sd": spread(found),
                "each seed": " ".join(f"{100 * value:.1f}" for value in found),
                f"less S-{size}": spread([a - b for a, b in zip(found, beside, strict=True)]),
            }
            if name in gates:
                on = [last(bench.folder / f"{name}-{seed}", "channels_on") for seed in seeds]
                scores["channels on"] = " ".join(f"{value:.1f}" for value in on)
            elif name in (*learned, f"greedy-{size}", f"random-{size}"):
                sets = [BandSet.read(bench.folder / f"{name}-{seed}.json") for seed in seeds]
                scores["Y/Cb/Cr"] = ", ".join("/".join(map(str, bands.counts)) for bands in sets)
            yield ScoreRow("selection", f"{size} channels", name, images, scores, describe_environment())


def spread(values: Sequence[float]) -> str:
    """Format a mean in percent, with the sample standard deviation where there are several values."""
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def main() -> None:
    """Train what is missing, and compare."""
    options = arguments()
    disable_malloc_trim()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.runs or Path(temporary) / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        if options.data is None:
            data = Path(temporary) / "data"
            write_synthetic(data, num_train_per_class=6, num_val_per_class=2)
            bench = Bench(folder, data, QUICK, (12,))
        else:
            bench = Bench(folder, options.data, (), (24, 12))
        bench.measure()
        seeds = range(options.n)
        learn_all(bench, seeds)
        found = list(rows(bench, seeds))
    for row in found:
        print(f"{row.case}  {row.subject:14s} " + "  ".join(f"{name} {value}" for name, value in row.scores.items()))
    if options.output:
        append_records(options.output, found)


if __name__ == "__main__":
    main()
