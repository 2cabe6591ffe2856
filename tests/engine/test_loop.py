from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.engine.toy import CLASSES, Batch, Loader, drawing_network, plain_network, run, same
from torch import nn

from prepixel.engine import (
    CheckpointError,
    LoaderEnded,
    OptimizationSettings,
    TrainingInterrupted,
    TrainSettings,
    evaluate,
    load_weights,
    start_accelerator,
)
from prepixel.engine.checkpoint import read_checkpoint, write_checkpoint
from prepixel.engine.loop import _Run
from prepixel.errors import NonFiniteLoss
from prepixel.records import MetricRow
from prepixel.tasks import Classification

OPTIMIZATIONS = {
    "sgd": OptimizationSettings(nesterov=True, warmup_epochs=0.5),
    "adamw, average, clipping": OptimizationSettings(
        optimizer="adamw", learning_rate=0.01, average_decay=0.9, max_gradient_norm=0.5, schedule="step", step_epochs=1
    ),
}


class _CutError(Exception):
    """Stand for whatever ends a process."""


def _cut_at(epoch: int, batch: int) -> object:
    def before_batch(at_epoch: int, at_batch: int) -> None:
        if (at_epoch, at_batch) == (epoch, batch):
            raise _CutError

    return before_batch


def _last(folder: Path) -> dict[str, object]:
    state = read_checkpoint(folder / "checkpoints" / "last.pt")
    for generators in state["generators"]:
        del generators["python"]  # checking annotations draws from it, once more where a run saved once more
    return state


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("optimization", OPTIMIZATIONS.values(), ids=OPTIMIZATIONS.keys())
@pytest.mark.parametrize("cut", [(0, 3), (1, 0), (1, 5), (2, 2)], ids=str)
def test_a_run_cut_off_and_resumed_ends_with_the_bits_of_a_straight_one(
    tmp_path: Path, cut: tuple[int, int], optimization: OptimizationSettings, accumulation: int
) -> None:
    settings = {"optimization": optimization, "gradient_accumulation": accumulation, "checkpoint_steps": 1}
    rows: list[MetricRow] = []
    run(tmp_path / "straight", drawing_network(), Loader(), evaluation=Loader(13), rows=rows, **settings)
    torch.manual_seed(99)  # a resumed process has drawn other numbers before
    rows_of_both: list[MetricRow] = []
    loader = Loader(before_batch=_cut_at(*cut))
    with pytest.raises(_CutError):
        run(tmp_path / "cut", drawing_network(), loader, evaluation=Loader(13), rows=rows_of_both, **settings)
    torch.manual_seed(98)
    loader = Loader()
    again = drawing_network()
    with torch.no_grad():
        again[0].weight.zero_()  # whatever it starts from must not matter
    result = run(tmp_path / "cut", again, loader, evaluation=Loader(13), rows=rows_of_both, resume=True, **settings)

    assert loader.epochs_begun[0] == (cut[0], cut[1] - cut[1] % accumulation)
    assert result.resumed_at > 0 or cut == (0, 0)
    assert same(_last(tmp_path / "straight"), _last(tmp_path / "cut"))
    best = [read_checkpoint(tmp_path / folder / "checkpoints" / "best.pt") for folder in ("straight", "cut")]
    assert same(*best)
    timed = {"images_per_second", "data_wait_share"}
    values = [
        {(r.split, r.name, r.step, r.value, r.n) for r in kept if r.name not in timed} for kept in (rows, rows_of_both)
    ]
    assert values[0] == values[1]


def test_resume_without_checkpoint_starts_and_after_the_end_does_nothing(tmp_path: Path) -> None:
    run(tmp_path / "a", drawing_network(), Loader())
    result = run(tmp_path / "b", drawing_network(), Loader(), resume=True)
    assert (result.steps, result.resumed_at) == (18, 0)
    assert same(_last(tmp_path / "a"), _last(tmp_path / "b"))
    loader = Loader()
    result = run(tmp_path / "b", drawing_network(), loader, resume=True)
    assert (result.steps, result.resumed_at, loader.epochs_begun) == (18, 18, [])
    assert same(_last(tmp_path / "a"), _last(tmp_path / "b"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_at_the_next_step_with_everything_saved(
    tmp_path: Path, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    assert threading.current_thread() is threading.main_thread()
    run(tmp_path / "straight", drawing_network(), Loader())

    def before_batch(epoch: int, batch: int) -> None:
        if (epoch, batch) == (1, 2):
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(TrainingInterrupted) as caught:
        run(tmp_path / "cut", drawing_network(), Loader(before_batch=before_batch))
    assert caught.value.signal_number == number
    assert str(caught.value) == (
        f"{number.name}: stopped after step 8 of 18 (epoch 2 of 3), and saved it in "
        f"{tmp_path / 'cut' / 'checkpoints' / 'last.pt'}. Train again with resume=True to resume it"
    )
    assert f"{number.name}: stopping after this step" in capfd.readouterr().err
    assert signal.getsignal(number) is before
    run(tmp_path / "cut", drawing_network(), Loader(), resume=True)
    assert same(_last(tmp_path / "straight"), _last(tmp_path / "cut"))


def test_a_signal_during_evaluation_loses_no_step(tmp_path: Path) -> None:
    run(tmp_path / "straight", drawing_network(), Loader(), evaluation=Loader(13))
    calls = itertools.count()

    def before_batch(epoch: int, batch: int) -> None:
        if next(calls) == 5:  # two networks of two batches an evaluation: the second epoch's
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingInterrupted, match="stopped after step 12 of 18"):
        run(tmp_path / "cut", drawing_network(), Loader(), evaluation=Loader(13, before_batch=before_batch))
    assert next(calls) == 6  # the batch that was in hand was the last
    loader = Loader()
    run(tmp_path / "cut", drawing_network(), loader, evaluation=Loader(13), resume=True)
    assert loader.epochs_begun == [(2, 0)]
    assert same(_last(tmp_path / "straight"), _last(tmp_path / "cut"))


@pytest.mark.parametrize("checkpoint_steps", [1, None])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, checkpoint_steps: int | None
) -> None:
    straight = Loader()
    order = torch.randperm(41, generator=torch.Generator().manual_seed(1001)).tolist()
    poison = frozenset({order[23]})  # in batch 3 of epoch 1, but epoch 0 must not meet it
    loader = Loader()

    def before_batch(epoch: int, batch: int) -> None:
        if epoch == 1:
            loader.inputs[list(poison)] = float("nan")

    loader.before_batch = before_batch
    with pytest.raises(NonFiniteLoss) as caught:
        run(tmp_path, plain_network(), loader, checkpoint_steps=checkpoint_steps)
    last = tmp_path / "checkpoints" / "last.pt"
    kept = 9 if checkpoint_steps else 6
    text = str(caught.value)
    assert text.startswith("the loss is not finite in step 10 (epoch 2, learning rate 0.0")
    assert f"{last} holds the run after step {kept}. Lower learning_rate" in text
    state = _last(tmp_path)
    assert state["position"]["step"] == kept
    assert all(value.isfinite().all() for value in state["network"].values())
    run(tmp_path, plain_network(), straight, checkpoint_steps=checkpoint_steps, resume=True)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    spoil: list[bool] = []

    def before_batch(epoch: int, batch: int) -> None:
        spoil[:] = [(epoch, batch) >= begin]

    def spoilt_network() -> nn.Module:
        network = plain_network()
        network[3].bias.register_hook(lambda gradient: gradient * float("nan") if spoil[0] else gradient)
        return network

    settings = {"optimization": OptimizationSettings(), "checkpoint_steps": 1, "epochs": 2}
    begin = (1, 0)
    text = r"weights or running statistics are not finite after step 7 \(epoch 2, .*holds the run after step 6\. Lower"
    with pytest.raises(NonFiniteLoss, match=text):
        run(tmp_path / "a", spoilt_network(), Loader(before_batch=before_batch), **settings)
    assert _last(tmp_path / "a")["position"]["step"] == 6
    begin = (0, 0)
    with pytest.raises(
        NonFiniteLoss, match=r"not finite after step 1 \(epoch 1, learning rate 0\.1\); no checkpoint yet"
    ):
        run(tmp_path / "b", spoilt_network(), Loader(before_batch=before_batch), **settings)
    # Without a checkpoint between, the next loss tells.
    with pytest.raises(NonFiniteLoss, match=r"the loss is not finite in step 2 \(epoch 1"):
        run(
            tmp_path / "c",
            spoilt_network(),
            Loader(before_batch=before_batch),
            **(settings | {"checkpoint_steps": None}),
        )


def test_accumulated_batches_equal_one_batch_with_an_incomplete_last_group(tmp_path: Path) -> None:
    whole, parts = plain_network(), plain_network()
    # 41 samples: batches of 14 are 14, 14, 13; batches of 7 in pairs are (7, 7), (7, 7), (7, 6).
    # 36 samples: 14, 14, 8 and (7, 7), (7, 7), (7, 1); of 35 a single one is left.
    for samples in (41, 36, 35):
        one, two = tmp_path / f"{samples}-whole", tmp_path / f"{samples}-parts"
        rows: list[MetricRow] = []
        rows_of_parts: list[MetricRow] = []
        first = run(one, whole, Loader(samples, 14), rows=rows)
        second = run(two, parts, Loader(samples, 7), gradient_accumulation=2, rows=rows_of_parts)
        assert first.steps == second.steps == 9
        for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
        for a_row, b_row in zip(rows, rows_of_parts, strict=True):
            assert (a_row.name, a_row.step, a_row.n) == (b_row.name, b_row.step, b_row.n)
            if a_row.name in {"loss", "learning_rate"}:
                assert abs(a_row.value - b_row.value) < 1e-6


def test_a_step_without_readable_samples_changes_nothing_but_the_count(tmp_path: Path) -> None:
    order = torch.randperm(41, generator=torch.Generator().manual_seed(1000)).tolist()
    network = plain_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = run(tmp_path / "all", network, Loader(bad=frozenset(range(41))), epochs=1)
    assert result.steps == 6
    assert same(before, dict(network.state_dict()))
    rows: list[MetricRow] = []
    result = run(tmp_path / "one", network, Loader(bad=frozenset(order[7:14])), epochs=1, rows=rows)
    assert result.steps == 6
    assert [row.n for row in rows if row.name == "loss"] == [21, 13]
    assert not same(before, dict(network.state_dict()))


def test_clipping_bounds_the_gradient(tmp_path: Path) -> None:
    network = plain_network()
    start = [parameter.detach().clone() for parameter in network.parameters()]
    optimization = OptimizationSettings(
        learning_rate=1.0, momentum=0.0, weight_decay=0.0, max_gradient_norm=0.01, schedule="constant"
    )
    rows: list[MetricRow] = []
    run(tmp_path, network, Loader(samples=7), optimization=optimization, epochs=1, rows=rows)
    moved = torch.cat([(a - b).flatten() for a, b in zip(network.parameters(), start, strict=True)]).detach().norm()
    assert abs(float(moved) - 0.01) < 1e-6
    assert next(row.value for row in rows if row.name == "gradient_norm") > 0.1


def test_records_say_how_the_run_goes(tmp_path: Path) -> None:
    rows: list[MetricRow] = []
    result = run(
        tmp_path, plain_network(), Loader(), evaluation=Loader(13), rows=rows, evaluate_every=2, tensorboard=True
    )
    assert [row.step for row in rows if (row.split, row.name) == ("train", "loss")] == [4, 6, 8, 12, 16, 18]
    assert [row.n for row in rows if (row.split, row.name) == ("train", "loss")] == [28, 13, 14, 27, 28, 13]
    assert [row.epoch for row in rows if row.name == "learning_rate"][:3] == [4 / 6, 1.0, 1 + 2 / 6]
    scored = [(row.name, row.epoch, row.step, row.n) for row in rows if row.split == "val"]
    names = ["plain/loss", "plain/top1", "loss", "top1"]
    assert scored == [(name, epoch, 6 * epoch, 13) for epoch in (2, 3) for name in names]
    assert all(0 <= row.value <= 1 for row in rows if row.name in {"data_wait_share", "top1"})
    assert all(row.value > 0 for row in rows if row.name == "images_per_second")
    assert result.best_score == max(row.value for row in rows if row.name == "top1")
    assert list((tmp_path / "tensorboard").iterdir())


def test_training_learns_and_the_best_weights_are_the_averaged_ones_of_their_epoch(tmp_path: Path) -> None:
    network = plain_network()
    rows: list[MetricRow] = []
    result = run(tmp_path, network, Loader(), evaluation=Loader(), rows=rows, epochs=20)
    losses = [row.value for row in rows if (row.split, row.name) == ("train", "loss")]
    assert losses[-1] < 0.75 * losses[0]
    best = plain_network()
    position = load_weights(best, tmp_path / "checkpoints" / "best.pt")
    assert position.epoch == result.best_epoch
    found = evaluate(best, Classification(CLASSES), Loader())
    assert found.top1 == result.best_score == max(row.value for row in rows if row.name == "top1")
    for averaged, name in ((False, "plain/loss"), (True, "loss")):
        load_weights(best, tmp_path / "checkpoints" / "last.pt", averaged=averaged)
        assert same(dict(best.state_dict()), dict(network.state_dict())) is not averaged
        loss = evaluate(best, Classification(CLASSES), Loader()).loss
        assert loss == [row.value for row in rows if (row.split, row.name) == ("val", name)][-1]


@pytest.mark.parametrize(
    "settings",
    [{"precision": "bfloat16"}, {"compile": True, "compile_backend": "eager"}, {"channels_last": True}],
    ids=str,
)
def test_ways_to_compute_end_near_the_plain_one(tmp_path: Path, settings: dict[str, object]) -> None:
    plain, other = plain_network(), plain_network()
    run(tmp_path / "plain", plain, Loader(), evaluation=Loader(13))
    run(tmp_path / "other", other, Loader(), evaluation=Loader(13), **settings)
    for a, b in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.02 if "precision" in settings else 1e-5)
    exact = same(dict(plain.state_dict()), dict(other.state_dict()))
    assert exact is not ("precision" in settings)


@pytest.mark.parametrize("begin", [None, 5])
def test_losses_that_stay_on_the_device_until_a_record_count_the_same(tmp_path: Path, begin: int | None) -> None:
    """Let a run take its device for one that must not be waited for."""
    steps = itertools.count()

    def before_batch(epoch: int, batch: int) -> None:
        if next(steps) == begin:
            os.kill(os.getpid(), signal.SIGTERM)

    def late(loader: Loader, rows: list[MetricRow], *, resume: bool) -> None:
        settings = TrainSettings(epochs=3, device="cpu", tensorboard=False, progress=False, record_steps=4)
        optimization = OptimizationSettings(average_decay=0.9, warmup_epochs=0.5)
        accelerator = start_accelerator(settings)
        task = Classification(CLASSES, label_smoothing=0.1)
        late_run = _Run(drawing_network(), task, loader, None, settings, optimization, accelerator)
        late_run.device = torch.device("meta")
        late_run.open(tmp_path / "late", "run", rows.extend, resume=resume, resume_hint="")
        with late_run.stop:
            late_run.finish(None, rescore=False)

    rows: list[MetricRow] = []
    rows_of_late: list[MetricRow] = []
    run(tmp_path / "straight", drawing_network(), Loader(), rows=rows)
    if begin is not None:
        with pytest.raises(TrainingInterrupted):
            late(Loader(before_batch=before_batch), rows_of_late, resume=False)
    late(Loader(), rows_of_late, resume=True)
    assert same(_last(tmp_path / "straight"), _last(tmp_path / "late"))
    losses = [{(r.step, r.value, r.n) for r in kept if r.name == "loss"} for kept in (rows, rows_of_late)]
    assert losses[0] == losses[1]


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path, plain_network(), Loader(), epochs=1)
    with pytest.raises(CheckpointError, match=r"last\.pt holds a run; resume it, or give another folder"):
        run(tmp_path, plain_network(), Loader(), epochs=1)


def test_a_run_is_not_resumed_as_another(tmp_path: Path) -> None:
    run(tmp_path, plain_network(), Loader(), epochs=1)
    with pytest.raises(CheckpointError, match=r"other settings: epochs was 1, is 2; seed was 0, is 4\. Set them back"):
        run(tmp_path, plain_network(), Loader(), epochs=2, seed=4, resume=True)
    with pytest.raises(CheckpointError, match="batches per epoch was 6, is 5"):
        run(tmp_path, plain_network(), Loader(samples=35), epochs=1, resume=True)
    other = nn.Sequential(nn.Conv2d(2, 5, 1), nn.ReLU(), nn.Flatten(), nn.Linear(75, CLASSES))
    with pytest.raises(CheckpointError, match=r"the weights are of another network: .*size mismatch"):
        run(tmp_path, other, Loader(), epochs=1, resume=True)
    # What does not change the result may differ.
    run(tmp_path, plain_network(), Loader(), epochs=1, resume=True, record_steps=3, checkpoint_steps=2)


def test_a_checkpoint_of_more_processes_is_resumed_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, plain_network(), Loader(), epochs=1)
    path = tmp_path / "checkpoints" / "last.pt"
    state = read_checkpoint(path)
    state["generators"] = state["generators"] * 2
    write_checkpoint(path, state)
    run(tmp_path, plain_network(), Loader(), epochs=1, resume=True)
    assert "was written by 2 processes and is resumed by 1: draws inside the network will differ" in caplog.text


def test_a_loader_must_give_as_many_batches_as_it_says(tmp_path: Path) -> None:
    class Short(Loader):
        def __len__(self) -> int:
            return self.samples // 7

        def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
            return itertools.islice(super().epoch(epoch, first_batch), 4)

    with pytest.raises(LoaderEnded, match="gave 4 batches in epoch 0, not 5"):
        run(tmp_path, plain_network(), Short(samples=35))
    with pytest.raises(LoaderEnded, match="the training loader has no batch: the data set is smaller"):
        run(tmp_path / "b", plain_network(), Short(samples=3))
