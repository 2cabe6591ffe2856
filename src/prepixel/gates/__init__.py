"""Learned choice of frequency channels: gates between a network's normalization and its trunk.

Names are loaded when first used, so that `prepixel.gates.gate_settings` can be imported without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    from prepixel.gates.gate import DynamicGate, Gate, GateOutput, StaticGate, build_gate
    from prepixel.gates.gate_settings import GateError, GateSettings
    from prepixel.gates.network import GatedNetwork, GatedOutput, SpectralNetwork

_PLACES = {
    "DynamicGate": "prepixel.gates.gate",
    "Gate": "prepixel.gates.gate",
    "GateError": "prepixel.gates.gate_settings",
    "GateOutput": "prepixel.gates.gate",
    "GateSettings": "prepixel.gates.gate_settings",
    "GatedNetwork": "prepixel.gates.network",
    "GatedOutput": "prepixel.gates.network",
    "SpectralNetwork": "prepixel.gates.network",
    "StaticGate": "prepixel.gates.gate",
    "build_gate": "prepixel.gates.gate",
}

__all__ = [
    "DynamicGate",
    "Gate",
    "GateError",
    "GateOutput",
    "GateSettings",
    "GatedNetwork",
    "GatedOutput",
    "SpectralNetwork",
    "StaticGate",
    "build_gate",
]

__getattr__, __dir__ = lazy_names(__name__, _PLACES)
