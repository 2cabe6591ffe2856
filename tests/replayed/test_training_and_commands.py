"""Reports on resuming, weights, and commands from other projects' trackers, replayed with inputs made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.toy import Loader, plain_network, run
from tests.small_photos import Captured, jpeg
from torch import Tensor, nn

from prepixel.cli import main
from prepixel.data import FolderDataset, PixelLoader, PixelReader
from prepixel.engine import CheckpointError, OptimizationSettings
from prepixel.errors import RunError
from prepixel.jpeg import read_jpeg
from prepixel.models.weight_files import load_by_name_or_order, read_weights
from prepixel.recipes import read_any_recipe
from prepixel.recipes.parsing import write_recipe
from prepixel.records import MetricRow
from prepixel.runs.build_classifier import read_rgb_weights
from prepixel.runs.run_folder import RunFolder

RECIPE = Path(__file__).parents[2] / "recipes" / "demo_rgb.yaml"
COSINE = OptimizationSettings(learning_rate=0.1, schedule="cosine", warmup_epochs=0.5)


class _StopError(Exception):
    """End a run as a lost machine would."""


def stop_at(epoch: int, batch: int) -> Callable[[int, int], None]:
    def before_batch(at_epoch: int, at_batch: int) -> None:
        if (at_epoch, at_batch) == (epoch, batch):
            raise _StopError

    return before_batch


# -- resuming ----------------------------------------------------------------------------------------------------------


def test_a_resumed_epoch_keeps_its_order(tmp_path: Path) -> None:
    """The rest of an epoch, asked of a new loader, is the rest of that epoch's own order, not of epoch 0's.

    Sources: https://github.com/huggingface/accelerate/issues/4195 (the position was restored, the order was not),
    https://github.com/KempnerInstitute/KempnerForge/issues/51 (every resume replayed the first epoch).
    """
    for index in range(7):
        (tmp_path / str(index % 2)).mkdir(exist_ok=True)
        (tmp_path / str(index % 2) / f"{index}.jpg").write_bytes(jpeg(16 + 8 * index, 40))

    def batches(epoch: int, first: int) -> list[Tensor]:
        loader = PixelLoader(FolderDataset(tmp_path), PixelReader((8, 8)), batch_size=2, training=True, threads=1)
        return [batch.inputs for batch in loader.epoch(epoch, first)]

    whole = batches(2, 0)
    assert all(torch.equal(one, other) for one, other in zip(batches(2, 2), whole[2:], strict=True))
    assert not torch.equal(batches(0, 2)[0], whole[2])


def test_the_learning_rate_of_a_resumed_run(tmp_path: Path) -> None:
    """The learning rates of an interrupted and resumed run are those of an undisturbed one, step by step.

    Sources: https://github.com/pytorch/pytorch/issues/60265, https://github.com/ultralytics/yolov5/issues/292
    (other rates after a resume).
    """

    def rates(rows: list[MetricRow]) -> dict[int, float]:
        return {row.step: row.value for row in rows if row.name == "learning_rate"}

    straight, interrupted = list[MetricRow](), list[MetricRow]()
    settings: dict[str, Any] = {"optimization": COSINE, "record_steps": 1, "checkpoint_steps": 1, "epochs": 2}
    run(tmp_path / "straight", plain_network(), Loader(), rows=straight, **settings)
    with pytest.raises(_StopError):
        run(tmp_path / "cut", plain_network(), Loader(before_batch=stop_at(1, 2)), rows=interrupted, **settings)
    result = run(tmp_path / "cut", plain_network(), Loader(), rows=interrupted, resume=True, **settings)
    assert result.resumed_at == 8
    assert len(rates(straight)) == 12
    assert rates(straight) == rates(interrupted)


def test_another_number_of_epochs_on_resume(tmp_path: Path) -> None:
    """A schedule that another number of epochs would change is refused, naming both numbers.

    Source: https://github.com/mlfoundations/open_clip/issues/413.
    """
    run(tmp_path, plain_network(), Loader(), epochs=1)
    with pytest.raises(CheckpointError, match=r"epochs was 1, is 3\. Set them back to resume it, or give"):
        run(tmp_path, plain_network(), Loader(), epochs=3, resume=True)


def test_another_batch_size_with_as_many_batches(tmp_path: Path) -> None:
    """A batch size that leaves the number of batches as it was is still another run.

    Sources: https://github.com/bghira/SimpleTuner/pull/3093,
    https://github.com/zylo117/Yet-Another-EfficientDet-Pytorch/issues/103 (resumed in another epoch).
    """
    folder = RunFolder(tmp_path / "run")
    (folder.path / "checkpoints").mkdir(parents=True)
    folder.checkpoint("last").write_bytes(b"")
    write_recipe(read_any_recipe(RECIPE, ["--data.batch_size", "32"]), folder.recipe)
    folder.check_free(read_any_recipe(RECIPE, ["--data.batch_size", "32"]), resume=True)
    with pytest.raises(RunError, match=r"cannot be resumed by another recipe: data\.batch_size .*32.*33"):
        folder.check_free(read_any_recipe(RECIPE, ["--data.batch_size", "33"]), resume=True)


def test_the_rest_of_a_write_that_was_killed(tmp_path: Path) -> None:
    """Half a file beside the last checkpoint changes nothing; half a checkpoint in its place is named.

    Sources: https://github.com/Lightning-AI/pytorch-lightning/issues/688 (saving was not atomic),
    https://github.com/allenai/allennlp/issues/2129.
    """
    with pytest.raises(_StopError):
        run(tmp_path, plain_network(), Loader(before_batch=stop_at(1, 0)), checkpoint_steps=2, epochs=2)
    last = tmp_path / "checkpoints" / "last.pt"
    whole = last.read_bytes()
    last.with_name("last.pt.partial").write_bytes(whole[: len(whole) // 2])
    assert run(tmp_path, plain_network(), Loader(), checkpoint_steps=2, epochs=2, resume=True).resumed_at == 6
    last.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"last\.pt: not a checkpoint, or a damaged one"):
        run(tmp_path, plain_network(), Loader(), checkpoint_steps=2, epochs=2, resume=True)


# -- weights -----------------------------------------------------------------------------------------------------------


class _TwoParts(nn.Module):
    """Stand for AlexNet and VGG: `features`, which DataParallel is often put around, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.classifier = nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("wrapped", "key"),
    [
        pytest.param(lambda name: f"module.{name}", "state_dict", id="pytorch/pytorch#3805"),
        pytest.param(lambda name: name.replace("features.", "features.module."), "state_dict", id="classification#27"),
        pytest.param(lambda name: f"module._orig_mod.{name}", "model", id="DDP of a compiled network"),
    ],
)
def test_weights_saved_within_a_wrapper(wrapped: Callable[[str], str], key: str, tmp_path: Path) -> None:
    """Weights of a network within DataParallel, wholly or in part, or within torch.compile have the network's names.

    Sources: https://github.com/pytorch/pytorch/issues/3805,
    https://github.com/bearpaw/pytorch-classification/issues/27 (features.module.0.weight).
    """
    network, other = _TwoParts(), _TwoParts()
    torch.save({"epoch": 3, key: {wrapped(n): v for n, v in network.state_dict().items()}}, tmp_path / "w.pt")
    weights = read_weights(tmp_path / "w.pt")
    assert set(weights) == set(read_rgb_weights(tmp_path / "w.pt")) == set(network.state_dict())
    load_by_name_or_order(other, weights, "two parts", "w.pt")
    assert all(torch.equal(other.state_dict()[name], value) for name, value in network.state_dict().items())


def test_a_part_named_module_is_no_wrapper(tmp_path: Path) -> None:
    """A submodule called `module` beside others keeps its name."""
    names = ("module.weight", "head.weight", "head.module.weight", "head.module.bias")
    torch.save({name: torch.ones(2) for name in names}, tmp_path / "w.pt")
    assert tuple(read_weights(tmp_path / "w.pt")) == names


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["thumb (900).jpg", "a [b].jpg", "it's 100%.jpg", "{x}*?.jpg", "é\u2028.jpg"])
def test_file_names_that_are_syntax_elsewhere(name: str, tmp_path: Path, capsys: Captured) -> None:
    """Parentheses, brackets, quotes, blanks, and wildcards in file names given to commands are names.

    Sources: https://github.com/libvips/libvips/issues/395 (options were read out of the name),
    https://github.com/vlad-salone/rimage/issues/91, https://github.com/kornelski/pngquant/issues/95 (brackets, blanks).
    """
    source, target = tmp_path / name, tmp_path / f"out {name}"
    source.write_bytes(jpeg())
    assert main(["inspect", str(source)]) == 0
    assert main(["bandlimit", str(source), str(target)]) == 0
    capsys.readouterr()
    assert read_jpeg(target).upright_size == read_jpeg(source).upright_size
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"out {name}"])


def test_a_file_name_that_looks_like_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Behind ``--``, a name with a leading dash is a file.

    Source: https://github.com/hackerb9/lsix/issues/40 (names were split and read as words of a command).
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-r.jpg").write_bytes(jpeg())
    assert main(["inspect", "--", "-r.jpg"]) == 0
    assert "-r.jpg" in capsys.readouterr().out
