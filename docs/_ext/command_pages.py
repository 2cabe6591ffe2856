"""Write docs/commands.md from the command's argparse parser, so that the page never differs from ``--help``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

HEAD = """\
# Commands

This page is generated from the command's parser. `prepixel COMMAND --help` prints the same text.

Options that take a band set accept a published name (`S-24`, `T-24`, `L-24`, `192`), a family (`zigzag-16-4-4`,
`square-4-2-2`, `triangle-4-2-2`) or a `.json` file; see [band sets](concepts/dct-domain.md#band-sets).

## Exit codes

{exit_codes}

Errors are one line on standard error that says what is wrong, where, and what to do. Results go to standard output, so
`--json` output can be piped.
"""


def exit_codes() -> str:
    """Return the table of exit codes, as the docstring of `prepixel.cli.main` states them."""
    from prepixel.cli import main

    text = " ".join((main.__doc__ or "").split())
    stated = dict(re.findall(r"(?:^|[ ;.])(0|1|2|128 \+ n): (.+?)(?=\. (?:1|2|128 \+ n): |\. [A-Z])", text))
    if set(stated) != {"0", "1", "2", "128 + n"}:
        raise ValueError(f"prepixel.cli.main no longer states its exit codes as 0:, 1:, 2:, 128 + n: ({stated})")
    rows = [f"| `{code}` | {meaning[0].upper()}{meaning[1:]} |" for code, meaning in stated.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Return every command's parser by name, as the program builds them; aliases are left out."""
    from prepixel.cli.parser import build_parser

    parser, _ = build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001
    shown = {choice.dest for choice in action._choices_actions}  # noqa: SLF001
    return {name: child for name, child in action.choices.items() if name in shown}


def summaries() -> dict[str, str]:
    """Return every command's one-line help by name."""
    from prepixel.cli.parser import build_parser

    parser, _ = build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001
    return {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001


def escaped(text: str) -> str:
    """Return text for a Markdown table cell."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").split())


def option_row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the table row of one argument."""
    formatter = parser._get_formatter()  # noqa: SLF001
    if action.option_strings:
        value = "" if action.nargs == 0 else f" {formatter._format_args(action, action.dest.upper())}"  # noqa: SLF001
        names = ", ".join(f"`{option}{value}`" for option in action.option_strings)
    else:
        names = f"`{formatter._format_args(action, action.metavar or action.dest)}`"  # noqa: SLF001
    text = escaped(formatter._expand_help(action)) if action.help else ""  # noqa: SLF001
    if action.required and action.option_strings:
        text += " (required)"
    return f"| {names} | {text} |"


def section(name: str, parser: argparse.ArgumentParser) -> str:
    """Return the section of one command."""
    example = re.sub(r"^examples?:\s*", "", (parser.epilog or "").split("\n\n")[0])  # exit status follows
    example = "\n".join("$ " + line.strip() for line in example.splitlines() if line.strip())
    lines = [f"## prepixel {name}", "", parser.description or "", ""]
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]  # noqa: SLF001
    actions = [action for action in actions if action.help is not argparse.SUPPRESS]
    if actions:
        lines += ["| argument | meaning |", "|---|---|", *(option_row(parser, action) for action in actions), ""]
    if example:
        lines += ["```console", example, "```", ""]
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    text = summaries()
    listing = ["## All commands", "", "| command | purpose |", "|---|---|"]
    listing += [f"| [`{name}`](#prepixel-{name}) | {escaped(text[name])} |" for name in subcommands()]
    sections = [section(name, parser) for name, parser in subcommands().items()]
    return "\n".join([HEAD.format(exit_codes=exit_codes()), *listing, "", *sections])


def write(app: Any) -> None:
    """Write the page where it differs from what is there."""
    path = Path(app.srcdir) / "commands.md"
    new = page()
    if not path.exists() or path.read_text(encoding="utf-8") != new:
        path.write_text(new, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write, priority=100)
    return {"parallel_read_safe": True}
