"""Register spectra with torch's pytrees, so that networks that take them can be exported."""

from __future__ import annotations

import torch
from torch.utils import _pytree as pytree

from prepixel.spectrum.bands import BandSet
from prepixel.spectrum.spectrum import Spectrum

pytree.register_constant(BandSet)
torch.export.register_dataclass(Spectrum)
