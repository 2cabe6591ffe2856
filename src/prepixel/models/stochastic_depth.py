"""Stochastic depth: in training, residual branches of an image are left out by chance, the deeper the more often."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import StochasticDepth

from prepixel.errors import ModelError


def set_stochastic_depth(network: nn.Module, rate: float, name: str) -> None:
    """Set how often residual branches are left out, in place: rising linearly from 0 at the first block to the rate.

    Weights, their names, and what the network computes in evaluation stay. Networks of timm are left as timm built
    them for its own ``drop_path_rate``.

    Args:
        network: of torchvision or timm, or one on spectra that is made of them.
        rate: of the last block.
        name: for messages.

    Raises:
        ModelError: the network has no residual block that is known here.

    Source: Huang et al., "Deep networks with stochastic depth" (ECCV 2016), equation 4.
    """
    switches = _switches(network)
    if not switches and not _has_drop_path(network) and rate > 0:
        raise ModelError(
            f"{name} has no residual branch that stochastic depth could leave out; set network.stochastic_depth to 0"
        )
    for place, switch in enumerate(switches):
        switch.p = rate * place / max(len(switches) - 1, 1)


def check_own_rates(network: nn.Module, name: str) -> None:
    """Check that a network of the caller's own code has no blocks of timm, whose rates are set where they are built.

    Raises:
        ModelError: it has.
    """
    if _has_drop_path(network):
        raise ModelError(
            f"{name} has timm's DropPath, whose rates its function sets; set network.stochastic_depth to null"
        )


def _has_drop_path(network: nn.Module) -> bool:
    return any(type(module).__name__ == "DropPath" for module in network.modules())


def _switches(network: nn.Module) -> list[StochasticDepth]:
    """List what leaves residual branches out, in the order in which the network has them."""
    found: list[StochasticDepth] = []
    for module in network.modules():
        if type(module) in _STOCHASTIC:
            module.__class__ = _STOCHASTIC[type(module)]
            module.stochastic_depth = StochasticDepth(0.0, "row").train(module.training)
        elif isinstance(module, StochasticDepth):
            found.append(module)
    return found


class _StochasticResidual(nn.Module, abc.ABC):
    """Compute a ResNet's block whose branch is left out by chance."""

    stochastic_depth: StochasticDepth
    downsample: nn.Module | None
    relu: nn.Module

    @abc.abstractmethod
    def branch(self) -> Sequence[Any]:
        """Return the layers of the branch, in order."""

    def forward(self, maps: Tensor) -> Tensor:
        """Compute the block."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        for layer in self.branch():
            maps = layer(maps)
        result: Tensor = self.relu(self.stochastic_depth(maps) + shortcut)
        return result


class StochasticBasicBlock(_StochasticResidual, BasicBlock):  # type: ignore[misc]
    """torchvision's block of two convolutions, with stochastic depth."""

    def branch(self) -> Sequence[Any]:
        """Return the layers of the branch, in order."""
        return self.conv1, self.bn1, self.relu, self.conv2, self.bn2


class StochasticBottleneck(_StochasticResidual, Bottleneck):  # type: ignore[misc]
    """torchvision's block of three convolutions, with stochastic depth."""

    def branch(self) -> Sequence[Any]:
        """Return the layers of the branch, in order."""
        return self.conv1, self.bn1, self.relu, self.conv2, self.bn2, self.relu, self.conv3, self.bn3


_STOCHASTIC: dict[type[nn.Module], type[nn.Module]] = {
    BasicBlock: StochasticBasicBlock,
    Bottleneck: StochasticBottleneck,
}
