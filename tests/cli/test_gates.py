"""From a gated run to a set and to a network on it: trained, selected, drawn, trained again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from tests.small_photos import Captured

from prepixel import load_run
from prepixel.cli import main
from prepixel.data import write_synthetic
from prepixel.errors import RunError
from prepixel.gates import GatedNetwork
from prepixel.recipes import read_recipe
from prepixel.records import RunRow, ScoreRow, read_records
from prepixel.runs import ChannelUse, measure_use
from prepixel.runs import train_classifier as running
from prepixel.spectrum import BandSet

RECIPE = """
data: {{train: {data}/train, val: {data}/val, batch_size: 20}}
input: {{kind: spectrum, bands: "192", grid: [3, 5], encoding: int8}}
gate: {{kind: {kind}, channels: 20, strength: 1.0, floors: [2, 1, 1]}}
optimization: {{learning_rate: 0.05}}
training: {{epochs: 10, evaluate_every: 5, device: cpu, tensorboard: false, record_steps: 5}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run with either gate, and one without."""
    folder = tmp_path_factory.mktemp("runs")
    write_synthetic(folder / "data", num_train_per_class=4, num_val_per_class=2, min_side=64, max_side=128)
    for kind in ("dynamic", "static"):
        (folder / f"{kind}.yaml").write_text(RECIPE.format(data=folder / "data", kind=kind))
        assert main(["train", str(folder / f"{kind}.yaml"), "-o", str(folder / kind)]) == 0
    plain = ["train", str(folder / "static.yaml"), "-o", str(folder / "plain"), "--gate", "{kind: none}"]
    assert main([*plain, "--training.epochs", "1", "--input.bands", "S-6"]) == 0
    return folder


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_gated_run_ends_with_the_channels_asked_for_and_records_the_way(runs: Path, kind: str) -> None:
    records = read_records(runs / kind / "records.jsonl")
    on = records.metrics("train", "gate/channels_on")
    assert [row.step for row in on] == [2, 4, 5, 6, 8, 10, 12, 14, 15, 16, 18, 20]
    assert [on[0].value > 140, 22 < on[4].value < 60, abs(on[-1].value - 20) <= 1] == [True] * 3
    assert {"gate/entropy", "gate/flipped", "gate/temperature"} <= {
        row.name for row in records.rows if hasattr(row, "name")
    }
    last = records.metrics("val", "channels_on")[-1]
    assert (last.n, last.epoch) == (20, 10)
    assert abs(last.value - 20) <= 1
    (start,) = records.of_kind(RunRow)
    assert start.facts["network"] == f"resnet18, {kind} gate"
    assert start.recipe["gate"]["channels"] == 20


def test_the_weights_that_are_kept_as_best_are_within_the_budget(runs: Path) -> None:
    trained = load_run(runs / "static", weights="best")
    assert isinstance(trained.network, GatedNetwork)
    result, _ = trained.evaluate()
    assert result.row()["channels_on"] <= 21
    assert trained.position.epoch == 9


def test_evaluate_and_predict_take_gated_runs(capsys: Captured, runs: Path) -> None:
    assert main(["evaluate", str(runs / "dynamic")]) == 0
    assert re.search(r"^channels_on +(19|20|21)\.\d+$", capsys.readouterr().out, re.MULTILINE)
    photo = next((runs / "data" / "val" / "ring").iterdir())
    assert main(["predict", str(runs / "dynamic"), str(photo), "--top", "1"]) == 0
    assert photo.name in capsys.readouterr().out  # the path may be shortened in the middle


def test_select_writes_the_channels_most_often_on(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "learned.json"
    assert main(["select", str(runs / "static"), "--channels", "20", "-o", str(file)]) == 0
    out = capsys.readouterr().out
    bands = BandSet.read(file)
    trained = load_run(runs / "static")
    assert isinstance(trained.network, GatedNetwork)
    bits = trained.network.gate(torch.zeros(1, 192, 3, 5))[1].bits[0]
    assert bands.channels == tuple(bits.nonzero().flatten().tolist())
    assert (bands.name, len(bands)) == ("gates-20", 20)
    assert bands.origin == f"most often on in static over 20 images of {runs / 'data' / 'val'}"
    assert out.startswith(f"{file}: 20 channels, Y/Cb/Cr {'/'.join(map(str, bands.counts))}\n")
    assert "the gate keeps 20.0 channels per image, 20.0 of them among these; 20 images of" in out


def test_the_static_network_starts_as_the_gated_one(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    words = ["select", str(runs / "static"), "--channels", "20", "-o", str(tmp_path / "learned.json")]
    assert main(words) == 0
    train = ["train", str(runs / "static.yaml"), "-o", str(tmp_path / "fixed"), "--gate", "{kind: none}"]
    train += ["--input.bands", str(tmp_path / "learned.json"), "--network.from_run", str(runs / "static")]
    train += ["--training.epochs", "1", "--optimization.learning_rate", "1e-9"]
    assert main(train) == 0
    assert "input channels kept: input.shift, input.scale, trunk.layer1.0.conv1.weight" in capsys.readouterr().out
    recipe = read_recipe(runs / "static.yaml", train[4:])
    gated = load_run(runs / "static")
    bands = BandSet.read(tmp_path / "learned.json")
    network = running.build_network(recipe, 10, bands, None).eval()
    assert running.reuse_run(recipe, network) is not None
    for batch in gated.loader().epoch(0):
        with torch.no_grad():
            expected = gated.network(batch.inputs)
            torch.testing.assert_close(network(batch.inputs.select(bands)), expected, rtol=1e-3, atol=1e-3)


def test_agreement_with_a_set_is_that_of_scipy_and_scikit_learn() -> None:
    drawn = np.random.default_rng(7)
    use = ChannelUse(
        BandSet.parse("192"), torch.from_numpy(drawn.integers(0, 4, 192) / 3), torch.from_numpy(drawn.random(192)), 3
    )
    published = BandSet.parse("L-24")
    member = np.isin(np.arange(192), published.channels)
    order = use.on.numpy() + 1e-3 * use.odds.numpy()
    found = use.agreement(published)
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(order, member).statistic, abs=1e-12)
    assert found.auc == pytest.approx(sklearn.metrics.roc_auc_score(member, order), abs=1e-12)
    assert found.shared == len(set(np.argsort(order)[-24:].tolist()) & set(published.channels))
    perfect = ChannelUse(use.bands, torch.from_numpy(member.astype(float)), use.odds, 3).agreement(published)
    assert (perfect.auc, perfect.shared) == (1, 24)
    assert perfect.spearman == pytest.approx(0.573, abs=5e-4)
    with pytest.raises(RunError, match="the gate chooses from 192, of which 192 is no part that could be chosen"):
        use.agreement(BandSet.parse("192"))
    with pytest.raises(RunError, match="the gate chooses from S-6, of which L-24 is no part"):
        ChannelUse(BandSet.parse("S-6"), use.on[:6], use.odds[:6], 3).agreement(published)


def test_heatmap_draws_runs_and_writes_their_numbers(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    words = ["heatmap", str(runs / "dynamic"), str(runs / "static"), "-o", str(tmp_path / "heat.svg")]
    assert main([*words, "--title", "both"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [["dynamic", "20"], ["static", "20"]]
    text = (tmp_path / "heat.svg").read_text(encoding="utf-8")
    assert ">both<" in text
    assert ">static: 20.0 channels on, 20 images<" in text
    rows = read_records(tmp_path / "heat.jsonl").of_kind(ScoreRow)
    assert [row.subject for row in rows] == ["dynamic", "static"]
    for row in rows:
        shares = [float(row.scores[f"on/{channel}"]) for channel in range(192)]
        assert sum(shares) == pytest.approx(float(row.scores["channels_on"]))
    assert sum(shares) == 20
    use, _ = measure_use(load_run(runs / "static"), runs / "data" / "train")
    assert use.images == 40


def test_channels_that_were_on_equally_often_are_told_apart_by_their_odds() -> None:
    bands = BandSet("four", (7, 3, 64, 130))
    on, odds = torch.tensor([0.5, 1, 0.5, 0.5]).double(), torch.tensor([0.1, 0, 0.3, 0.1]).double()
    use = ChannelUse(bands, on, odds, 2)
    assert [use.best(count, "x").channels for count in (1, 2, 3)] == [(3,), (3, 64), (3, 7, 64)]
    assert use.channels_on == 2.5


def test_mistakes_are_one_line(capsys: Captured, runs: Path, tmp_path: Path) -> None:
    def told(*words: object) -> str:
        assert main([str(word) for word in words]) == 2
        return capsys.readouterr().err

    file = tmp_path / "set.json"
    assert "plain: has no gate; ask which channels it needs by: prepixel sensitivity" in told(
        "select", runs / "plain", "--channels", 3, "-o", file
    )
    assert "argument --channels: '193' is out of range; give an integer from 1 to 192" in told(
        "select", runs / "static", "--channels", 193, "-o", file
    )
    assert "set.txt' must end in .json" in told("select", runs / "static", "--channels", 3, "-o", tmp_path / "set.txt")
    assert "heat.xyz' must end in .png or .svg or .pdf" in told("heatmap", runs / "static", "-o", tmp_path / "heat.xyz")
    assert not list(tmp_path.iterdir())
    assert "static: has a gate, which shows the channels it uses: prepixel heatmap" in told(
        "sensitivity", runs / "static", runs / "data" / "val", "-o", file
    )
    train = ["train", runs / "static.yaml", "--gate", "{kind: none}", "--input.bands", "S-12"]
    start = [*train, "-o", tmp_path / "run", "--network.from_run"]
    assert "network.from_run: " in (text := told(*start, runs / "plain"))
    assert "plain: it does not see channels [2, 10, 16, 17, 65, 129] of S-12, only those of S-6; choose from" in text
    shutil.rmtree(tmp_path / "run")
    assert "none: no such folder; give a folder that prepixel train made" in told(*start, tmp_path / "none")
