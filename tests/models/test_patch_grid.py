"""Vision transformers are rebuilt for the pixels that a run gives them, trained or not."""

from __future__ import annotations

import pytest
import torch
import torchvision

from prepixel.models import ModelError, pixel_model, pixel_network
from prepixel.models.input_size import built_size
from prepixel.models.patch_grid import resize_patch_grid


@pytest.mark.parametrize("name", ["vit_b_32", "timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"])
def test_networks_with_a_patch_grid_are_built_for_other_pixels(name: str) -> None:
    network = pixel_network(name, 3, (64, 64)).eval()
    assert built_size(network.network) == (64, 64)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    embeddings = [value for key, value in network.named_parameters() if key.endswith(("pos_embed", "pos_embedding"))]
    for value in embeddings:  # drawn, not interpolated, which would leave less spread
        assert 0.018 < value.std() < 0.022
    assert embeddings or "swin" in name


def test_trained_position_embeddings_are_interpolated() -> None:
    network = torchvision.models.VisionTransformer(64, 16, 1, 1, 8, 8, num_classes=3)
    with torch.no_grad():  # the row of each patch, which interpolation halves and keeps in order
        network.encoder.pos_embedding[:, 0] = 7
        network.encoder.pos_embedding[:, 1:] = torch.arange(4.0).repeat_interleave(4)[None, :, None]
    resize_patch_grid(network, (128, 128), "mine", trained=True)
    resized = network.encoder.pos_embedding[0, :, 0]
    assert resized[0] == 7
    rows = resized[1:].unflatten(0, (8, 8))
    torch.testing.assert_close(rows, rows[:, :1].expand(8, 8))
    assert (rows[1:, 0] > rows[:-1, 0]).all()
    assert network.eval()(torch.zeros(1, 3, 128, 128)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("vit_b_32", (64, 96), "takes 224 x 224 pixels, and cannot be rebuilt for 64 x 96 .*squares"),
        ("vit_b_32", (72, 72), "whole number of patches, 32 x 32"),
        ("timm:mixer_s16_224", (112, 112), "one size alone.*set pixels to 224 x 224"),
    ],
)
def test_sizes_that_cannot_be_are_named(name: str, pixels: tuple[int, int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        pixel_network(name, 3, pixels)


def test_networks_of_any_size_are_left_as_they_are() -> None:
    assert pixel_model("squeezenet1_1", weights="none", pixels=(64, 64)).pixels == (224, 224)
