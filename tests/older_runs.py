"""Runs as an earlier version of prepixel would have recorded them."""

from __future__ import annotations

import json
from pathlib import Path


def forget(records: Path, *keys: str) -> None:
    """Take keys, such as ``network.from_run``, out of the recipe that a run's records state."""
    lines = records.read_text(encoding="utf-8").splitlines()
    for place, line in enumerate(lines):
        row = json.loads(line)
        if row["kind"] == "run":
            for key in keys:
                *sections, name = key.split(".")
                values = row["recipe"]
                for section in sections:
                    values = values[section]
                del values[name]
            lines[place] = json.dumps(row)
    records.write_text("\n".join(lines) + "\n", encoding="utf-8")
