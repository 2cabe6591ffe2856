"""The RGB baseline of augmentation: torchvision's operations on pixels, by the draws of `prepixel.transforms`."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional

from prepixel.recipes.augmentation import AugmentSettings
from prepixel.spectrum import Spectrum
from prepixel.spectrum.dct import BLOCK
from prepixel.transforms import LINEAR_OPERATIONS, CutMix, MixUp, RandAugment, RandomErasing, TrivialAugmentWide
from prepixel.transforms.auto_augment import AugmentParams
from prepixel.transforms.mixing import blend, soft_labels


class PixelAugmentation:
    """Change batches of RGB pixels as the same section of a recipe changes spectra, but rounded and clamped.

    Draws are those for a spectrum of as many blocks, so both kinds of runs see the same operations, magnitudes, shares
    and rectangles.

    Args:
        settings: what is done.
        num_classes: classes, for mixed labels.
    """

    def __init__(self, settings: AugmentSettings, num_classes: int) -> None:
        self.settings, self.num_classes = settings, num_classes

    def __call__(
        self, inputs: Spectrum | Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Spectrum | Tensor, Tensor]:
        """Change a batch of pixels.

        Returns:
            The pixels, as fractions where images are mixed, and labels, as probabilities where images are mixed.

        Raises:
            TypeError: the batch is one of spectra.
        """
        if isinstance(inputs, Spectrum):
            raise TypeError(
                "this changes batches of RGB pixels; for spectra take the transforms of prepixel.transforms"
            )
        return self._change(inputs, labels, generator)

    def _change(
        self, pixels: UInt8[Tensor, "n 3 y x"], labels: Tensor, generator: torch.Generator
    ) -> tuple[Float[Tensor, "n 3 y x"] | UInt8[Tensor, "n 3 y x"], Tensor]:
        settings, n = self.settings, len(pixels)
        grid = (-(-pixels.shape[2] // BLOCK), -(-pixels.shape[3] // BLOCK))
        if settings.rand_augment:
            rand_augment = RandAugment(settings.rand_augment, settings.magnitude)
            pixels = augment_pixels(pixels, rand_augment.make_params(n, grid, generator))
        if settings.trivial_augment:
            pixels = augment_pixels(pixels, TrivialAugmentWide().make_params(n, generator))
        if settings.erasing:
            pixels = _erased(pixels, *RandomErasing(settings.erasing).make_params(n, grid, generator))
        kinds = [name for name in ("mixup", "cutmix") if getattr(settings, name)]
        if not kinds:
            return pixels, labels
        chosen = kinds[int(torch.multinomial(torch.ones(len(kinds), dtype=torch.float64), 1, generator=generator))]
        soft = soft_labels(labels, self.num_classes, n, chosen)
        fractions = pixels.float() / 255
        if chosen == "mixup":
            share = MixUp(settings.mixup).make_params(generator)
            return blend(fractions, share), blend(soft, share)
        (top, left, height, width), kept = CutMix(settings.cutmix).make_params(grid, generator)
        part = (..., slice(BLOCK * top, BLOCK * (top + height)), slice(BLOCK * left, BLOCK * (left + width)))
        mixed = fractions.clone()
        mixed[part] = fractions.roll(1, 0)[part]
        return mixed, blend(soft, kept)


def augment_pixels(pixels: UInt8[Tensor, "n 3 y x"], params: AugmentParams) -> UInt8[Tensor, "n 3 y x"]:
    """Apply each image's operations by torchvision, in order."""
    rows = zip(params.operations.tolist(), params.magnitudes.tolist(), strict=True)
    images = []
    for image, (operations, magnitudes) in zip(pixels, rows, strict=True):
        for operation, magnitude in zip(operations, magnitudes, strict=True):
            image = _apply(image, LINEAR_OPERATIONS[operation], magnitude)
        images.append(image)
    return torch.stack(images)


def _apply(image: UInt8[Tensor, "3 y x"], name: str, magnitude: float) -> UInt8[Tensor, "3 y x"]:
    if name in ("TranslateX", "TranslateY"):
        distances = [int(magnitude), 0] if name == "TranslateX" else [0, int(magnitude)]
        moved: Tensor = functional.affine(image, angle=0.0, translate=distances, scale=1.0, shear=[0.0, 0.0])
        return moved
    if name == "Identity":
        return image
    change = {
        "Brightness": functional.adjust_brightness,
        "Color": functional.adjust_saturation,
        "Contrast": functional.adjust_contrast,
        "Sharpness": functional.adjust_sharpness,
    }[name]
    changed: Tensor = change(image, 1.0 + magnitude)
    return changed


def _erased(pixels: UInt8[Tensor, "n 3 y x"], boxes: Tensor, which: Tensor) -> UInt8[Tensor, "n 3 y x"]:
    painted = pixels.clone()
    for i in which.nonzero()[:, 0].tolist():
        top, left, height, width = (BLOCK * edge for edge in boxes[i].tolist())
        mean = pixels[i].float().mean((1, 2), keepdim=True).round().to(torch.uint8)
        painted[i, :, top : top + height, left : left + width] = mean
    return painted
