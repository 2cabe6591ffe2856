"""Run the ``console`` and ``python`` blocks of Markdown files as a newcomer would; stop at the first that fails.

    python .ci/readme.py README.md docs/getting-started.md docs/guides/*.md

Each file's Python blocks share their names, as for a reader who types them in order. A block after the comment
``<!-- not run: REASON -->`` is left out, and its reason printed. The CI script runs the set-up commands (``make``).
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
SETUP = ("make ", "git clone", "cd ")


def commands_of(text: str) -> list[list[str]]:
    """Return the commands of a file's blocks in order; consecutive Python blocks run as one program."""
    commands: list[list[str]] = []
    for block in BLOCK.finditer(text):
        if block["reason"]:
            print(f"-- left out: {block['reason']}")
        elif block["kind"] == "python" and commands and commands[-1][0] == "python":
            commands[-1][-1] += "\n" + block["body"]
        elif block["kind"] == "python":
            commands.append(["python", "-c", block["body"]])
        else:
            lines = [line[2:] for line in block["body"].splitlines() if line.startswith("$ ")]
            commands += [["bash", "-ec", line] for line in lines if not line.startswith(SETUP)]
    return commands


def main(names: list[str]) -> int:
    """Run the commands of all files and return 0, or 1 where there are none."""
    environment = dict(os.environ, PATH=f"{Path('.venv/bin').resolve()}{os.pathsep}{os.environ['PATH']}")
    environment.setdefault("PREPIXEL_DATA", str(Path("../shared/data").resolve()))
    ran = 0
    for name in names:
        commands = commands_of(Path(name).read_text(encoding="utf-8"))
        for command in commands:
            print(f"-- {name}: {command[-1].strip().splitlines()[0]}", flush=True)
            subprocess.run(command, env=environment, check=True, timeout=900)
        print(f"-- {name}: {len(commands)} commands ran")
        ran += len(commands)
    return 0 if ran else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
