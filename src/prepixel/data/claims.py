"""A folder that one process writes into at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from prepixel.errors import DatasetError


@contextlib.contextmanager
def claimed(folder: Path, doing: str, target: Path | None = None) -> Iterator[None]:
    """Keep other processes from claiming a folder, until the end or until this process dies.

    Args:
        folder: locked; it must exist.
        doing: what another process is told to be doing, such as "thinning into".
        target: what messages call the folder; None for its own name.

    Raises:
        DatasetError: another process has claimed it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatasetError(
                f"{target or folder}: another process is {doing} it; wait until it ends, or end it"
            ) from None
        yield
    finally:
        os.close(descriptor)
