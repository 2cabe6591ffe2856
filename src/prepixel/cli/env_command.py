"""The command `env`: print what prepixel runs on."""

from __future__ import annotations

import argparse
from typing import Any

from prepixel.cli.console import print_json, print_line, print_pairs
from prepixel.cli.shared_options import add_json

SUMMARY = "print what prepixel runs on, for bug reports"
ABOUT = "Print what prepixel runs on: processor, instruction sets, threads, devices,\nversions."
EXAMPLE = "prepixel env"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `env`."""
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what prepixel runs on."""
    found = _gather()
    if options.json:
        print_json(found)
        return 0
    versions = found.pop("versions")
    print_pairs([(name, _format(value)) for name, value in found.items()])
    print_line()
    print_pairs(list(versions.items()))
    return 0


def _gather() -> dict[str, Any]:
    from prepixel.records import describe_environment
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
    """Return what torch runs on; None for each if it is not installed."""
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


def _format(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
