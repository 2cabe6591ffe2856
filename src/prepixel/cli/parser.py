"""Assemble the command-line parser from the commands, and parse."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from prepixel.cli.console import print_line
from prepixel.cli.option_types import shorten
from prepixel.errors import PrepixelError

_ABOUT = """\
Train and run vision networks on the DCT coefficients stored in JPEG files.

First steps:
  prepixel inspect photo.jpg --plot channels.png     show what a file holds
  prepixel synthesize runs/data                      make a small data set
  prepixel train recipes/demo_dct24.yaml             train on it
  prepixel predict runs/demo_dct24 photo.jpg         classify an image
"""
_EXIT_STATUS = """\
exit status:
  0      done
  1      done, but some files could not be read or handled; they are listed
  2      not done: an option, a file or a recipe is wrong, or the network's
         weights are not finite; one line on standard error says what
  128+N  stopped by signal N (130: Ctrl-C)
"""
_COMMANDS = (
    *(
        "inspect",
        "scan",
        "index",
        "bandlimit",
        "pack",
        "stats",
        "merge",
        "synthesize",
        "train",
        "fetch",
        "fold",
        "export",
    ),
    *("evaluate", "predict", "serve", "sensitivity", "select", "heatmap", "table", "compare", "plot", "bench", "env"),
)
_ALIASES = {"bandlimit": ["thin"]}
_MAX_MESSAGE = 400


class UsageError(PrepixelError, ValueError):
    """Report a command line that cannot be parsed."""


class _Parser(argparse.ArgumentParser):
    """Raise errors instead of printing the usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise the error with a pointer to the help."""
        if len(message) > _MAX_MESSAGE:
            message = f"{message[: _MAX_MESSAGE // 2]}...{message[-_MAX_MESSAGE // 2 :]}"
        raise UsageError(f"{message}; see: {self.prog} --help")


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """Return the options of a command; ``run`` among them is its handler.

    Raises:
        UsageError: a command or an option is unknown, lacks its value or has a wrong one.
        SystemExit: help or the version was asked for, and printed.
    """
    parser, commands = build_parser()
    if not words:
        parser.print_help()
        sys.exit(0)
    if not words[0].startswith("-") and words[0] not in commands:
        near = difflib.get_close_matches(words[0], commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"commands: {', '.join(_COMMANDS)}"
        raise UsageError(f"no command {shorten(words[0])}; {hint}")
    overrides: list[str] = []
    if words[0] in {"train", "compare"}:
        words, overrides = _split_overrides(words, commands[words[0]])
    options, unknown = parser.parse_known_args(words)
    if unknown:
        if words[0] not in commands:
            raise UsageError(f"prepixel has no {shorten(unknown[0])}; see: prepixel --help")
        raise _not_understood(words[0], commands[words[0]], unknown[0])
    if not hasattr(options, "run"):
        raise UsageError("no command given; see: prepixel --help")
    options.overrides = overrides
    return options


def _not_understood(name: str, command: argparse.ArgumentParser, word: str) -> UsageError:
    """Return the error about an option that a command has not, or about a word too many."""
    actions = command._actions  # noqa: SLF001
    taken = " ".join(str(action.metavar or action.dest) for action in actions if not action.option_strings)
    see = f"see: prepixel {name} --help"
    if not word.startswith("-"):
        return UsageError(f"prepixel {name} takes {taken or 'options only'}; {shorten(word)} is one too many; {see}")
    known = [option for action in actions for option in action.option_strings]
    near = difflib.get_close_matches(word.partition("=")[0], known, n=1)
    hint = f"did you mean {near[0]}?" if near else see
    if word.partition("=")[0] in {"-o", "--output"} and "DEST" in taken:
        hint = f"it takes {taken}, without it; {see}"
    return UsageError(f"prepixel {name} has no {shorten(word).strip(chr(39))}; {hint}")


def _split_overrides(words: Sequence[str], command: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Separate ``--section.key value`` from a command's own words; argparse would take the value for the recipe."""
    known = {option: action.nargs != 0 for action in command._actions for option in action.option_strings}  # noqa: SLF001
    kept: list[str] = []
    overrides: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, _ = word.partition("=")
        target = kept if name in known or not word.startswith("--") else overrides
        target.append(word)
        takes_value = known.get(name, target is overrides) and not equals
        if takes_value and left:
            target.append(left.pop(0))
    return kept, overrides


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser and the parsers of the commands by name, aliases included."""
    parser = _Parser(
        prog="prepixel",
        description=_ABOUT,
        epilog=_EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    for name in _COMMANDS:
        _add_command(commands, name)
    return parser, dict(commands.choices)


def _add_command(commands: Any, name: str) -> None:
    module: Any = importlib.import_module(f"prepixel.cli.{name}_command")
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        aliases=_ALIASES.get(name, []),
        help=module.SUMMARY,
        description=module.ABOUT,
        epilog=f"example:\n  {module.EXAMPLE}\n\n{_EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_options(parser)
    parser.set_defaults(run=module.run, command=name)


class _Version(argparse.Action):
    """Print the version; reading it costs an import, so only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata

        print_line(f"prepixel {importlib.metadata.version('prepixel')}")
        parser.exit()
