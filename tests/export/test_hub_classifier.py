"""Folded classifiers saved with huggingface_hub's mixin: the same answers, and a card without gaps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from tests.exported_network import CLASSES, build, small_classifier
from tests.small_photos import jpeg

from prepixel.engine.checkpoint import CheckpointError
from prepixel.errors import ModelError
from prepixel.export import HubClassifier
from prepixel.export.hub_classifier import FILE
from prepixel.spectrum import read_spectra

CARD = {
    "license": "mit",
    "training_data": "Trained on nothing.",
    "evaluation": "Top-1: none.",
    "intended_use": "Tests.",
    "limits": "- It knows three classes.",
}


def test_a_saved_classifier_answers_as_before(tmp_path: Path) -> None:
    classifier = small_classifier()
    HubClassifier(classifier).save_pretrained(tmp_path / "net", model_card_kwargs=CARD)
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == ["README.md", "config.json", FILE]
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert (config["grid"], config["num_classes"]) == ([10, 14], 3)
    loaded = HubClassifier.from_pretrained(tmp_path / "net", device="cpu", build=build)
    photos = [jpeg(61, 83), b"no photo"]
    ours, theirs = list(classifier.predict(photos)), loaded.predict(photos)
    assert ours[0] == theirs[0]
    assert type(theirs[1]).__name__ == "ReadFailure"
    spectrum = read_spectra(photos[:1], grid=(10, 14), bands="S-6").spectrum
    with torch.inference_mode():
        assert torch.equal(loaded(spectrum), classifier.network(spectrum))


def test_the_card_states_the_network_and_what_its_maker_says(tmp_path: Path) -> None:
    HubClassifier(small_classifier()).save_pretrained(tmp_path, model_card_kwargs=CARD)
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.library_name) == ("mit", "prepixel")
    assert card.data.pipeline_tag == "image-classification"
    assert {"jpeg", "dct", "pytorch_model_hub_mixin"} <= set(card.data.tags)
    for text in ("S-6 (6 of 192)", "10 x 14 blocks", "0.8 of the short side", "bilinear", "3 logits", CLASSES[0]):
        assert text in card.text
    for text in CARD.values():
        assert text in card.content
    assert "{{" not in card.content
    assert "More Information Needed" not in card.content
    assert not re.search(r"random weights", card.text)


def test_what_was_not_stated_is_said_to_be_so(tmp_path: Path) -> None:
    HubClassifier(small_classifier()).save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text().count("not stated by the publisher") == 3


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=FILE):
        HubClassifier.from_pretrained(tmp_path)
    HubClassifier(small_classifier()).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="give the function that builds it: build="):
        HubClassifier.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no option 'colour'; beside huggingface_hub's: device, build"):
        HubClassifier.from_pretrained(tmp_path, colour="red")
