from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine import toy
from torch import Tensor, nn
from torch.nn import functional

from prepixel.engine import OptimizationSettings, TrainSettings, train
from prepixel.gates import GatedNetwork, GateSettings, build_gate
from prepixel.records import MetricRow
from prepixel.spectrum import BandSet, Spectrum
from prepixel.tasks import Classification, GatedClassification, GatedResult

BANDS = BandSet("two", (0, 64))
ROOT = Path(__file__).resolve().parents[2]


class Input(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bands = BANDS

    def forward(self, inputs: Spectrum | Tensor) -> Tensor:
        return inputs.values if isinstance(inputs, Spectrum) else inputs


class Rest(nn.Module):
    """A network on two channels, in the two steps that a gate stands between."""

    def __init__(self) -> None:
        super().__init__()
        self.input = Input()
        self.layer = nn.Linear(30, toy.CLASSES)

    def from_normalized(self, normalized: Tensor) -> Tensor:
        logits: Tensor = self.layer(normalized.flatten(1))
        return logits


@dataclass(frozen=True)
class Batch:
    inputs: Spectrum
    targets: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.inputs.to(device), self.targets.to(device))

    def __len__(self) -> int:
        return len(self.targets)


class Loader(toy.Loader):
    """Give the toy's images as spectra."""

    def epoch(self, epoch: int, first_batch: int = 0) -> Any:
        for batch in super().epoch(epoch, first_batch):
            yield Batch(Spectrum.of_coefficients(batch.inputs, BANDS), batch.targets)


def gated(**settings: Any) -> GatedNetwork:
    torch.manual_seed(5)
    gate = build_gate(BANDS, GateSettings(**({"kind": "static", "loss": "paper", "strength": 0.5} | settings)))
    return GatedNetwork(Rest(), gate)


def batch() -> Batch:
    (first, *_) = Loader(samples=13, batch=13).epoch(0)
    assert isinstance(first, Batch)
    return first


def test_the_gates_loss_is_added_to_the_tasks() -> None:
    network, given = gated(), batch()
    torch.manual_seed(7)
    loss = GatedClassification(toy.CLASSES, label_smoothing=0.1).loss(network, given)
    torch.manual_seed(7)
    output, choice = network.run(given.inputs)
    expected = functional.cross_entropy(output, given.targets, label_smoothing=0.1) + 0.5 * choice.bits.sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_channels_that_were_on_are_counted_beside_the_scores() -> None:
    network, given = gated(loss="budget", channels=1).eval(), batch()
    assert network.gate.budget == 1.0
    with torch.no_grad():
        network.gate.score.copy_(torch.tensor([1.0, -1.0]))
    task = GatedClassification(toy.CLASSES, budget=network.gate.budget)
    metrics, other = task.new_metrics(), task.new_metrics()
    with torch.no_grad():
        task.measure(network, given, metrics)
        network.gate.score.fill_(1.0)
        task.measure(network, given, other)
        plain = Classification(toy.CLASSES).new_metrics()
        Classification(toy.CLASSES).measure(network, given, plain)  # the network is one like any other
    assert torch.equal(plain.confusion, other.confusion)
    alone = metrics.result()
    assert (alone.channels_on, alone.row()["channels_on"], alone.budget_score) == (1.0, 1.0, alone.top1)
    metrics.merge(pickle.loads(pickle.dumps(other)))
    result = metrics.result()
    assert (result.images, result.channels_on) == (26, 1.5)
    assert task.score == "budget_score"
    assert task.score in result.row()


def test_beyond_its_budget_a_network_scores_lower_than_any_within() -> None:
    scores = {name: torch.zeros(0) for name in ("recall", "precision")}
    row: dict[str, Any] = {"images": 1, "loss": 0.0, "top5": 0.0, **scores, "confusion": torch.zeros(0, 0).long()}
    found = [
        GatedResult(**row, top1=top1, channels_on=on, budget=budget).budget_score
        for top1, on, budget in ((0.25, 24.75, 24.0), (0.5, 27.0, 24.0), (0.5, 192.0, None))
    ]
    assert found == [0.25, -1.5, 0.5]


def test_the_task_refuses_a_network_without_gate() -> None:
    with pytest.raises(TypeError, match="the task is for gated networks, and this is a Linear"):
        GatedClassification(toy.CLASSES).loss(nn.Linear(3, 3), batch())


def learned(folder: Path, rows: list[MetricRow], epochs: int, *, resume: bool = False, **more: Any) -> GatedNetwork:
    network = gated(loss="budget", channels=1, temperature_start=2.0)
    defaults: dict[str, Any] = {"epochs": epochs, "device": "cpu", "tensorboard": False, "progress": False}
    train(
        network,
        GatedClassification(toy.CLASSES, budget=network.gate.budget),
        Loader(),
        settings=TrainSettings(**(defaults | {"record_steps": 4} | more)),
        optimization=OptimizationSettings(),
        folder=folder,
        evaluation=Loader(),
        record=rows.extend,
        resume=resume,
    )
    return network


def test_the_engine_tells_the_gate_how_far_training_is_and_records_what_it_says(tmp_path: Path) -> None:
    rows: list[MetricRow] = []
    network = learned(tmp_path, rows, epochs=3)
    assert float(network.gate.progress) == 1.0
    temperatures = [row.value for row in rows if row.name == "gate/temperature"]
    steps = [row.step for row in rows if row.name == "gate/temperature"]
    assert steps == [4, 6, 8, 12, 16, 18]  # every fourth, and each epoch's end
    assert temperatures == pytest.approx([2 * 0.5 ** ((step - 1) / 17) for step in steps])
    counts = [row.value for row in rows if row.name == "gate/channels_on"]
    assert counts[0] > 1.4
    assert counts[-1] == 1.0
    (*_, on) = [row for row in rows if (row.split, row.name) == ("val", "channels_on")]
    assert (on.value, on.n) == (1.0, 41)


def test_a_resumed_run_goes_on_with_the_same_gate(tmp_path: Path) -> None:
    straight: list[MetricRow] = []
    expected = learned(tmp_path / "straight", straight, epochs=3).state_dict()

    class Stopped(Exception):
        pass

    class Stopping(list[MetricRow]):
        def extend(self, more: Any) -> None:
            super().extend(more)
            if any(row.step == 12 for row in self):
                raise Stopped

    first = Stopping()
    with pytest.raises(Stopped):
        learned(tmp_path / "cut", first, epochs=3)
    rows: list[MetricRow] = []
    found = learned(tmp_path / "cut", rows, epochs=3, resume=True).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items() if isinstance(value, Tensor))
    tail = [(row.name, row.step, row.value) for row in straight if row.name.startswith("gate/") and row.step > 8]
    assert [(row.name, row.step, row.value) for row in rows if row.name.startswith("gate/") and row.step > 8] == tail


def test_a_compiled_gated_network_computes_the_same() -> None:
    code = (
        "import torch\n"
        "from tests.tasks.test_gated import batch, gated\n"
        "network, given = gated(kind='dynamic', loss='budget', channels=1), batch()\n"
        "expected = network.eval()(given.inputs)\n"
        "network.compile(backend='eager', fullgraph=True)\n"
        "assert torch.equal(network(given.inputs), expected)\n"
        "output, choice = network.train().run(given.inputs)\n"
        "(output.sum() + network.gate.penalty(choice)).backward()\n"
        "assert network.gate.pop_metrics()['gate/channels_on'] > 0\n"
    )  # a process of its own: the compiler cannot look through annotations that are checked
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
