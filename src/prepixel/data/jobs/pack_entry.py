"""One image of a source that is packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from prepixel.files import read_regular_file_part


class PackEntry(NamedTuple):
    """Locate one image of a source.

    Attributes:
        name: its path below the source, with forward slashes; for a tar's member, the tar's name in front.
        label: index into the source's classes.
        size: bytes.
        path: the file that holds it.
        offset: where in that file it begins.
        annotated: what is kept with it beside its class; None for nothing.
    """

    name: str
    label: int
    size: int
    path: str
    offset: int
    annotated: Mapping[str, Any] | None = None

    def read(self) -> bytes:
        """Read the image's bytes.

        Raises:
            OSError: the file cannot be opened, is no regular file or too large, or has become shorter.
        """
        return read_regular_file_part(self.path, self.offset, self.size)
