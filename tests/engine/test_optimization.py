from __future__ import annotations

import copy
import math
from itertools import pairwise

import jsonargparse
import pytest
import torch
from tests.engine.toy import drawing_network
from torch import nn

from prepixel.engine import OptimizationSettings, SettingsError, TrainSettings, learning_rate
from prepixel.engine.optimization import Average, build_optimizer


def _rates(settings: OptimizationSettings, steps_per_epoch: int, epochs: int) -> list[float]:
    return [learning_rate(settings, step, steps_per_epoch, epochs) for step in range(steps_per_epoch * epochs + 1)]


def test_cosine_falls_from_the_warm_ups_end_to_the_runs() -> None:
    settings = OptimizationSettings(learning_rate=2.0, warmup_epochs=1.5, warmup_factor=0.25, final_factor=0.1)
    rates = _rates(settings, 4, 5)
    assert rates[0] == 0.5
    assert rates[6] == 2.0
    assert rates[3] == pytest.approx(1.25)
    assert rates[13] == pytest.approx(1.1)  # half-way
    assert rates[20] == pytest.approx(0.2)
    assert all(low < high for low, high in pairwise(rates[:7]))
    assert all(high > low for high, low in pairwise(rates[6:]))


def test_cosine_equals_torch() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.7)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15, eta_min=0.07)
    settings = OptimizationSettings(learning_rate=0.7, final_factor=0.1)
    for rate in _rates(settings, 5, 3):
        assert rate == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_steps_drop_at_whole_epochs_of_the_run() -> None:
    settings = OptimizationSettings(
        learning_rate=1.0, schedule="step", step_epochs=2, step_factor=0.5, warmup_epochs=1.0, warmup_factor=0.0
    )
    assert _rates(settings, 3, 5) == [0.0, 1 / 3, 2 / 3, *[1.0] * 3, *[0.5] * 6, *[0.25] * 3, 0.25]
    assert set(_rates(OptimizationSettings(learning_rate=0.3, schedule="constant"), 3, 5)) == {0.3}


def test_a_warm_up_longer_than_the_run_never_ends() -> None:
    rates = _rates(OptimizationSettings(learning_rate=1.0, warmup_epochs=10.0), 3, 2)
    assert max(rates) < 0.21
    assert all(math.isfinite(rate) for rate in rates)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_norms_and_biases_go_undecayed_unless_asked_and_frozen_weights_stay_out(optimizer: str) -> None:
    network = drawing_network()
    network[5].bias.requires_grad_(False)
    settings = {"optimizer": optimizer, "weight_decay": 0.3}
    groups = build_optimizer(network, OptimizationSettings(**settings)).param_groups
    by_decay = {group["weight_decay"]: {id(p) for p in group["params"]} for group in groups}
    assert by_decay == {
        0.3: {id(network[0].weight), id(network[5].weight)},
        0.0: {id(network[1].weight), id(network[1].bias)},
    }
    groups = build_optimizer(network, OptimizationSettings(decay_norms_and_biases=True, **settings)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.3, 4)]


def test_optimizers_are_torchs_with_the_settings_given() -> None:
    sgd = build_optimizer(drawing_network(), OptimizationSettings(momentum=0.7, nesterov=True))
    assert isinstance(sgd, torch.optim.SGD)
    assert {(g["momentum"], g["nesterov"], g["lr"]) for g in sgd.param_groups} == {(0.7, True, 0.1)}
    settings = OptimizationSettings(optimizer="adamw", beta1=0.8, beta2=0.95, epsilon=1e-6)
    adamw = build_optimizer(drawing_network(), settings)
    assert isinstance(adamw, torch.optim.AdamW)
    assert {(g["betas"], g["eps"]) for g in adamw.param_groups} == {((0.8, 0.95), 1e-6)}


def test_the_average_is_the_recursion_in_float64() -> None:
    network = drawing_network()
    average = Average(network, decay=0.6)
    expected = {name: value.double() for name, value in network.state_dict().items()}
    for update in range(12):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
            network[1].running_mean.add_(1.0)
            network[1].num_batches_tracked.add_(1)
        before = copy.deepcopy(network.state_dict())
        average.update_parameters(network)
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
        decay = min(0.6, (1 + update) / (10 + update))
        for name, value in network.state_dict().items():
            counter = "num_batches" in name
            expected[name] = value.double() if counter else decay * expected[name] + (1 - decay) * value.double()
    assert average.updates == 12
    assert not average.module.training
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0; it must be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be greater than 0"),
        ({"weight_decay": -1.0}, r"weight_decay is -1\.0; it must be 0 or greater"),
        ({"momentum": 1.0}, r"momentum is 1\.0; it must be at least 0 and below 1"),
        ({"final_factor": 1.5}, r"final_factor is 1\.5; it must be from 0 to 1"),
        ({"step_epochs": 0}, "step_epochs is 0; it must be 1 or greater"),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm is 0.0; it must be greater than 0, or null for no clipping"),
        ({"average_decay": 1.0}, "average_decay is 1.0; it must be between 0 and 1, or null for no average"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs momentum; set momentum above 0 or nesterov to false"),
    ],
)
def test_optimization_that_cannot_be_is_refused(settings: dict[str, float], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        OptimizationSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"epochs": 0}, "epochs is 0; it must be 1 or greater"),
        ({"seed": -1}, "seed is -1; it must be from 0 to 4294967295"),
        ({"checkpoint_steps": 0}, "checkpoint_steps is 0; it must be 1 or greater, or null"),
    ],
)
def test_training_that_cannot_be_is_refused(settings: dict[str, int], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        TrainSettings(**settings)


@pytest.mark.parametrize("kind", [OptimizationSettings, TrainSettings])
def test_help_explains_every_setting(kind: type) -> None:
    parser = jsonargparse.ArgumentParser()
    parser.add_class_arguments(kind, "part")
    described = {action.dest: action.help for action in parser._actions}
    for name in kind.__dataclass_fields__:
        assert described[f"part.{name}"], name
    assert parser.parse_args([]).part == parser.parse_object({}).part
