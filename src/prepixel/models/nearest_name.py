"""What a wrong name of a network is likely to mean."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return the known name that is nearest to a wrong one, to be put behind that; nothing where none is near.

    >>> did_you_mean("resnet51", ["resnet50", "vgg11"])
    ' (did you mean resnet50?)'
    """
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
