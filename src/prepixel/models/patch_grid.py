"""Rebuild networks whose patch grid is of fixed size, vision transformers above all, for images of another size."""

from __future__ import annotations

import warnings
from typing import Any

import torchvision
from torch import nn
from torchvision.models.vision_transformer import interpolate_embeddings

from prepixel.errors import ModelError
from prepixel.models.input_size import built_size

_EMBEDDING_STD = 0.02  # what the libraries draw position embeddings with


def resize_patch_grid(network: nn.Module, pixels: tuple[int, int], name: str, *, trained: bool) -> None:
    """Make a network take images of another size, in place; one that takes any size is left as it is.

    Trained position embeddings are interpolated as the network's library does; random ones are drawn again.

    Args:
        network: of torchvision or timm.
        pixels: height and width.
        name: for messages.
        trained: whether its weights mean something.

    Raises:
        ModelError: its library cannot rebuild it for that size.
    """
    own = built_size(network)
    if own is None or own == pixels:
        return
    try:
        if isinstance(network, torchvision.models.VisionTransformer):
            _resize_torchvision(network, pixels)
        else:
            resize: Any = getattr(network, "set_input_size", None)
            if resize is None:
                raise ModelError("its library builds it for one size alone")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of torch, about how timm resamples
                resize(img_size=pixels)
    except (ModelError, AssertionError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{name} takes {own[0]} x {own[1]} pixels, and cannot be rebuilt for {pixels[0]} x {pixels[1]} ({error}); "
            f"set pixels to {own[0]} x {own[1]}"
        ) from error
    if trained:
        return
    for path, parameter in network.named_parameters():
        if path.rpartition(".")[2] in {"pos_embed", "pos_embedding"}:
            nn.init.trunc_normal_(parameter, std=_EMBEDDING_STD)


def _resize_torchvision(network: torchvision.models.VisionTransformer, pixels: tuple[int, int]) -> None:
    side, patch = pixels[0], network.patch_size
    if side != pixels[1] or side % patch:
        raise ModelError(f"it takes squares of a whole number of patches, {patch} x {patch} pixels each")
    name = "encoder.pos_embedding"
    resized = interpolate_embeddings(side, patch, network.state_dict())[name]
    network.encoder.pos_embedding = nn.Parameter(resized, network.encoder.pos_embedding.requires_grad)
    network.seq_length, network.image_size = resized.shape[1], side
