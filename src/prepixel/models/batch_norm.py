"""Run a network, and explain the error of batch norms that get too few values to train on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prepixel.errors import ModelError

_TORCH_MESSAGE = "Expected more than 1 value per channel when training"


class BatchTooSmall(ModelError):
    """Report a training batch whose batch norms get a single value per channel."""


def run_network(run: Callable[..., Any], *inputs: Any, training: bool) -> Any:
    """Call a network, or a part of one.

    Args:
        run: the network.
        inputs: of the call.
        training: whether it is in training, where alone batch norms can fail.

    Raises:
        BatchTooSmall: a batch norm gets a single value per channel.
    """
    if not training:
        return run(*inputs)
    try:
        return run(*inputs)
    except ValueError as error:
        if _TORCH_MESSAGE not in str(error):
            raise
        raise BatchTooSmall(
            "in training, a batch norm needs more than one value per channel, and this batch has a single image whose "
            "map at that place is 1 x 1: take batches of 2 images or more (drop the last, incomplete batch of an "
            "epoch), images of more blocks, or put batch norms into evaluation mode"
        ) from error
