"""The verb env: what prepixel runs on."""

from __future__ import annotations

import argparse
import json
from typing import Any

from prepixel.cli.console import print_pairs
from prepixel.records import describe_environment


def env(options: argparse.Namespace) -> int:
    """Say what prepixel runs on."""
    found = _gather()
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    versions = found.pop("versions")
    print_pairs([(name, _words(value)) for name, value in found.items()])
    print()
    print_pairs(list(versions.items()))
    return 0


def _gather() -> dict[str, Any]:
    from prepixel.spectrum.simd import simd_levels

    environment = describe_environment()
    return {
        "processor": environment.cpu,
        "cores": environment.cores,
        "instruction sets": list(simd_levels()),
        **_torch(),
        "system": environment.system,
        "python": environment.python,
        "commit": environment.commit,
        "versions": dict(environment.versions),
    }


def _torch() -> dict[str, Any]:
    """Return what torch runs on; None for each where it is not installed."""
    try:
        import torch
    except ModuleNotFoundError:
        return dict.fromkeys(("torch threads", "torch instructions", "CUDA devices", "CUDA of torch"))
    return {
        "torch threads": torch.get_num_threads(),
        "torch instructions": torch.backends.cpu.get_cpu_capability(),
        "CUDA devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "CUDA of torch": torch.version.cuda,
    }


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
