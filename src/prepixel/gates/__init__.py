"""Learned choice of frequency channels: gates between a network's normalization and its trunk."""

from prepixel.gates.gate import DynamicGate, Gate, GateOutput, StaticGate, build_gate
from prepixel.gates.network import GatedNetwork, GatedOutput, SpectralNetwork
from prepixel.gates.settings import GateError, GateSettings

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
