"""The size of the image that a network states for its input."""

from __future__ import annotations

from typing import Any

import torchvision
from torch import nn


def input_size(network: nn.Module) -> tuple[int, int] | None:
    """Return the height and width that a network states for its input; None where it states none.

    Vision transformers state them in their patch grid, timm's networks in their configuration.
    """
    fixed = built_size(network)
    if fixed is not None:
        return fixed
    for attribute in ("pretrained_cfg", "default_cfg"):
        configuration: Any = getattr(network, attribute, None)
        size = configuration.get("input_size") if hasattr(configuration, "get") else None
        if isinstance(size, tuple | list) and len(size) == 3:
            return int(size[1]), int(size[2])
    return None


def built_size(network: nn.Module) -> tuple[int, int] | None:
    """Return the height and width that a network's patch grid is built for; None where it takes any size."""
    for attribute in ("patch_embed", "stem"):
        embedded: Any = getattr(getattr(network, attribute, None), "img_size", None)
        if isinstance(embedded, tuple) and len(embedded) == 2:
            return int(embedded[0]), int(embedded[1])
    if isinstance(network, torchvision.models.VisionTransformer):
        return network.image_size, network.image_size
    return None
