"""Folded classifiers on the Hugging Face Hub: huggingface_hub's mixin, with a model card that says all there is to say.

Needs the extra ``hub``. What is published is the file of `write_folded`, of which nothing is executed when it is read.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prepixel.errors import ModelError, ReadFailure
from prepixel.jpeg.source import Source
from prepixel.models.build_function import BuildFunction
from prepixel.models.cost import count_parameters
from prepixel.optional import extras_for
from prepixel.runs.folded_classifier import FoldedClassifier, read_folded, write_folded
from prepixel.runtime.prediction import Prediction
from prepixel.spectrum import Spectrum

with extras_for("publishing on the Hugging Face Hub"):
    from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download

FILE = "folded.pt"
_SHOWN_CLASSES = 20

_CARD = """\
---
{{ card_data }}
---

# {{ name }}

{{ about }}

It takes the DCT coefficients of a JPEG instead of its pixels: the file is entropy-decoded, and neither transformed back
nor converted to RGB. Made with [prepixel](https://pypi.org/project/prepixel/).

{% if not trained %}
**The network has random weights: its answers mean nothing.**
{% endif %}
## How to use it

```python
from prepixel.export import HubClassifier

classifier = HubClassifier.from_pretrained("{{ repo_id }}")
for found in classifier.predict(["photo.jpg"]):
    print(found.classes, found.probabilities)
```

`pip install 'prepixel[hub,pretrained]'`. For a runtime without torch: `prepixel export {{ file }} -o FOLDER`.

## Input

| what | value |
|---|---|
| channels | {{ bands }} ({{ num_channels }} of 192) |
| grid | {{ rows }} x {{ columns }} blocks |
| crop | centered, {{ crop }} of the short side |
| resize | {{ filter }}, antialiased, of coefficients |
| values | orthonormal DCT coefficients, normalized in the network |

## Output

{{ num_classes }} logits, softmax to probabilities, which are not calibrated. Classes, in label order: {{ classes }}

## Network

{{ source }}, folded; {{ parameters }} parameters, {{ dtype }}. The fold is exact for 192 channels; with fewer the
answers are those of the RGB network on photos without the other frequencies.

## Training data, evaluation, intended use

{{ training_data }}

{{ evaluation }}

{{ intended_use }}

## Limits

- Coefficients are resized unrounded and unclipped, so answers differ slightly from those on decoded pixels.
- Files that are no JPEGs, and JPEGs without YCbCr coefficients, are decoded to pixels first.
{{ limits }}
"""


class HubClassifier(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="prepixel",
    pipeline_tag="image-classification",
    tags=["jpeg", "dct", "frequency-domain", "image-classification"],
    model_card_template=_CARD,
):
    """A folded classifier that can be saved to, and loaded from, a folder or a repository of the Hugging Face Hub.

    ``save_pretrained(folder)``, ``push_to_hub(repository)`` and ``from_pretrained(folder or repository)`` are
    huggingface_hub's. The card's facts come from the network; what only its maker knows is given as
    ``model_card_kwargs``: license, about, training_data, evaluation, intended_use, limits (a list of Markdown).

    Args:
        classifier: to publish.

    Example:
        Save a folded network with its card::

            card = {"license": "apache-2.0", "training_data": "ImageNet-1k."}
            HubClassifier(classifier).save_pretrained("folder", model_card_kwargs=card)
    """

    def __new__(cls, classifier: FoldedClassifier) -> HubClassifier:
        """Set what the mixin writes to config.json; by itself it would write all that the classifier holds."""
        made: HubClassifier = nn.Module.__new__(cls)
        made._hub_mixin_config = config_of(classifier)
        return made

    def __init__(self, classifier: FoldedClassifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.network = classifier.network

    def forward(self, spectrum: Spectrum) -> Float[Tensor, "n k"]:
        """Compute one logit per class."""
        logits: Tensor = self.network(spectrum)
        return logits

    def predict(self, sources: Sequence[Source], **options: Any) -> list[Prediction | ReadFailure]:
        """Classify photos, as `FoldedClassifier.predict` does."""
        return list(self.classifier.predict(sources, **options))

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the network's file; the mixin writes the card."""
        write_folded(self.classifier, save_directory / FILE)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        device: str | torch.device | None = None,
        build: BuildFunction | None = None,
        **unknown: Any,
    ) -> HubClassifier:
        """Read a network from a folder or a repository.

        Raises:
            ModelError: an option that there is not, or as `read_folded`.
            CheckpointError: the file is missing, damaged, or of another format.
        """
        unknown.pop("config", None)
        if unknown:
            raise ModelError(f"from_pretrained has no option {min(unknown)!r}; beside huggingface_hub's: device, build")
        if Path(model_id).is_dir():
            path = Path(model_id, FILE)
        else:
            options: dict[str, Any] = {"revision": revision, "cache_dir": cache_dir, "token": token}
            path = Path(
                hf_hub_download(
                    model_id, FILE, force_download=force_download, local_files_only=local_files_only, **options
                )
            )
        return cls(read_folded(path, device=device, build=build))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> Any:
        """Return the card, with the network's facts; keyword arguments are the maker's."""
        data = copy.deepcopy(self._hub_mixin_info.model_card_data)
        data.license = kwargs.pop("license", None)
        return ModelCard.from_template(data, template_str=_CARD, **{**card_facts(self.classifier), **kwargs})


def config_of(classifier: FoldedClassifier) -> dict[str, Any]:
    """Return what config.json says of a classifier, for people and for the Hub; loading does not need it."""
    settings = classifier.network.settings
    return {
        "model_type": "prepixel-folded",
        "source": classifier.source,
        "bands": list(settings.bands.channels),
        "grid": list(settings.grid),
        "crop": classifier.crop,
        "filter": classifier.filter,
        "num_classes": len(classifier.classes),
        "trained": classifier.trained,
    }


def card_facts(classifier: FoldedClassifier) -> dict[str, Any]:
    """Return what a card says of a classifier; what only its maker knows says that it was not stated."""
    settings, shown = classifier.network.settings, classifier.classes[:_SHOWN_CLASSES]
    more = len(classifier.classes) - len(shown)
    return {
        "name": classifier.name,
        "about": f"An image classifier of {len(classifier.classes):,} classes.",
        "repo_id": "OWNER/NAME or a folder",
        "file": FILE,
        "trained": classifier.trained,
        "bands": str(settings.bands),
        "num_channels": len(settings.bands),
        "rows": settings.grid[0],
        "columns": settings.grid[1],
        "crop": f"{classifier.crop:.3g}",
        "filter": classifier.filter,
        "num_classes": f"{len(classifier.classes):,}",
        "classes": ", ".join(shown) + (f", and {more:,} more" if more else ""),
        "source": classifier.source,
        "parameters": f"{count_parameters(classifier.network):,}",
        "dtype": str(next(classifier.network.parameters()).dtype).removeprefix("torch."),
        "training_data": "Training data: not stated by the publisher.",
        "evaluation": "Evaluation: not stated by the publisher.",
        "intended_use": "Intended use: not stated by the publisher.",
        "limits": "",
    }
