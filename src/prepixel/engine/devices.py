"""The choice of the device that a network runs on."""

from __future__ import annotations

import reprlib

import torch

from prepixel.engine.settings import SettingsError


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device to use: for None or "auto" the accelerator where there is one, else the CPU.

    Raises:
        SettingsError: there is no such device on this machine.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is None or device == "auto":
        return accelerator or torch.device("cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(
            f"device is {reprlib.repr(str(device))}; it must be auto, cpu, cuda or cuda:0, cuda:1, ..."
        ) from error
    if chosen.type == "cpu" or chosen.type == "meta":
        return chosen
    if accelerator is None or chosen.type != accelerator.type:
        found = f"only {accelerator} and cpu" if accelerator is not None else "only cpu"
        raise SettingsError(f"device is {device}, and torch finds {found} on this machine; set it to auto or cpu")
    count = torch.accelerator.device_count()
    if chosen.index is not None and chosen.index >= count:
        raise SettingsError(f"device is {device}, and this machine has {count} of that kind, counted from 0")
    return chosen
