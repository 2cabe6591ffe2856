"""The command's words taken apart, and what is told where they are wrong."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn

from prepixel.cli.options import add_verbs
from prepixel.errors import RecipeError

_ABOUT = """\
Train and run vision networks on what a JPEG holds before it becomes pixels.

A first walk:
  prepixel inspect photo.jpg --plot channels.png     what a file holds
  prepixel synthesize runs/data                      make a small data set
  prepixel train recipes/demo_dct24.yaml             train on it
  prepixel predict runs/demo_dct24 photo.jpg         ask the network
"""


class _Parser(argparse.ArgumentParser):
    """Parse, but leave errors to the command's one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, with where help is."""
        raise RecipeError(f"{message}; see: {self.prog} --help")


def parse_arguments(words: list[str]) -> tuple[str, argparse.Namespace]:
    """Give the verb's place in the code, as ``module:function``, and its options.

    Raises:
        RecipeError: a verb or an option is unknown, or lacks its value.
        SystemExit: help or the version was asked for, and printed.
    """
    parser, verbs = _build()
    if not words:
        parser.print_help()
        sys.exit(0)
    if not words[0].startswith("-") and words[0] not in verbs:
        near = difflib.get_close_matches(words[0], verbs, n=1)
        hint = f"did you mean {near[0]}?" if near else f"verbs: {', '.join(verbs)}"
        raise RecipeError(f"no verb {words[0]!r}; {hint}")
    overrides: list[str] = []
    if words[0] in {"train", "compare"}:
        words, overrides = _split_overrides(words, verbs[words[0]])
    options, unknown = parser.parse_known_args(words)
    if unknown:
        known = [option for action in verbs[words[0]]._actions for option in action.option_strings]  # noqa: SLF001
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"see: prepixel {words[0]} --help"
        raise RecipeError(f"prepixel {words[0]} has no {unknown[0]}; {hint}")
    options.overrides = overrides
    return str(options.verb), options


def _split_overrides(words: Sequence[str], verb: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Take ``--section.key value`` out of a verb's words: argparse would take the value for the recipe."""
    known = {option: action.nargs != 0 for action in verb._actions for option in action.option_strings}  # noqa: SLF001
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


def _build() -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(prog="prepixel", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", parser_class=_Parser)
    add_verbs(verbs)
    return parser, dict(verbs.choices)


class _Version(argparse.Action):
    """Print the version; reading it costs an import, so only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata

        print(f"prepixel {importlib.metadata.version('prepixel')}")
        parser.exit()
