"""Vision networks on what a JPEG holds before it becomes pixels.

Data flows one way: bytes -> quantized coefficients (`read_jpeg`) -> spectrum (`read_spectra`, `resample`) -> network
(`frequency_resnet`) -> task. Names are loaded when first used, so reading files never waits for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prepixel.optional import lazy_names

if TYPE_CHECKING:
    __version__: str
    from prepixel.errors import PrepixelError
    from prepixel.jpeg import JpegImage, read_image, read_jpeg
    from prepixel.models import fold, frequency_mobilenet_v2, frequency_resnet, pixel_model
    from prepixel.runs import load_run
    from prepixel.spectrum import BandSet, Box, Spectrum, Statistics, read_spectra, resample

_PLACES = {
    "PrepixelError": "prepixel.errors",
    "JpegImage": "prepixel.jpeg",
    "read_image": "prepixel.jpeg",
    "read_jpeg": "prepixel.jpeg",
    "BandSet": "prepixel.spectrum",
    "Box": "prepixel.spectrum",
    "Spectrum": "prepixel.spectrum",
    "Statistics": "prepixel.spectrum",
    "read_spectra": "prepixel.spectrum",
    "resample": "prepixel.spectrum",
    "fold": "prepixel.models",
    "frequency_mobilenet_v2": "prepixel.models",
    "frequency_resnet": "prepixel.models",
    "pixel_model": "prepixel.models",
    "load_run": "prepixel.runs",
}

_ROOMS = {
    *("data", "engine", "errors", "export", "gates", "jpeg", "models", "recipes", "records", "reports", "runs"),
    *("runtime", "serving", "spectrum", "tasks", "transforms"),
}

__all__ = [
    "BandSet",
    "Box",
    "JpegImage",
    "PrepixelError",
    "Spectrum",
    "Statistics",
    "fold",
    "frequency_mobilenet_v2",
    "frequency_resnet",
    "load_run",
    "pixel_model",
    "read_image",
    "read_jpeg",
    "read_spectra",
    "resample",
]


_load, __dir__ = lazy_names(__name__, _PLACES)


def __getattr__(name: str) -> Any:
    if name == "__version__":  # asked of the installed package's metadata, which takes a millisecond
        from importlib.metadata import version

        return version("prepixel")
    if name in _ROOMS:  # as torch.nn is there after "import torch"
        import importlib

        return importlib.import_module(f"prepixel.{name}")
    return _load(name)
