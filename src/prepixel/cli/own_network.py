"""The option --build: code of the user's own that recipes and runs name as their network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prepixel.cli.parser import UsageError
from prepixel.models import allow_build_function


def allow_own_network(build: str | None, names: Iterable[str], where: object) -> None:
    """Import what --build names, where it is what recipes name as their network; nothing else is run.

    Args:
        build: the option's value; None where it was not given.
        names: of the networks that the recipes or the run state.
        where: the recipe or run, for the message.

    Raises:
        UsageError: none of them names it.
        ModelError: there is no such file, module or function.
    """
    if build is None:
        return
    stated = sorted(set(names))
    if build not in stated:
        raise UsageError(
            f"--build {build}: the network of {where} is {', '.join(stated)}; leave --build out, or write it as it "
            "stands there"
        )
    allow_build_function(build)


def allow_network_of_run(build: str | None, folder: Path) -> None:
    """Import what --build names, where it is the network of a run; see `allow_own_network`."""
    from prepixel.recipes import read_any_recipe
    from prepixel.runs import RunFolder

    if build is not None:
        allow_own_network(build, [read_any_recipe(RunFolder(folder).recipe).network.name], folder)
