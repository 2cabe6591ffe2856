"""Learned choice of frequency channels: gates between a network's normalization and its trunk.

Names are loaded when first used, so that `prepixel.gates.gate_settings` can be imported without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prepixel.gates.gate import DynamicGate, Gate, GateOutput, StaticGate, build_gate
    from prepixel.gates.gate_settings import GateError, GateSettings
    from prepixel.gates.network import GatedNetwork, GatedOutput, SpectralNetwork

_MODULES = {
    "DynamicGate": "gate",
    "Gate": "gate",
    "GateError": "gate_settings",
    "GateOutput": "gate",
    "GateSettings": "gate_settings",
    "GatedNetwork": "network",
    "GatedOutput": "network",
    "SpectralNetwork": "network",
    "StaticGate": "gate",
    "build_gate": "gate",
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


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"prepixel.gates.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'prepixel.gates' has no attribute {name!r}")
