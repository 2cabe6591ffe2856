"""The rows that we publish, one JSON object per line: what ran where, what it scored, how long it took.

A line is appended by one write, so a run that is killed loses at most the line being written; the next append starts
a line of its own, and `read_records` reports what it could not read instead of failing or staying silent.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import io
import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from prepixel.files import error_about

LIBRARIES = ("prepixel", "torch", "torchvision", "accelerate", "numpy", "pillow")
Split = Literal["train", "val"]


@dataclass(frozen=True)
class Environment:
    """Store where a figure was measured: machine, versions, commit.

    Attributes:
        cpu: the processor's model as the system names it, or "unknown".
        cores: processors that this process may use.
        system: operating system and architecture.
        python: the interpreter's version.
        versions: installed versions by distribution name; a missing library is left out.
        commit: the checkout that prepixel was imported from, with "+changes" where tracked files differ from it;
            "unknown" outside a checkout.
        accelerator: the model of the device that computed, where it was not the CPU.
    """

    cpu: str
    cores: int
    system: str
    python: str
    versions: Mapping[str, str]
    commit: str
    accelerator: str = ""


@dataclass(frozen=True)
class RunRow:
    """Store one start (or resumption) of a training run.

    Attributes:
        run: the run's name, that of its folder.
        recipe: the recipe as written, keys nested as in its file.
        seed: the seed that the run's draws are made from.
        environment: where it ran.
        facts: what the run's table row needs beside scores, such as ``parameters``, ``macs``, ``values_per_sample``.
        resumed_at: optimization steps done before this start; 0 for a fresh one.
        started: time in UTC, ISO 8601.
    """

    run: str
    recipe: Mapping[str, Any]
    seed: int
    environment: Environment
    facts: Mapping[str, float | int | str] = field(default_factory=dict)
    resumed_at: int = 0
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class MetricRow:
    """Store one number of a run.

    Attributes:
        run: the run's name.
        split: which samples it is about.
        name: ``loss``, ``top1``, ``top5``, ``images_per_second``, ``learning_rate``, ``recall/CLASS``, ...
        value: the number; scores are fractions, 0..1.
        epoch: epochs done, a fraction inside an epoch.
        step: optimization steps done.
        n: samples that the number is the mean over; 0 where it is not a mean.
    """

    run: str
    split: Split
    name: str
    value: float
    epoch: float
    step: int
    n: int = 0


@dataclass(frozen=True)
class ConfusionRow:
    """Store how many images of each true class were predicted as each class.

    Attributes:
        run: the run's name.
        split: which samples were counted.
        epoch: epochs done.
        step: optimization steps done.
        classes: names, in label order.
        counts: one row per true class, one column per predicted class.
    """

    run: str
    split: Split
    epoch: float
    step: int
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ScoreRow:
    """Store the scores of one pipeline or setting, measured without training.

    Attributes:
        question: the benchmark, such as ``folding``.
        case: which network and images.
        subject: which pipeline or setting.
        n: images scored.
        scores: by name; fractions are 0..1, costs in whole units, words as they are.
        environment: where it was measured.
        measured: time in UTC, ISO 8601.
    """

    question: str
    case: str
    subject: str
    n: int
    scores: Mapping[str, float | int | str]
    environment: Environment
    measured: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class TimingRow:
    """Store the speed of one pipeline in one case of a benchmark.

    Attributes:
        question: the benchmark, such as ``reading``.
        case: which inputs, such as ``progressive``.
        subject: which pipeline.
        unit: the unit of median and spread, such as ``images/s``.
        n: rounds measured.
        median: the rounds' median.
        spread: the lowest and the highest round.
        environment: where it was measured.
        reference: the pipeline that ``ratio`` compares with; empty where none.
        ratio: the median over rounds of this pipeline's rate over the reference's in the same round.
        measured: time in UTC, ISO 8601.
    """

    question: str
    case: str
    subject: str
    unit: str
    n: int
    median: float
    spread: tuple[float, float]
    environment: Environment
    reference: str = ""
    ratio: float | None = None
    measured: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def of_rounds(
        cls, question: str, case: str, subject: str, unit: str, rounds: Sequence[float], **more: Any
    ) -> TimingRow:
        """Summarize the rounds of one pipeline.

        Args:
            more: ``reference``, ``ratio`` or ``environment``, where they are not the defaults.

        Raises:
            ValueError: no round was measured.
        """
        if not rounds:
            raise ValueError(f"{question}, {case}, {subject}: no round was measured")
        more.setdefault("environment", describe_environment())
        spread = (min(rounds), max(rounds))
        return cls(question, case, subject, unit, len(rounds), statistics.median(rounds), spread, **more)


Row: TypeAlias = RunRow | MetricRow | ConfusionRow | TimingRow | ScoreRow
_KINDS: dict[str, type[Row]] = {
    "run": RunRow,
    "metric": MetricRow,
    "confusion": ConfusionRow,
    "timing": TimingRow,
    "score": ScoreRow,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_AnyRow = TypeVar("_AnyRow", RunRow, MetricRow, ConfusionRow, TimingRow, ScoreRow)


@dataclass(frozen=True)
class UnreadLine:
    """Store a line that is not a row, usually the last one of a run that was killed while writing it."""

    line: int
    reason: str


@dataclass(frozen=True)
class Records:
    """Store the rows of one or more files, in file order, and the lines that could not be read."""

    rows: tuple[Row, ...]
    unread: tuple[UnreadLine, ...] = ()

    def of_kind(self, kind: type[_AnyRow]) -> list[_AnyRow]:
        """List the rows of one kind, in order."""
        return [row for row in self.rows if isinstance(row, kind)]

    def metrics(self, split: Split, name: str) -> list[MetricRow]:
        """List one metric by step; of rows that a resumed run wrote twice, the later one."""
        latest = {row.step: row for row in self.of_kind(MetricRow) if (row.split, row.name) == (split, name)}
        return [latest[step] for step in sorted(latest)]


def row_to_json(row: Row) -> str:
    """Return a row as one line of JSON in UTF-8, without its line end; numbers that are not finite become strings."""
    fields = {"kind": _NAMES[type(row)]} | _finite(dataclasses.asdict(row))
    line = json.dumps(fields, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # a name that is not UTF-8 holds lone surrogates in Python
        return json.dumps(fields)
    return line


def row_from_json(line: str) -> Row:
    """Read a row that `row_to_json` wrote.

    Raises:
        ValueError: the line is not JSON, not an object, of no known kind, or has missing or unknown fields.
    """
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    kind = _KINDS.get(fields.pop("kind", None))
    if kind is None:
        raise ValueError(f"of no known kind; kinds: {', '.join(_KINDS)}")
    known = {f.name: f for f in dataclasses.fields(kind)}
    required = {
        name
        for name, f in known.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if strange := sorted(set(fields) - set(known)):
        raise ValueError(f"a {_NAMES[kind]} row has no field {', '.join(strange)}")
    if missing := sorted(required - set(fields)):
        raise ValueError(f"a {_NAMES[kind]} row without {', '.join(missing)}")
    try:
        return kind(**{name: _restored(name, value) for name, value in fields.items()})
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a {_NAMES[kind]} row with a field of a wrong type ({error})") from error


def append_records(path: Path, rows: Iterable[Row], *, sync: bool = False) -> None:
    """Append rows to a file, each row a line, all by one write.

    Args:
        path: the file; it is made where it is missing.
        rows: what to append.
        sync: wait until the system says that the bytes are on the disk.

    Raises:
        OSError: the rows cannot be written, as on a full disk; none of them is in the file then.
    """
    text = "".join(row_to_json(row) + "\n" for row in rows)
    if not text:
        return
    try:
        with path.open("ab+", buffering=0) as file:
            _append(file, text.encode(), sync=sync)
    except OSError as error:
        raise error_about(error, path) from error


def _append(file: io.FileIO, contents: bytes, *, sync: bool) -> None:
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":  # a killed run's last line must not run into the new one
            contents = b"\n" + contents
    left = memoryview(contents)
    try:
        while left:
            left = left[file.write(left) :]  # a write may be partial where the disk is nearly full
        if sync:
            os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def read_records(path: Path) -> Records:
    """Read a file of rows; lines that are no rows are listed, not raised.

    Raises:
        OSError: the file cannot be opened.
    """
    rows: list[Row] = []
    unread: list[UnreadLine] = []
    text = path.read_bytes().decode("utf-8", errors="replace")
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(row_from_json(line))
        except ValueError as error:
            torn = isinstance(error, json.JSONDecodeError)
            reason = "cut short, as when a run is killed while it writes" if torn else str(error)
            unread.append(UnreadLine(number, reason))
    return Records(tuple(rows), tuple(unread))


@functools.cache
def describe_environment(accelerator: str = "") -> Environment:
    """Describe this machine and what is installed, without importing any of it."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Environment(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions=versions,
        commit=_commit(Path(__file__).parent),
        accelerator=accelerator,
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (models[0] if models else platform.processor()) or "unknown"


def _commit(folder: Path) -> str:
    """Name the checkout that a folder belongs to, if its files are tracked there (site-packages may lie inside one)."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if not git("ls-files", "records.py"):
            return "unknown"
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for: nan and infinities become their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _restored(name: str, value: Any) -> Any:
    """Turn JSON's types back into the row's."""
    if name == "environment":
        return Environment(**value)
    if name in {"value", "median", "ratio", "epoch"} and value is not None:
        return float(value)
    if name == "spread":
        low, high = value
        return float(low), float(high)
    if name == "classes":
        return tuple(value)
    if name == "counts":
        return tuple(tuple(row) for row in value)
    return value
