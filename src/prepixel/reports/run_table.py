"""Tables of runs from their records."""

from __future__ import annotations

import csv
import io
import json
import statistics
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from prepixel.errors import RecipeError, RunError
from prepixel.file_listing import not_a_folder
from prepixel.recipes import RESUMABLE_KEYS, parse_any_recipe, recipe_values
from prepixel.records import Records, RunRow, read_records
from prepixel.reports.text_table import aligned, csv_cell, text_width, turned

RECORDS = "records.jsonl"
_GIVE = "give folders that prepixel train made, or one that holds them"


# Keys in which the runs of one row may differ: seeds are averaged, the others do not change what is learned.
_WITHIN_ROW = RESUMABLE_KEYS | {"seed"}


@dataclass(frozen=True)
class TableRow:
    """Store the runs of one row: one recipe, several seeds."""

    name: str
    runs: tuple[RunRow, ...]
    records: tuple[Records, ...]

    @property
    def metadata(self) -> dict[str, Any]:
        """Return what is known of the row before it is trained: input, network, costs."""
        return dict(self.runs[0].facts)

    def last(self, name: str) -> list[tuple[float, float, int]]:
        """Return each run's last value of a validation score, with the epochs done and the number of images."""
        found = [records.metrics("val", name) for records in self.records]
        return [(rows[-1].value, rows[-1].epoch, rows[-1].n) for rows in found if rows]

    def per_seed(self, name: str) -> list[float]:
        """Return a validation score of each seed; of a seed that was trained more than once, the mean."""
        scores: dict[int, list[float]] = {}
        for run, records in zip(self.runs, self.records, strict=True):
            if found := records.metrics("val", name):
                scores.setdefault(run.seed, []).append(found[-1].value)
        return [statistics.fmean(values) for values in scores.values()]

    @property
    def seeds(self) -> set[int]:
        """Return the seeds of the runs."""
        return {run.seed for run in self.runs}

    @property
    def task(self) -> str:
        """Return what was learned, by its kind in recipes; tasks have scores and costs of their own."""
        task = self.runs[0].recipe.get("task")
        kind = task.get("kind") if isinstance(task, Mapping) else None
        return str(kind) if kind in _SCORES else "classification"

    @property
    def score(self) -> str:
        """Name the score that rows are compared by."""
        return next(iter(_SCORES[self.task].values()))

    def is_finished(self) -> bool:
        """Return whether every run has been scored after its last epoch."""
        scored = self.last(self.score)
        return len(scored) == len(self.runs) and all(epoch >= float(self.metadata["epochs"]) for _, epoch, _ in scored)

    @property
    def bytes_per_sample(self) -> int:
        """Return the bytes of one sample."""
        return int(self.metadata["bytes_per_sample"])

    def images_per_second(self) -> float | None:
        """Return the median over the records of the runs' training speed, where there are any."""
        rates = [row.value for records in self.records for row in records.metrics("train", "images_per_second")]
        return statistics.median(rates) if rates else None


_DETECTED = {
    f"{kind} {words}": f"{kind}_{name}"
    for kind in ("box", "mask")
    for words, name in (
        *(("AP", "ap"), ("AP50", "ap50"), ("AP75", "ap75")),
        *(("small", "ap_small"), ("medium", "ap_medium"), ("large", "ap_large")),
    )
}

# Scores by the words above their columns, for each kind of task in the order of the tables; rows are compared by the
# first.
_SCORES: Mapping[str, Mapping[str, str]] = {
    "classification": {"top-1 %": "top1", "top-5 %": "top5"},
    "multi_label": {"mAP %": "map", "F1 %": "f1_macro"},
    "regression": {"R2 %": "r2"},
    "segmentation": {"mIoU %": "miou", "pixel accuracy %": "pixel_accuracy"},
    "detection": _DETECTED,
}
_LEFT, _COSTS = 3, 2  # columns of words, then of costs, then of words again


def render(rows: Sequence[TableRow], kind: str, *, width: int | None = None) -> str:
    """Return the table as aligned text, markdown or CSV: one for each kind of task.

    Args:
        rows: of the table.
        kind: ``text``, ``markdown`` or ``csv``.
        width: characters of a line of text; a wider table is turned, with a column for each row. None for any width.
    """
    parts = [(scores, [row for row in rows if row.task == task]) for task, scores in _SCORES.items()]
    return "\n".join(_render(part, kind, scores, width) for scores, part in parts if part)


def _render(rows: Sequence[TableRow], kind: str, scores: Mapping[str, str], width: int | None) -> str:
    shown = {words: name for words, name in scores.items() if any(row.last(name) for row in rows)}
    shown = shown or dict(list(scores.items())[:1])  # before the first epoch's end
    headers = [
        *("run", "input", "made from", "values", "bytes", "network", "started from", "params M", "GMAC"),
        *("epochs", "seeds", "n", *shown, "train images/s"),
    ]
    cells = [_cells(row, list(shown.values()), separator="" if kind == "csv" else ",") for row in rows]
    if kind == "csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(
            [headers, *([csv_cell(cell) for cell in line] for line in cells)]
        )
        return buffer.getvalue()
    if kind == "markdown":
        rule = ["---"] * _LEFT + ["---:"] * _COSTS + ["---"] * 2 + ["---:"] * (len(headers) - _LEFT - _COSTS - 2)
        lines = [headers, rule, *cells]
        text = "".join(f"| {' | '.join(map(_markdown_cell, line))} |\n" for line in lines)
        return f"{text}\n{_caption(rows)}\n"
    table, caption = aligned(headers, cells, left=_LEFT), [_caption(rows)]
    if width is not None:
        table = table if max(map(text_width, table)) <= width else turned(headers, cells, width)
        caption = textwrap.wrap(caption[0], width)
    return "\n".join([*table, "", *caption]) + "\n"


def _markdown_cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def _cells(row: TableRow, scores: Sequence[str], *, separator: str) -> list[str]:
    metadata = row.metadata
    found = row.last(row.score)
    planned = float(metadata.get("epochs", 0))
    done = min((epoch for _, epoch, _ in found), default=0.0)
    epochs = f"{planned:g}" if done >= planned else f"{done:g} of {planned:g}"
    rate = row.images_per_second()
    images = sorted({n for _, _, n in found})
    return [
        row.name,
        str(metadata.get("input", "-")),
        str(metadata.get("source", "-")),
        *(
            f"{metadata[name]:,}".replace(",", separator) if name in metadata else "-"
            for name in ("values_per_sample", "bytes_per_sample")
        ),
        str(metadata.get("network", "-")),
        _start(row.runs[0].recipe),
        f"{metadata['parameters'] / 1e6:.3f}" if "parameters" in metadata else "-",
        f"{metadata['macs'] / 1e9:.3f}" if "macs" in metadata else "-",
        epochs,
        str(len(row.seeds)),
        " ".join(map(str, images)) or "-",
        *(_mean_and_spread(row.per_seed(name)) for name in scores),
        "-" if rate is None else f"{rate:.1f}",
    ]


def _start(recipe: Mapping[str, Any]) -> str:
    """Return a word for the weights that a run started from."""
    network = recipe.get("network", {})
    start = network.get("rgb_weights") or network.get("from_run")
    return "random" if not start else PurePath(start).name


def _mean_and_spread(shares: Sequence[float]) -> str:
    """Write a mean of shares in percent, with the sample standard deviation where there are two or more."""
    if not shares:
        return "-"
    mean = f"{100 * statistics.fmean(shares):.1f}"
    return mean if len(shares) < 2 else f"{mean} ± {100 * statistics.stdev(shares):.1f}"


def _caption(rows: Sequence[TableRow]) -> str:
    machines = dict.fromkeys(
        f"{place.accelerator or place.cpu}, {place.cores} cores"
        for row in rows
        for place in (run.environment for run in row.runs)
    )
    several = any(len(row.seeds) > 1 for row in rows)
    spread = " mean ± standard deviation over seeds;" if several else ""
    detectors = "; of detectors a frame made from 480 x 640, trunk and pyramid" if rows[0].task == "detection" else ""
    return (
        f"Scores after the last epoch;{spread} n validation images. Made from: pixels of the image that the input "
        f"holds. Values, bytes and GMAC: of one image{detectors}. Images/s: training, reading included, median of the "
        f"records. Machine: {'; '.join(machines)}."
    )


def read_rows(given: Sequence[Path]) -> list[TableRow]:
    """Read runs and put together those that differ in their seed alone."""
    read: list[tuple[RunRow, Records]] = []
    for path in _record_files(given):
        records = read_records(path)
        for line in records.unread:
            print(f"prepixel: {path}, line {line.line}: {line.reason}; passed over", file=sys.stderr)
        starts = records.of_kind(RunRow)
        if not starts:
            raise RunError(f"{path}: holds no row of a run; {_GIVE}")
        read.append((starts[-1], records))
    differing = len({_keys(run.recipe) for run, _ in read}) > 1  # written by versions that know other keys
    groups: dict[str, list[tuple[RunRow, Records]]] = {}
    for run, records in read:
        recipe = _completed(run.recipe) if differing else run.recipe
        groups.setdefault(_identity(recipe), []).append((run, records))
    rows = []
    for members in groups.values():
        runs, records_of_runs = zip(*members, strict=True)
        rows.append(TableRow(str(runs[0].recipe.get("name") or runs[0].run), runs, records_of_runs))
    return _distinguished(rows)


def _record_files(given: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in given:
        here = [path / RECORDS] if (path / RECORDS).is_file() else sorted(path.glob(f"*/{RECORDS}"))
        files += here
        # a folder among others that holds no run (data, plots) is passed over; one that is all there is, is not
        if not here and (len(given) == 1 or not path.is_dir()) and path.suffix not in {".png", ".svg", ".pdf"}:
            what = "holds no run (no records.jsonl)" if path.is_dir() else not_a_folder(path)
            raise RunError(f"{path}: {what}; {_GIVE}")
    if not files:
        raise RunError(f"{', '.join(map(str, given))}: hold no run; {_GIVE}")
    return list(dict.fromkeys(files))


def _keys(values: Mapping[str, Any], prefix: str = "") -> frozenset[str]:
    """List a recipe's keys as ``section.key``."""
    keys = (_keys(v, f"{prefix}{k}.") if isinstance(v, Mapping) else {f"{prefix}{k}"} for k, v in values.items())
    return frozenset().union(*keys)


def _completed(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """State the keys that a recipe's version did not know, as they are by default; leave what is no recipe any more."""
    try:
        return recipe_values(parse_any_recipe(json.dumps(values), source="a run's record"))
    except RecipeError:
        return values


def _identity(recipe: Mapping[str, Any]) -> str:
    def kept(values: Any, prefix: str) -> Any:
        if not isinstance(values, dict):
            return values
        return {
            key: kept(inner, f"{prefix}{key}.") for key, inner in values.items() if f"{prefix}{key}" not in _WITHIN_ROW
        }

    return json.dumps(kept(dict(recipe), ""), sort_keys=True)


def _distinguished(rows: Sequence[TableRow]) -> list[TableRow]:
    """Add their runs' names to rows of equal names."""
    names = [row.name for row in rows]
    return [
        row if names.count(row.name) == 1 else TableRow(f"{row.name} ({row.runs[0].run})", row.runs, row.records)
        for row in rows
    ]
