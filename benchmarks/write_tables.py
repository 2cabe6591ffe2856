"""Write the benchmarks' tables in docs/results.md from their records; nothing in them is typed by hand.

python benchmarks/write_tables.py                   # print
python benchmarks/write_tables.py docs/results.md   # replace what stands between the markers
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from prepixel.records import TimingRow, read_records

RECORDS = Path(__file__).with_name("records.jsonl")
BEGIN, END = "<!-- benchmarks: begin -->\n", "<!-- benchmarks: end -->\n"


def latest(rows: list[TimingRow]) -> list[TimingRow]:
    """Keep each road's newest row, in the order in which the roads were last measured."""
    newest = {(row.question, row.case, row.subject): row for row in rows}
    return [row for row in rows if newest[row.question, row.case, row.subject] is row]


def table(rows: list[TimingRow]) -> str:
    """Write one Markdown table a question and case."""
    parts = []
    for (question, case), group in groupby(latest(rows), key=lambda row: (row.question, row.case)):
        roads = list(group)
        first = roads[0]
        versions = ", ".join(f"{name} {version}" for name, version in first.environment.versions.items())
        where = first.environment
        machine = f"{where.cpu}, {where.cores} cores, {where.system}, Python {where.python}"
        lines = [
            f"### {question}: {case}",
            "",
            f"{machine}, {versions}, commit {where.commit}, {first.measured[:10]}.",
            "",
            f"| road | {first.unit}, median | lowest to highest | n | ratio |",
            "|---|---:|---:|---:|---:|",
        ]
        for row in roads:
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            low, high = row.spread
            lines.append(f"| {row.subject} | {row.median:,.4g} | {low:,.4g} to {high:,.4g} | {row.n} | {ratio} |")
        if first.reference:
            lines += ["", f"Ratio: median over rounds to *{first.reference}* in the same round."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Print the tables, or put them into a document."""
    text = table(read_records(RECORDS).of_kind(TimingRow))
    if len(sys.argv) == 1:
        print(text)
        return 0
    document = Path(sys.argv[1])
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{document} lacks the lines {BEGIN.strip()} and {END.strip()}", file=sys.stderr)
        return 1
    partial = document.with_suffix(".partial")
    partial.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    partial.replace(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
