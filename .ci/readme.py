"""Run the ``console`` and ``python`` blocks of Markdown files as a newcomer would; stop at the first that fails.

    python .ci/readme.py README.md docs/getting-started.md docs/guides/*.md

Each file's Python blocks share their names, as for a reader who types them in order. Commands find ``prepixel`` only
after the file's own line ``$ . .venv/bin/activate``: no folder is put on the PATH for them. A block after the comment
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
ACTIVATE = ". .venv/bin/activate"


def commands_of(text: str) -> list[list[str]]:
    """Return the commands of a file's blocks in order; consecutive Python blocks run as one program."""
    commands: list[list[str]] = []
    prelude = ""
    for block in BLOCK.finditer(text):
        if block["reason"]:
            print(f"-- left out: {block['reason']}")
        elif block["kind"] == "python" and commands and commands[-1][0] == sys.executable:
            commands[-1][-1] += "\n" + block["body"]
        elif block["kind"] == "python":
            commands.append([sys.executable, "-c", block["body"]])
        else:
            for line in (line[2:] for line in block["body"].splitlines() if line.startswith("$ ")):
                if line == ACTIVATE:
                    prelude = f"{ACTIVATE}\n"
                elif not line.startswith(SETUP):
                    commands.append(["bash", "-ec", f"{prelude}{line}"])
    return commands


def main(names: list[str]) -> int:
    """Run the commands of all files and return 0, or 1 where there are none."""
    scripts = Path(sys.executable).parent
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != scripts]
    environment = dict(os.environ, PATH=os.pathsep.join(folders))
    environment.setdefault("PREPIXEL_DATA", str(Path("../shared/data").resolve()))
    ran = 0
    for name in names:
        commands = commands_of(Path(name).read_text(encoding="utf-8"))
        for command in commands:
            print(f"-- {name}: {command[-1].removeprefix(ACTIVATE).strip().splitlines()[0]}", flush=True)
            subprocess.run(command, env=environment, check=True, timeout=900)
        print(f"-- {name}: {len(commands)} commands ran")
        ran += len(commands)
    return 0 if ran else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
