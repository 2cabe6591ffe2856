"""Write docs/api/*.md: one page per public module, one entry per name of its ``__all__``, from the docstrings.

Signatures are those of the source text: jaxtyping's shapes stay as they are written there.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

# Public modules, in reading order: what each is for.
MODULES = {
    "prepixel": "the front door: the names most programs need",
    "prepixel.jpeg": "JPEG files: read, write, band-limit, pack; does not import torch",
    "prepixel.spectrum": "the DCT domain: spectra, band sets, boxes, statistics",
    "prepixel.spectrum.reference": "the reference implementation of crop, resize and flip",
    "prepixel.transforms": "augmentation of spectra, in the conventions of torchvision v2",
    "prepixel.data": "data sets, random crops and loaders",
    "prepixel.models": "networks on coefficients; folding of RGB networks",
    "prepixel.models.detectors": "detectors on coefficients",
    "prepixel.models.pyramid": "feature pyramids for detectors",
    "prepixel.gates": "learned selection of channels",
    "prepixel.tasks": "losses and scores",
    "prepixel.engine": "the training loop, checkpoints, several processes",
    "prepixel.recipes": "typed descriptions of runs",
    "prepixel.runs": "runs: train, load, evaluate, fold",
    "prepixel.export": "export of classifiers: ONNX, OpenVINO, torch.export, int8",
    "prepixel.runtime": "exported networks at work, without torch",
    "prepixel.serving": "the HTTP service",
    "prepixel.records": "rows of records and their JSON lines",
    "prepixel.reports": "figures drawn from records",
    "prepixel.errors": "every error that the library raises on purpose",
}

# Public values that carry no docstring of their own.
DATA = {
    "prepixel.models.NAMES": "names of the networks that recipes know",
    "prepixel.transforms.LINEAR_OPERATIONS": "operations of RandAugment and TrivialAugmentWide that are linear",
    "prepixel.recipes.AnyRecipe": "a recipe of any task",
}


@functools.cache
def public_names(module_name: str) -> list[str]:
    """Return a module's public names: ``__all__``, or what it defines without a leading underscore."""
    module = importlib.import_module(module_name)
    if hasattr(module, "__all__"):
        return list(module.__all__)
    members = vars(module).items()
    return [
        name
        for name, member in members
        if not name.startswith("_") and getattr(member, "__module__", None) == module_name and callable(member)
    ]


def directive(module: Any, name: str) -> str:
    """Return the autodoc directive of one name."""
    member = getattr(module, name)
    target = f"{module.__name__}.{name}"
    if inspect.isclass(member):
        options = ":members:" + (" :show-inheritance:" if issubclass(member, BaseException) else "")
        return (
            f"```{{eval-rst}}\n.. autoclass:: {target}\n" + "".join(f"   {line}\n" for line in options.split()) + "```"
        )
    kind = "autofunction" if callable(member) else "autodata"
    return f"```{{eval-rst}}\n.. {kind}:: {target}\n```"


def first_line(member: Any) -> str:
    """Return the first paragraph of a docstring as Markdown for a table cell."""
    text = " ".join((inspect.getdoc(member) or "").split("\n\n")[0].split())
    return text.replace("``", "`").replace("|", "\\|").replace("<", "&lt;")


def home_of(member: Any, module_name: str, name: str) -> str:
    """Return the module on whose page a name has its entry: the first in reading order, the front door last."""
    for candidate in [*list(MODULES)[1:], "prepixel"]:
        if name in public_names(candidate) and getattr(importlib.import_module(candidate), name) is member:
            return candidate
    return module_name


@functools.cache
def page(module_name: str) -> str:
    """Return the page of one module; a name that has its entry on another page is linked there."""
    module = importlib.import_module(module_name)
    lines = [f"# {module_name}", "", f"```{{eval-rst}}\n.. currentmodule:: {module_name}\n```", ""]
    lines += [f"```{{eval-rst}}\n{inspect.getdoc(module) or ''}\n```", "", "| name | purpose |", "|---|---|"]
    entries = []
    for name in public_names(module_name):
        member = getattr(module, name)
        home = home_of(member, module_name, name)
        summary = DATA.get(f"{home}.{name}") or first_line(member)
        lines.append(f"| {{py:obj}}`{name} <{home}.{name}>` | {summary} |")
        if home == module_name:
            entries += [f"## {name}", "", directive(module, name), ""]
    return "\n".join([*lines, "", *entries])


def index() -> str:
    """Return the page that lists the modules."""
    lines = ["# API reference", "", INTRODUCTION, "", "| module | contents |", "|---|---|"]
    lines += [f"| [`{name}`]({name}.md) | {text} |" for name, text in MODULES.items()]
    lines += ["", "```{toctree}", ":hidden:", "", *MODULES, "```", ""]
    return "\n".join(lines)


INTRODUCTION = """\
Every public name, from its docstring. Shapes are those of the source, in
[jaxtyping's](https://docs.kidger.site/jaxtyping/) notation: `Float[Tensor, "n f bh bw"]` is a floating-point tensor of
n images, f channels, and bh by bw blocks; the letters are listed in the [glossary](../concepts/glossary.md#axes).
What may change between versions is stated in the [API policy](../contributing/public-api.md)."""


def source_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, return_annotation: str | None
) -> tuple[str, str] | None:
    """Format a signature from the annotations' source text, which keeps shapes; None leaves Sphinx's own."""
    if what not in {"function", "method", "class"} or signature is None:
        return None
    target = obj.__init__ if inspect.isclass(obj) and "__init__" in vars(obj) else obj
    try:
        found = inspect.signature(target)
    except (TypeError, ValueError):
        return None
    parts = []
    kinds = inspect.Parameter
    starred = False
    names = list(found.parameters)
    drop_first = bool(names) and names[0] in {"self", "cls"}
    for place, parameter in enumerate(found.parameters.values()):
        if place == 0 and drop_first:
            continue
        if parameter.kind is kinds.VAR_POSITIONAL:
            starred = True
        if parameter.kind is kinds.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(formatted(parameter))
    returned = "" if found.return_annotation is found.empty or inspect.isclass(obj) else found.return_annotation
    return f"({', '.join(parts)})", text_of(returned) if returned != "" else ""


def text_of(annotation: Any) -> str:
    """Return an annotation as it stands in the source."""
    if isinstance(annotation, str):
        return re.sub(r"(?<=['\"]) +(?=\w+['\"])", "", annotation)
    if annotation is None or annotation is type(None):
        return "None"
    return getattr(annotation, "__name__", str(annotation))


def formatted(parameter: inspect.Parameter) -> str:
    """Return one parameter with annotation and default."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {text_of(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        default = repr(parameter.default)
        if " at 0x" in default or default.startswith("<"):
            default = "..."
        text += f" = {default}"
    return text


def write(app: Any) -> None:
    """Write every page that differs from what is there, and remove those of modules that are gone."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.md": page(name) for name in MODULES} | {"index.md": index()}
    for stale in {path.name for path in folder.glob("*.md")} - set(pages):
        (folder / stale).unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write, priority=100)
    app.connect("autodoc-process-signature", source_signature)
    return {"parallel_read_safe": True}
