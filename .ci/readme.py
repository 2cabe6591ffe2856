"""Run every ``console`` and ``python`` block of a Markdown file as a newcomer would; stop at the first that fails.

A block after the comment ``<!-- not run: REASON -->`` is left out, and its reason printed. The set-up commands
(``make``) are run by the CI script itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?P<kind>console|python)\n(?P<body>.*?)```", re.DOTALL
)


def main(name: str) -> int:
    environment = dict(os.environ, PATH=f"{Path('.venv/bin').resolve()}{os.pathsep}{os.environ['PATH']}")
    environment.setdefault("PREPIXEL_DATA", str(Path("../shared/data").resolve()))
    ran = 0
    for block in BLOCK.finditer(Path(name).read_text(encoding="utf-8")):
        if block["reason"]:
            print(f"-- left out: {block['reason']}")
            continue
        if block["kind"] == "python":
            commands = [["python", "-c", block["body"]]]
        else:
            lines = (line[2:] for line in block["body"].splitlines() if line.startswith("$ "))
            commands = [["bash", "-ec", line] for line in lines if not line.startswith(("make ", "git clone", "cd "))]
        for command in commands:
            print(f"-- {command[-1].strip().splitlines()[0]}", flush=True)
            subprocess.run(command, env=environment, check=True, timeout=900)
            ran += 1
    print(f"{ran} commands of {name} ran")
    return 0 if ran else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
