"""Write the benchmarks' tables in docs/ and README.md from their records.

python -m benchmarks.write_tables                                           # print
python -m benchmarks.write_tables docs/*.md docs/guides/*.md README.md   # replace the text between the markers
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from benchmarks.cluster_cost import cost_table

from prepixel.records import ScoreRow, TimingRow, read_records

RESULTS = Path(__file__).parent / "results"
QUESTIONS = (
    *("folding", "stem cost", "gates: budget", "gates: planted", "selection"),
    *("detection geometry", "detection: folded", "detection: overfit", "detection: folding", "detection bytes"),
    "segmentation: folding",
    *("int8", "soak", "exported networks", "exported families", "deployment", "cold start", "service", "page"),
    *("transforms: difference", "augmentation", "any network"),
    *(
        "claim: resolution or frequency, summary",
        "claim: channels",
        "claim: luma",
        "claim: channels, fine-tuned, summary",
        "claim: spectral bias",
        "claim: first scans",
    ),
    *("claim: cost of decoding", "claim: faster networks", "claim: robustness", "claim: small photos"),
    *("claim: small photos, reading", "claim: channels' energy"),
)


def latest(rows: list[TimingRow]) -> list[TimingRow]:
    """Return the newest row of each subject, in the order in which the subjects were last measured."""
    newest = {(row.question, row.case, row.subject): row for row in rows}
    return [row for row in rows if newest[row.question, row.case, row.subject] is row]


def table(rows: list[TimingRow]) -> str:
    """Format one Markdown table per question and case."""
    parts = []
    for (question, case), group in groupby(latest(rows), key=lambda row: (row.question, row.case)):
        pipelines = list(group)
        first = pipelines[0]
        versions = ", ".join(f"{name} {version}" for name, version in first.environment.versions.items())
        where = first.environment
        machine = f"{where.cpu}, {where.cores} cores, {where.system}, Python {where.python}"
        lines = [
            f"### {question}: {case}",
            "",
            f"{machine}, {versions}, commit {where.commit}, {first.measured[:10]}.",
            "",
            f"| subject | {first.unit}, median | lowest to highest | n | ratio |",
            "|---|---:|---:|---:|---:|",
        ]
        for row in pipelines:
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            low, high = row.spread
            lines.append(f"| {row.subject} | {row.median:,.4g} | {low:,.4g} to {high:,.4g} | {row.n} | {ratio} |")
        if first.reference:
            lines += ["", f"Ratio: median over rounds to *{first.reference}* in the same round."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def short_tables(rows: list[TimingRow]) -> dict[str, str]:
    """Format one table without a heading per question and case, keyed by both."""
    cases: dict[str, list[TimingRow]] = {}
    for row in latest(rows):
        cases.setdefault(f"{row.question}: {row.case}", []).append(row)
    tables = {}
    for name, pipelines in cases.items():
        lines = [f"| subject | {pipelines[0].unit} | ratio | lowest to highest |", "|---|---:|---:|---:|"]
        for row in pipelines:
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            low, high = row.spread
            lines.append(f"| {row.subject} | {row.median:,.0f} | {ratio} | {low:,.0f} to {high:,.0f} |")
        tables[name] = "\n".join(lines) + "\n"
    return tables


def score_table(rows: list[ScoreRow]) -> str:
    """Format one Markdown table per case with the scores of each subject."""
    newest = {(row.case, row.subject): row for row in rows}
    rows = [row for row in rows if newest[row.case, row.subject] is row]
    parts = []
    for case, group in groupby(sorted(rows, key=lambda row: row.case), key=lambda row: row.case):
        pipelines = list(group)
        where = pipelines[0].environment
        names = list(dict.fromkeys(name for row in pipelines for name in row.scores if name not in {"low", "high"}))
        headings = HEADINGS | ({} if "low" in pipelines[0].scores else {"top1": "top-1 %"})
        lines = [
            f"#### {case}" + (f", n = {pipelines[0].n}" if pipelines[0].n > 1 else ""),
            "",
            f"{where.cpu}, {where.cores} cores, torch {where.versions['torch']}, commit {where.commit}.",
            "",
            "| subject | " + " | ".join(headings.get(name, name.replace("_", " ")) for name in names) + " |",
            "|---|" + "---:|" * len(names),
        ]
        lines += [f"| {row.subject} | " + " | ".join(cell(row, name) for name in names) + " |" for row in pipelines]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


HEADINGS = {
    "top1": "top-1 % (95 % interval)",
    "channels_on": "channels on",
    "as RGB": "same answer as RGB %",
    "bytes": "bytes per sample",
    "network MACs": "GMAC",
    "cosine with RGB": "cosine with RGB's features",
}


def cell(row: ScoreRow, name: str) -> str:
    """Format one score."""
    value = row.scores.get(name)
    if value is None:
        return ""
    if name == "top1":
        interval = [f"{100 * float(row.scores[end]):.1f}" for end in ("low", "high") if end in row.scores]
        return f"{100 * float(value):.1f}" + (f" ({' to '.join(interval)})" if interval else "")
    if name == "as RGB":
        return f"{100 * float(value):.1f}"
    if name == "network MACs":
        return f"{float(value) / 1e9:.3f}"
    if name == "images/s":
        return f"{float(value):.0f}"
    if name.endswith(" ms") or name.startswith("images/s") or (isinstance(value, float) and name.startswith("top-1 %")):
        return f"{float(value):.1f}"
    if name in {"asked", "channels_on", "minutes"} or "MiB" in name:
        return f"{float(value):.4g}"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else value


PILLOW = "Pillow + torchvision v2: float RGB 224"
# What README compares: (what, question, case, ours, the other), of the timings.
SPEEDS = (
    ("training-ready sample, float32 S-24 against Pillow + torchvision", "training-ready samples", "one thread",
     "prepixel: float32 S-24, 56 x 56", PILLOW),
    ("training-ready sample, int8 S-24 against uint8 RGB by simplejpeg + OpenCV", "training-ready samples",
     "one thread, 8 bits per value", "prepixel: int8 S-24, 56 x 56", "simplejpeg + OpenCV area: uint8 RGB 224"),
    ("JPEG to coefficients, against libjpeg-turbo from C", "reading", "as distributed", "prepixel: coefficients",
     "libjpeg-turbo, C: coefficients"),
    ("the same, progressive files", "reading", "progressive", "prepixel: coefficients",
     "libjpeg-turbo, C: coefficients"),
    ("packed shards of S-24, against the JPEG files", "packed shards", "training-ready, one thread",
     "packed S-24, raw", "JPEG files"),
    ("packed shards of all frequencies, against the JPEG files", "packed shards", "training-ready, one thread",
     "packed, all, zstd", "JPEG files"),
)  # fmt: skip
# (what, network and photos, our input), of the scores of folded networks; the other is RGB.
ACCURACIES = (
    ("S-24 in int8, EfficientNet-Lite0", "EfficientNet-Lite0, photos as distributed (training set)", "S-24, dct, int8"),
    ("S-24 in int8, SqueezeNet 1.1", "SqueezeNet 1.1, photos as distributed (training set)", "S-24, dct, int8"),
    ("S-24 in int8, EfficientNet-Lite0, small photos (227 x 227)",
     "EfficientNet-Lite0, validation photos at 227 x 227", "S-24, dct, int8"),
    ("S-6 in float32, EfficientNet-Lite0", "EfficientNet-Lite0, photos as distributed (training set)",
     "S-6, dct, float32"),
)  # fmt: skip


def summary(timings: list[TimingRow], scores: list[ScoreRow]) -> str:
    """Return README's table: gains and losses in speed, progressive files beside baseline ones, and accuracy."""
    rows = {(row.question, row.case, row.subject): row for row in timings}
    lines = ["| what | prepixel | the other | ratio or difference |", "|---|---:|---:|---:|"]

    def line(what: str, ours: str, other: str, result: str, *, lost: bool) -> None:
        marks = ("**loses:** ", "**") if lost else ("", "")
        lines.append(f"| {marks[0]}{what} | {ours} | {other} | {marks[1]}{result}{marks[1]} |")

    for what, question, case, ours, other in SPEEDS:
        own, theirs = rows[question, case, ours], rows[question, case, other]
        ratio = own.median / theirs.median if own.ratio is None or own.reference != other else own.ratio
        line(what, f"{own.median:,.0f} images/s", f"{theirs.median:,.0f} images/s", f"{ratio:.2f}", lost=ratio < 1)
    progressive, baseline = (
        rows["reading", case, "prepixel: coefficients"] for case in ("progressive", "as distributed")
    )
    ratio = progressive.median / baseline.median
    rates = f"{progressive.median:,.0f} images/s", f"{baseline.median:,.0f} images/s"
    line("progressive files, against baseline ones", *rates, f"{ratio:.2f}", lost=ratio < 1)
    folded = {(row.case, row.subject): row.scores for row in scores if row.question == "folding"}
    for what, case, ours in ACCURACIES:
        own_top1, rgb_top1 = (100 * float(folded[case, subject]["top1"]) for subject in (ours, "RGB 224"))
        gap = own_top1 - rgb_top1
        own_bytes, rgb_bytes = (int(folded[case, subject]["bytes"]) for subject in (ours, "RGB 224"))
        what = f"top-1, folded, untrained: {what} ({own_bytes:,} against {rgb_bytes:,} bytes)"
        line(what, f"{own_top1:.1f} %", f"{rgb_top1:.1f} %", f"{gap:+.1f}", lost=gap < 0)
    return "\n".join(lines) + "\n"


def replaced(text: str, tables: Mapping[str, str]) -> str:
    """Replace the text between markers by the tables that the markers name.

    Raises:
        ValueError: a marker names no table, or has no end.
    """
    for name in re.findall(r"<!-- (.+): begin -->\n", text):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        if name not in tables:
            raise ValueError(f"no record answers {begin.strip()}")
        before, _, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not closed:
            raise ValueError(f"{begin.strip()} has no {end.strip()}")
        text = f"{before}{begin}\n{tables[name]}\n{end}{after}"
    return text


def all_tables() -> dict[str, str]:
    """Format every table of the records, by its marker's name."""
    rows = [row for path in sorted(RESULTS.glob("*.jsonl")) for row in read_records(path).rows]
    scores = [row for row in rows if isinstance(row, ScoreRow)]
    timings = [row for row in rows if isinstance(row, TimingRow)]
    full = {name: score_table([row for row in scores if row.question == name]) for name in QUESTIONS}
    full["benchmarks"] = table(timings)
    full["summary"] = summary(timings, scores)
    full["cluster cost"] = cost_table(timings)
    return full | short_tables(timings)


def main() -> int:
    """Print the tables, or write them into documents."""
    tables = all_tables()
    if len(sys.argv) == 1:
        print("\n".join(tables[name] for name in (*QUESTIONS, "benchmarks", "summary")))
        return 0
    for document in map(Path, sys.argv[1:]):
        text = document.read_text(encoding="utf-8")
        document.write_text(replaced(text, tables), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
