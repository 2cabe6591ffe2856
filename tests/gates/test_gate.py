"""Gates alone: how they start, what they draw, what evaluation decides, and how many channels they end with."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prepixel.gates import DynamicGate, Gate, GatedNetwork, GateError, GateSettings, StaticGate, build_gate
from prepixel.models import BatchTooSmall, fold
from prepixel.spectrum import BandSet, Spectrum

ALL = BandSet.parse("192")
SMALL = BandSet.parse("S-6")
KINDS = ("dynamic", "static")


def gate_of(kind: str, bands: BandSet = SMALL, costs: Tensor | None = None, **settings: Any) -> Gate:
    torch.manual_seed(3)
    return build_gate(bands, GateSettings(kind=kind, **({"loss": "paper"} | settings)), costs)  # type: ignore[arg-type]


def images(n: int = 7, bands: BandSet = SMALL, seed: int = 5) -> Tensor:
    return torch.randn(n, len(bands), 3, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_start_a_channel_is_on_with_probability_870(kind: str) -> None:
    gate = gate_of(kind, ALL)
    _, choice = gate(images(101, ALL))
    torch.testing.assert_close(choice.probabilities, torch.full((101, 192), 0.870), rtol=0, atol=2e-3)
    share = float(choice.bits.detach().mean())
    assert abs(share - 0.8699) < 5 * math.sqrt(0.87 * 0.13 / (101 * 192))


@pytest.mark.parametrize("kind", KINDS)
def test_bits_are_bits_and_their_gradient_is_the_soft_samples(kind: str) -> None:
    gate = gate_of(kind, temperature_start=0.7)
    scores = torch.linspace(-3, 3, 42).view(7, 6).requires_grad_()
    torch.manual_seed(11)
    bits = gate.choose(scores).bits
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    weights = images()[:, :, 0, 0]
    (bits * weights).sum().backward()
    torch.manual_seed(11)
    uniform = torch.rand(7, 6)
    soft = ((scores.detach() + (uniform / (1 - uniform)).log()) / 0.7).sigmoid()
    torch.testing.assert_close(scores.grad, weights * soft * (1 - soft) / 0.7)
    assert torch.equal(bits.detach(), (soft > 0.5).float())


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_of_a_gate_learns(kind: str) -> None:
    gate = gate_of(kind)
    passed, choice = gate(images())
    (passed.square().sum() + gate.penalty(choice)).backward()
    for name, weight in gate.named_parameters():
        if name != "mix.bias":  # batch norm takes any constant out again
            assert weight.grad is not None, name
            assert weight.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_are_off_become_zero_and_the_others_stay(kind: str) -> None:
    gate, given = gate_of(kind), images()
    before = given.clone()
    passed, choice = gate(given)
    on = choice.bits.detach().bool()
    assert 0 < int(on.sum()) < on.numel()
    assert torch.equal(passed[on], given[on])
    assert not passed[~on].any()
    assert torch.equal(given, before)
    assert gate(given.bfloat16())[0].dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_draws_nothing_and_takes_each_image_alone(kind: str) -> None:
    gate, given = gate_of(kind), images()
    with torch.no_grad():
        if isinstance(gate, DynamicGate):
            gate.pair.weight.normal_(std=3, generator=torch.Generator().manual_seed(1))
            gate.pair.bias.zero_()
        else:
            assert isinstance(gate, StaticGate)
            gate.score.copy_(torch.tensor([1.0, -1, 1, -1, 0, 2]))
    gate.eval()
    first, second = gate(given)[1].bits, gate(given)[1].bits
    assert torch.equal(first, second)
    assert 0 < first.mean() < 1
    alone = torch.cat([gate(given[place : place + 1])[1].bits for place in range(7)])
    assert torch.equal(alone, first)
    assert bool((first != first[0]).any()) == (kind == "dynamic")
    assert gate(given[:0])[1].bits.shape == (0, 6)
    training = gate.train()(given)[1].bits
    assert not torch.equal(training, gate(given)[1].bits)


def test_a_lone_image_can_be_learned_from() -> None:
    gate = gate_of("dynamic")
    passed, _ = gate(images(1))
    assert passed.isfinite().all()


def test_scores_stay_exact_under_autocast() -> None:
    gate = gate_of("dynamic", ALL).eval()
    with torch.autocast("cpu", torch.bfloat16):
        reduced = gate(images(3, ALL))[1].log_odds
    assert torch.equal(reduced, gate(images(3, ALL))[1].log_odds)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_in_double_takes_doubles(kind: str) -> None:
    gate = gate_of(kind).double()
    passed, choice = gate(images().double())
    assert (passed.dtype, choice.log_odds.dtype) == (torch.float64, torch.float64)


def test_temperature_follows_progress() -> None:
    linear = gate_of("static", temperature_start=4.0, temperature_end=1.0, temperature_schedule="linear")
    exponential = gate_of("static", temperature_start=4.0, temperature_end=1.0)
    found = []
    for progress in (0.0, 0.5, 1.0):
        for gate in (linear, exponential):
            gate.set_progress(progress)
            found.append(float(gate.temperature))
    assert found == pytest.approx([4, 4, 2.5, 2, 1, 1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_floors_keep_the_most_probable_channels_of_each_component(kind: str, training: bool) -> None:
    gate = gate_of(kind, BandSet.parse("S-12"), floors=(3, 1, 0)).train(training)
    scores = torch.full((5, 12), -40.0) + torch.arange(12.0)[[3, 7, 1, 5, 0, 2, 4, 6, 8, 9, 10, 11]]
    choice = gate.choose(scores.requires_grad_())
    assert choice.bits.detach().nonzero()[:, 1].view(5, 4).tolist() == [[1, 3, 7, 9]] * 5
    assert choice.probabilities[:, [1, 3, 7, 9]].eq(1).all()
    assert gate.choose(scores + 80).bits.detach().eq(1).all()


def test_published_losses_count_and_share() -> None:
    for loss, divisor in (("paper", 1), ("released", 6)):
        gate = gate_of("static", loss=loss, strength=0.25)
        choice = gate.choose(torch.tensor([[9.0, 9, 9, -9, -9, 9], [-9.0, -9, 9, -9, -9, -9]]).mul(9).requires_grad_())
        assert float(gate.penalty(choice).detach()) == pytest.approx(0.25 * (4 + 1) / 2 / divisor)


def learn(gate: Gate, steps: int, planted: Tensor | None = None, seed: int = 0) -> Gate:
    """Train a gate before a small network, on images whose label five channels carry, until it is settled."""
    f = len(gate.bands)
    generator = torch.Generator().manual_seed(seed)
    planted = torch.arange(5) if planted is None else planted
    code = torch.randn(8, len(planted), generator=generator).sign()
    torch.manual_seed(seed)
    rest = nn.Sequential(
        nn.Conv2d(f, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 6, 8)
    )
    weights = [*gate.parameters(), *rest.parameters()]
    optimizer = torch.optim.SGD(weights, 0.1, momentum=0.9)
    for step in range(steps):
        gate.set_progress(step / (steps - 1))
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / steps))
        labels = torch.randint(0, 8, (32,), generator=generator)
        given = torch.randn(32, f, 2, 3, generator=generator)
        given[:, planted] += 0.5 * code[labels][:, :, None, None]
        passed, choice = gate(given)
        loss = functional.cross_entropy(rest(passed), labels) + gate.penalty(choice)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return gate.eval()


@pytest.mark.parametrize("channels", [6, 12, 24, 48])
@pytest.mark.parametrize("kind", KINDS)
def test_budget_ends_within_one_channel_of_the_request(kind: str, channels: int) -> None:
    gate = learn(gate_of(kind, ALL, loss="budget", channels=channels), steps=80)
    for seed in (100, 101):  # images that were not learned from
        bits = gate(images(256, ALL, seed))[1].bits
        assert abs(float(bits.sum(1).mean()) - channels) <= 1


def test_budget_in_bytes_goes_by_each_channels_cost() -> None:
    costs = torch.tensor([7.0, 3.0]).repeat(12)
    bands = BandSet.parse("S-24")
    gate = learn(gate_of("static", bands, costs, loss="budget", bytes=43), steps=80)
    spent = float((gate(images(1, bands))[1].bits * costs).sum())
    assert 43 - 7 < spent <= 43


def test_budget_holds_with_floors() -> None:
    gate = learn(gate_of("static", ALL, loss="budget", channels=11, floors=(2, 3, 4)), steps=80)
    bits = gate(images(1, ALL))[1].bits[0]
    assert abs(int(bits.sum()) - 11) <= 1
    assert [int(part.sum()) >= floor for part, floor in zip(bits.split(64), (2, 3, 4), strict=True)] == [True] * 3


def test_settled_bits_are_those_of_evaluation() -> None:
    gate = learn(gate_of("static", ALL, loss="budget", channels=12), steps=80)
    given = images(64, ALL)
    chosen = gate(given)[1].bits[0]
    drawn = gate.train()(given)[1].bits.detach()
    assert float((drawn == chosen).float().mean()) > 0.99


def test_gates_find_the_channels_that_carry_the_label() -> None:
    planted = torch.tensor([3, 29, 71, 101, 167])
    gate = learn(gate_of("static", ALL, loss="budget", channels=5), steps=200, planted=planted)
    found = set(gate(images(1, ALL))[1].bits[0].nonzero().flatten().tolist())
    hits = len(found & set(planted.tolist()))
    print(f"precision {hits / len(found):.2f}, recall {hits / 5:.2f}")
    assert hits >= 4
    assert len(found) <= 6


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_tell_what_happened_since_the_last_look(kind: str) -> None:
    gate = gate_of(kind)
    assert gate.pop_metrics() == {}
    scores = torch.tensor([80.0, 80, 0, -80, -80, 80]).expand(7, 6)
    on = sum(float(gate.choose(scores).bits.sum()) for _ in range(3))
    numbers = gate.pop_metrics()
    assert numbers["gate/channels_on"] == pytest.approx(on / 21)
    assert numbers["gate/entropy"] == pytest.approx(math.log(2) / 6)
    assert numbers["gate/flipped"] == 3  # from all on: the channel at one half is not mostly on
    assert numbers["gate/temperature"] == 1
    assert gate.pop_metrics() == {}
    gate.choose(-scores)
    assert gate.pop_metrics()["gate/flipped"] == 5
    gate.eval().choose(scores)
    assert gate.pop_metrics() == {}


def test_a_gates_state_moves_with_its_weights() -> None:
    gate = learn(gate_of("dynamic", ALL, loss="budget", channels=12), steps=20)
    other = gate_of("dynamic", ALL, loss="budget", channels=12).eval()
    other.load_state_dict(gate.state_dict())
    given = images(13, ALL)
    assert torch.equal(other(given)[1].log_odds, gate(given)[1].log_odds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 0.0}, "strength is 0.0; it must be greater than 0"),
        ({"temperature_end": -1.0}, "temperature_end is -1.0; it must be greater than 0"),
        ({"floors": (65, 0, 0)}, r"floors is \[65, 0, 0\]; each of Y, Cb, Cr must be from 0 to 64"),
        ({"channels": 5}, "channels belongs to a gate with loss budget; remove it, or set kind and loss"),
        ({"kind": "static", "loss": "paper", "bytes": 5}, "bytes belongs to a gate with loss budget"),
        ({"kind": "static"}, "loss budget needs one of channels and bytes; for example channels: 24"),
        ({"kind": "static", "channels": 3, "bytes": 5}, "loss budget needs one of channels and bytes"),
        ({"kind": "static", "channels": 0}, "channels is 0; it must be 1 or greater"),
        ({"kind": "static", "channels": 3, "floors": (2, 1, 1)}, r"channels is 3, fewer than floors demand: \[2, 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GateError, match=message):
        GateSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "none"}, "gate.kind is none; set it to dynamic or static"),
        ({"floors": (0, 2, 0)}, "floors keeps 2 channels of Cb on, and band set S-6 has 1"),
        ({"loss": "budget", "channels": 7}, "channels is 7, and band set S-6 has 6"),
        ({"loss": "budget", "bytes": 91}, "bytes is 91, and all of band set S-6 takes 90"),
        ({"loss": "budget", "bytes": 29, "floors": (2, 0, 0)}, "bytes is 29, too few for the channels that must be"),
    ],
)  # fmt: skip
def test_gates_that_a_band_set_cannot_have_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GateError, match=message):
        build_gate(SMALL, GateSettings(**({"kind": "static", "loss": "paper"} | settings)), torch.full((6,), 15.0))


@pytest.mark.parametrize("costs", [torch.ones(5), torch.tensor([1.0, 1, 1, 1, 1, 0])])
def test_costs_that_cannot_be_are_refused(costs: Tensor) -> None:
    with pytest.raises(ValueError, match="costs must be one number above 0 for each of the 6 channels of S-6"):
        gate_of("static", costs=costs)


def test_few_images_a_batch_are_normed_by_what_all_batches_showed() -> None:
    generator = torch.Generator().manual_seed(3)
    means = torch.linspace(-2, 3, len(ALL))
    gate = build_gate(ALL, GateSettings(kind="dynamic", channels=12)).train()
    assert isinstance(gate, DynamicGate)
    nn.init.dirac_(gate.mix.weight)
    nn.init.zeros_(gate.mix.bias)  # type: ignore[arg-type]
    for _ in range(1500):
        images = means + 0.5 * torch.randn(2, len(ALL), generator=generator)
        gate.scores(images[:, :, None, None])
    assert gate.norm.running_mean is not None
    assert gate.norm.running_var is not None
    assert (gate.norm.running_mean - means).abs().max() < 0.25
    assert (gate.norm.running_var.sqrt() - 0.5).abs().max() < 0.15
    images = (means + 0.5 * torch.randn(2, len(ALL), generator=generator))[:, :, None, None]
    nn.init.normal_(gate.pair.weight, generator=generator)
    trained, used = gate.scores(images), gate.eval().scores(images)
    assert (trained - used).abs().max() < 0.2  # what training sees is what use sees; in units of each pair, it was not


def test_a_single_image_with_batch_norms_says_what_to_do() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(5), nn.Flatten())
    gated = GatedNetwork(fold(network, pixels=40, grid=5, bands=SMALL), gate_of("dynamic")).train()
    one = Spectrum.of_coefficients(torch.randn(1, len(SMALL), 5, 5), SMALL)
    with pytest.raises(BatchTooSmall, match=r"a single image .*take batches of 2 images or more"):
        gated(one)
    assert gated.eval()(one).shape == (1, 5)
