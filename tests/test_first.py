"""The story on one small file: bytes -> quantized coefficients -> spectrum -> logits -> loss. Read this test first."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from prepixel import BandSet, Box, frequency_resnet, read_jpeg, read_spectra, resample


def test_from_bytes_to_loss() -> None:
    # A photo of 61 x 83 pixels, stored by somebody else's encoder with chroma at half size both ways.
    ramp = np.add.outer(np.linspace(0, 120, 61), np.linspace(0, 120, 83))
    pixels = np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    file = buffer.getvalue()

    # Bytes -> quantized coefficients: one 8 x 8 block of integers per 8 x 8 samples, as the file holds them.
    image = read_jpeg(file)
    luma, blue_chroma, _ = image.components
    assert (image.height, image.width, image.color) == (61, 83, "ycbcr")
    assert luma.quantized.shape == (8, 11, 8, 8)
    assert blue_chroma.quantized.shape == (4, 6, 8, 8)

    # DC is 8 x (mean - 128): the first block's mean luma comes back without any inverse transform.
    mean_luma = int(luma.quantized[0, 0, 0, 0]) * int(luma.quantization[0, 0]) / 8 + 128
    red, green, blue = pixels[:8, :8].reshape(-1, 3).mean(axis=0)
    assert abs(mean_luma - (0.299 * red + 0.587 * green + 0.114 * blue)) < 2

    # Coefficients -> spectrum: any crop, any size, chosen frequencies, one linear map per axis; no pixel is formed.
    bands = BandSet.parse("S-24")
    boxes = np.array([[3.0, 5.0, 53.0, 71.0]])
    spectrum = read_spectra([file], grid=(5, 7), bands=bands, boxes=boxes, flips=np.array([True])).spectrum
    assert spectrum.values.shape == (1, 24, 5, 7)
    reference = resample(image, Box(*boxes[0].tolist()), grid=(5, 7), bands=bands, flip=True)
    torch.testing.assert_close(spectrum.coefficients()[0].double(), reference, rtol=0, atol=2e-3)

    # Spectrum -> logits -> loss: a ResNet without a stem. Two images, as batch norm asks for.
    batch = read_spectra([file, file], grid=(5, 7), bands=bands, flips=np.array([False, True])).spectrum
    network = frequency_resnet(18, bands, num_classes=10)
    loss = torch.nn.functional.cross_entropy(network(batch), torch.tensor([3, 3]))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.grad is not None for parameter in network.parameters())
