"""A network on spectra with a gate between its normalization and its trunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from prepixel.gates.gate import Gate, GateOutput
from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum


@runtime_checkable
class SpectralNetwork(Protocol):
    """Compute from a spectrum in two steps, between which a gate can stand."""

    input: Any

    def from_normalized(self, normalized: Tensor) -> Any:
        """Compute what comes after the normalization."""


class GatedOutput(NamedTuple):
    """The output of a gated network, and the channels that it saw."""

    output: Any
    choice: GateOutput


class GatedNetwork(nn.Module):
    """Run a network on the channels that a gate lets pass.

    Attributes:
        network: a network on spectra.
        gate: between its normalization and the rest.
    """

    def __init__(self, network: SpectralNetwork, gate: Gate) -> None:
        super().__init__()
        self.network: Any = network
        self.gate = gate
        self._compiled: Callable[[Spectrum], GatedOutput] | None = None

    @property
    def bands(self) -> BandSet:
        """Return the channels that the gate chooses from."""
        return self.gate.bands

    def run(self, spectrum: Spectrum) -> GatedOutput:
        """Compute the network's output and the channels that it saw."""
        return (self._compiled or self._run)(spectrum)

    def forward(self, spectrum: Spectrum) -> Any:
        """Compute the network's output."""
        return self.run(spectrum).output

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile what `run` and calls do, in place."""
        self._compiled = torch.compile(self._run, *args, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_compiled": None}  # type: ignore[no-untyped-call]  # compiled again by use

    def _run(self, spectrum: Spectrum) -> GatedOutput:
        passed, choice = self.gate(self.network.input(spectrum))
        return GatedOutput(self.network.from_normalized(passed), choice)
