"""Make values that hold tensors nodes of torch's pytrees, and keep them out of transforms that are made for pixels.

torchvision's v2 transforms flatten whatever they are given by `torch.utils._pytree`, change the tensors and images that
they find, and pass everything else through. A batch of coefficients that passes through MixUp while its labels are
mixed is silently wrong, and so is one whose values are flipped as if they were pixels. As nodes of pytrees, spectra are
asked when they are flattened, and refuse there. Functions of torch ask them by ``__torch_function__``, and are refused,
too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, NoReturn

import torch
from torch.utils import _pytree as pytree

_PIXEL_TRANSFORMS = "torchvision.transforms."
_BETWEEN = ("torch.utils._pytree", "torch.utils.pytree", "optree", __name__, "beartype", "jaxtyping", "<")
# Frames between a transform and the flattening of what it was given, at most; deeper containers are not followed.
_MAX_FRAMES = 64
_INSTEAD = {
    "RandomHorizontalFlip": "RandomHorizontalFlip of prepixel.transforms when reading, or Spectrum.flip_horizontal",
    "Resize": "grid= of read_spectra, or Resize of prepixel.transforms when reading",
    "CenterCrop": "boxes= of read_spectra, or CenterCrop of prepixel.transforms when reading",
    "RandomCrop": "boxes= of read_spectra, or RandomCrop of prepixel.transforms when reading",
    "RandomResizedCrop": "boxes= of read_spectra, or RandomResizedCrop of prepixel.transforms when reading",
    "Pad": "Spectrum.pad",
    "Normalize": "Statistics.normalized",
    "ToDtype": "encode_int8",
    **{
        name: f"{name} of prepixel.transforms"
        for name in (
            *("ColorJitter", "CutMix", "GaussianBlur", "MixUp", "RandAugment", "RandomAdjustSharpness"),
            *("RandomErasing", "RandomGrayscale", "RandomInvert", "RandomVerticalFlip", "TrivialAugmentWide"),
        )
    },
}


FREQUENCIES = "holds frequencies, which it would leave as they are or spoil"


def register_node(
    kind: type,
    children: Iterable[str],
    dump: Callable[[Any], Any] | None = None,
    load: Callable[[Any], tuple[Any, ...]] | None = None,
    *,
    refusal: str | None = FREQUENCIES,
) -> None:
    """Make a frozen dataclass a node of torch's pytrees, so that torch.export takes networks on it.

    Args:
        kind: the dataclass.
        children: its fields that hold tensors, or values that do; the others are the node's context.
        dump: turns the context, a tuple of the other fields, into what JSON can say; None if it cannot be saved.
        load: turns that back into the context.
        refusal: why torchvision's transforms cannot take it; None if they may, unless one of its children refuses.
    """
    names = tuple(children)
    others = tuple(field.name for field in fields(kind) if field.name not in names)

    def flatten(value: Any) -> tuple[list[Any], tuple[Any, ...]]:
        if refusal is not None:
            refuse_pixel_transform(kind.__name__, refusal)
        return [getattr(value, name) for name in names], tuple(getattr(value, name) for name in others)

    def unflatten(values: Iterable[Any], context: Any) -> Any:
        made: Any = object.__new__(kind)  # not checked: leaves may be anything that a map makes of tensors
        for name, value in (*zip(names, values, strict=True), *zip(others, context, strict=True)):
            object.__setattr__(made, name, value)
        return made

    def flatten_with_keys(value: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        values, context = flatten(value)
        return [(pytree.GetAttrKey(name), child) for name, child in zip(names, values, strict=True)], context

    pytree.register_pytree_node(
        kind,
        flatten,
        unflatten,
        serialized_type_name=f"{kind.__module__}.{kind.__qualname__}",
        to_dumpable_context=dump,
        from_dumpable_context=load,
        flatten_with_keys_fn=flatten_with_keys,
    )


def refuse_tensor_function(name: str, function: Any) -> NoReturn:
    """Raise TypeError for a function of torch that was given a spectrum in place of a tensor.

    Raises:
        TypeError: always; it names the function, and says what takes spectra.
    """
    called = getattr(function, "__name__", str(function))
    raise TypeError(
        f"torch's {called} got a {name}, which holds frequencies and is no tensor. A network on pixels takes spectra "
        "once it is folded: prepixel.fold(network), for detectors prepixel.models.detectors.fold_detector; functions "
        "of tensors take its values"
    )


def refuse_pixel_transform(name: str, why: str = FREQUENCIES) -> None:
    """Raise TypeError where a transform of torchvision flattens its inputs.

    Raises:
        TypeError: the caller, behind the functions of pytrees, is one.
    """
    if torch.compiler.is_compiling():  # which cannot follow frames
        return
    frame, count = sys._getframe(1), 0  # noqa: SLF001
    while (above := frame.f_back) is not None and count < _MAX_FRAMES:
        frame, count = above, count + 1
        module = frame.f_globals.get("__name__", "<")
        if module.startswith(_PIXEL_TRANSFORMS):
            transform = type(frame.f_locals["self"]).__name__ if "self" in frame.f_locals else "this transform"
            instead = _INSTEAD.get(transform)
            hint = f"take {instead}" if instead else "use transforms of prepixel, or the pixel pipeline"
            raise TypeError(f"torchvision's {transform} is made for pixels, and a {name} {why}; {hint}")
        if not module.startswith(_BETWEEN):
            return
