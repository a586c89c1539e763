"""Each quantizer against its paper's equations, written out here a second time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from assay.cards import SubmissionCard, TaskCard, read_card
from assay.families.integer_export import export_layers
from assay.method import Method, Plan
from assay.paths import ROOT
from assay.plugins.loading import load_method
from assay.plugins.registry import illegal
from assay.quantization import QuantizedLayer, quantize_layers
from torch import Tensor, nn

from tests.submissions.conftest import module_of, planned

QUANTIZERS = ("round_to_nearest", "post_training_rounding", "lsq", "pact", "dorefa", "reste")
RECIPES = {
    "w4a4": {"weight_bits": 4, "activation_bits": 4},
    "w2a2": {"weight_bits": 2, "activation_bits": 2},
    "w1a32": {"weight_bits": 1, "activation_bits": 32},
}


def source(slug: str) -> Path:
    return ROOT / "submissions" / slug / "method.py"


def card_of(slug: str) -> SubmissionCard:
    return read_card(source(slug).with_name("card.toml"), SubmissionCard)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def float_model() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 3),
    )
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters()):
            parameter.copy_(0.5 * draws(*parameter.shape, seed=seed))
    return model


class Calibration:
    def batches(self, n_batches: int) -> list[Tensor]:
        return [draws(8, 1, 4, 4, seed=100 + i) for i in range(n_batches)]


def cross_entropy(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction=reduction)


def plan_of(recipe: dict[str, int]) -> Plan:
    return Plan(
        family="quantization",
        budget=320,
        total_batches=40,
        batches_per_epoch=4,
        batch_size=8,
        n_examples=32,
        n_classes=3,
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(1),
        order_generator=torch.Generator().manual_seed(2),
        access=frozenset(),
        schedule=lambda elapsed: 1.0,
        loss=cross_entropy,
        reference_optimizer=lambda groups: torch.optim.SGD(
            groups, lr=0.05, momentum=0.9, weight_decay=1e-3
        ),
        task_transform=lambda model: quantize_layers(model, recipe),
        recipe=recipe,
    )


def trained(slug: str, recipe: dict[str, int], n_batches: int = 12) -> tuple[nn.Module, Method]:
    """A finalized model after a few batches."""
    method_class = load_method(source(slug))
    method = method_class(method_class.Hyperparameters())
    plan = plan_of(recipe)
    model = planned(method, plan).transform_model(float_model().train())
    optimizer: Any = planned(method, plan).configure_optimizer(model)
    for batch in range(n_batches):
        inputs = draws(8, 1, 4, 4, seed=batch)
        targets = (inputs.mean((1, 2, 3)) > 0).long() + (inputs[:, 0, 0, 0] > 1).long()
        optimizer.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        plan.examples += 8
        if plan.examples % plan.n_examples == 0:
            planned(method, plan).on_epoch_end(model)
    return method.finalize_model(model, Calibration()).eval(), method


def allowed(slug: str, recipe: dict[str, int]) -> bool:
    return all(recipe[key] in values for key, values in card_of(slug).requires.items())


ENTRIES = [
    pytest.param(slug, recipe, id=f"{slug}-{name}")
    for slug in QUANTIZERS
    for name, recipe in RECIPES.items()
    if allowed(slug, recipe)
]


@pytest.mark.parametrize(("slug", "recipe"), ENTRIES)
def test_exported_codes_are_what_the_model_computes(slug: str, recipe: dict[str, int]) -> None:
    model, _ = trained(slug, recipe)
    state = export_layers(model)
    layer = model.get_submodule("2")
    assert isinstance(layer, QuantizedLayer)
    codes, bits = state["2.weight_codes"], recipe["weight_bits"]
    assert int(codes.max()) < 2**bits == 2 ** int(state["2.weight_bits"])
    rows = (-1, 1, 1, 1)
    steps = codes.float() - state["2.weight_zero"].view(rows)
    decoded = state["2.weight_scale"].view(rows) * steps
    with torch.no_grad():
        quantized = layer.weight_quantizer(layer.weight)
    assert torch.allclose(decoded, quantized, rtol=1e-6, atol=0)
    assert len(codes.unique()) > 1

    if recipe["activation_bits"] == 32:
        assert layer.input_quantizer is None
        assert all(len(filter_.unique()) <= 2 for filter_ in quantized)
        return
    values = draws(1000, seed=9).abs() * 3
    scale, zero = state["2.input_scale"], state["2.input_zero"]
    highest = 2 ** int(state["2.input_bits"]) - 1
    rounded = ((values / scale).round() + zero).clamp(0, highest)
    assert layer.input_quantizer is not None
    with torch.no_grad():
        quantized = layer.input_quantizer(values)
    assert torch.allclose(scale * (rounded - zero), quantized, rtol=1e-6, atol=0)
    assert len(quantized.unique()) <= highest + 1


@pytest.mark.parametrize(("slug", "recipe"), ENTRIES)
def test_training_moves_the_weights_and_repeats(slug: str, recipe: dict[str, int]) -> None:
    (first, _), (second, _) = trained(slug, recipe), trained(slug, recipe)
    start = float_model().state_dict()
    assert not torch.equal(first.state_dict()["2.weight"], start["2.weight"])
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize("slug", QUANTIZERS)
def test_eval_leaves_the_quantizers_alone(slug: str) -> None:
    recipe = RECIPES["w1a32" if slug == "reste" else "w2a2"]
    model, _ = trained(slug, recipe)
    before = export_layers(model)
    with torch.no_grad():
        model(50 * draws(8, 1, 4, 4))
    assert all(torch.equal(value, before[key]) for key, value in export_layers(model).items())


def test_cards_keep_methods_to_the_bits_they_are_defined_for() -> None:
    def task(slug: str) -> TaskCard:
        return read_card(ROOT / "tasks" / slug / "card.toml", TaskCard)

    reason = illegal(card_of("reste"), task("digits_w3a3"))
    assert reason == "reste is defined for weight_bits 1, digits_w3a3 has 3"
    assert illegal(card_of("reste"), task("digits_binary")) is None
    assert illegal(card_of("lsq"), task("digits_binary")) is not None
    assert illegal(card_of("pact"), task("digits_binary")) is not None
    for slug in ("lsq", "pact", "dorefa", "round_to_nearest", "post_training_rounding"):
        assert illegal(card_of(slug), task("digits_w2a2")) is None


# --- LSQ -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_lsq_gradients_of_weights(bits: int) -> None:
    """Equations 1 to 3 and 5, and the gradient scale 1 / sqrt(n Q_P)."""
    weights = draws(4, 3, 3, 3, seed=bits)
    quantizer = module_of("lsq").LsqQuantizer(bits, weights=weights)
    q_n, q_p = 2 ** (bits - 1), 2 ** (bits - 1) - 1
    step = 2 * weights.abs().mean() / math.sqrt(q_p)
    assert torch.allclose(quantizer.step, step)
    if bits > 2:
        with torch.no_grad():
            quantizer.step.mul_(1 / bits)  # so that some weights are clipped
        step = step / bits

    v = weights.clone().requires_grad_()
    upstream = draws(4, 3, 3, 3, seed=77)
    v_hat = quantizer(v)
    v_hat.backward(upstream)

    ratio = weights / step
    inside = (ratio > -q_n) & (ratio < q_p)
    assert 0 < int((~inside).sum()) < weights.numel()
    expected = torch.where(inside, ratio.round(), torch.where(ratio <= -q_n, -q_n, q_p)) * step
    assert torch.allclose(v_hat, expected, rtol=1e-6, atol=1e-7)
    assert torch.allclose(v.grad, upstream * inside, rtol=1e-6)
    by_step = torch.where(
        inside, ratio.round() - ratio, torch.where(ratio <= -q_n, -float(q_n), float(q_p))
    )
    scale = 1 / math.sqrt(weights.numel() * q_p)
    assert torch.allclose(quantizer.step.grad, scale * (upstream * by_step).sum(), rtol=1e-4)


def test_lsq_activations_start_from_the_first_batch() -> None:
    quantizer = module_of("lsq").LsqQuantizer(2).train()
    first, second = draws(5, 7).relu(), 2 * draws(50, 7, seed=1).relu()
    quantizer(first)
    step = 2 * first.abs().mean() / math.sqrt(3)
    assert torch.allclose(quantizer.step, step)
    result = quantizer(second)
    assert torch.allclose(quantizer.step, step)
    levels = result.detach().unique()
    assert torch.allclose(levels, torch.arange(4) * step)
    result.sum().backward()
    ratio = second / step
    by_step = torch.where(ratio >= 3, 3.0, ratio.round() - ratio)
    # n counts the features of one example.
    expected = by_step.sum() / math.sqrt(7 * 3)
    assert torch.allclose(quantizer.step.grad, expected, rtol=1e-4)


def test_lsq_two_bits_are_four_levels() -> None:
    weights = draws(8, 8, 3, 3)
    quantizer = module_of("lsq").LsqQuantizer(2, weights=weights)
    assert quantizer.codes(weights).unique().tolist() == [0, 1, 2, 3]
    assert len(quantizer(weights).unique()) == 4


def test_lsq_step_sizes_have_their_own_group() -> None:
    method_class = load_method(source("lsq"))
    method = method_class(method_class.Hyperparameters(step_lr=0.2))
    plan = plan_of(RECIPES["w2a2"])
    model = planned(method, plan).transform_model(float_model())
    optimizer: Any = planned(method, plan).configure_optimizer(model)
    weights, steps = optimizer.param_groups
    assert (weights["lr"], weights["weight_decay"]) == (0.05, 1e-3)
    assert (steps["lr"], steps["weight_decay"]) == (pytest.approx(0.01), 0.0)
    assert len(steps["params"]) == 2
    assert len(weights["params"]) + 2 == len(list(model.parameters()))


# --- PACT ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_pact_clips_and_learns_alpha_from_the_clipped(bits: int) -> None:
    """Equations 1 to 3."""
    alpha, n = 1.5, 2**bits - 1
    quantizer = module_of("pact").PactActivations(bits, alpha)
    values = torch.tensor([-1.0, 0.0, 0.3, 0.74, 1.2, 1.5, 1.6, 40.0])
    x = values.clone().requires_grad_()
    upstream = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
    y_q = quantizer(x)
    y = 0.5 * (values.abs() - (values - alpha).abs() + alpha)
    assert torch.allclose(y_q, (y * n / alpha).round() * alpha / n)
    y_q.backward(upstream)
    assert quantizer.alpha.grad.item() == float(upstream[values >= alpha].sum()) == 224.0
    inside = (values > 0) & (values < alpha)
    assert torch.equal(x.grad[inside], upstream[inside])
    assert not x.grad[values < 0].any() and not x.grad[values >= alpha].any()


def test_pact_penalty_on_alpha_is_its_own() -> None:
    method_class = load_method(source("pact"))
    method = method_class(method_class.Hyperparameters(alpha=4.0, alpha_decay=5e-4))
    plan = plan_of(RECIPES["w2a2"])
    model = planned(method, plan).transform_model(float_model())
    optimizer: Any = planned(method, plan).configure_optimizer(model)
    weights, levels = optimizer.param_groups
    assert weights["weight_decay"] == 1e-3
    assert levels["weight_decay"] == 5e-4
    assert [level.item() for level in levels["params"]] == [4.0]


# --- DoReFa --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", ["dorefa", "pact"])
@pytest.mark.parametrize("bits", [2, 4])
def test_dorefa_weights(slug: str, bits: int) -> None:
    weights, n = draws(4, 3, 3, 3), 2**bits - 1
    quantizer = module_of(slug).DorefaWeights(bits)
    r_i = weights.clone().requires_grad_()
    r_o = quantizer(r_i)
    unit = weights.tanh() / (2 * weights.tanh().abs().max()) + 0.5
    assert torch.allclose(r_o, 2 * (unit * n).round() / n - 1, atol=1e-6)
    assert r_o.abs().max().item() == pytest.approx(1.0)

    # Rounding passes the gradient on; the squashing is differentiated, its maximum included.
    upstream = draws(4, 3, 3, 3, seed=5)
    r_o.backward(upstream)
    again = weights.clone().requires_grad_()
    (again.tanh() / again.tanh().abs().max()).backward(upstream)
    assert torch.allclose(r_i.grad, again.grad, atol=1e-5)


@pytest.mark.parametrize("slug", ["dorefa", "pact"])
def test_dorefa_one_bit_is_sign_times_mean(slug: str) -> None:
    weights = torch.tensor([[0.0, -1.0], [3.0, -4.0]])
    quantizer = module_of(slug).DorefaWeights(1)
    r_i = weights.clone().requires_grad_()
    r_o = quantizer(r_i)
    assert torch.equal(r_o, torch.tensor([[2.0, -2.0], [2.0, -2.0]]))
    r_o.backward(weights)
    assert torch.equal(r_i.grad, weights)


def test_dorefa_activations() -> None:
    quantizer = module_of("dorefa").DorefaActivations(2)
    x = torch.tensor([-0.5, 0.1, 0.4, 0.6, 0.9, 2.0], requires_grad=True)
    result = quantizer(x)
    assert torch.allclose(result, torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]))
    result.backward(torch.full((6,), 3.0))
    assert torch.allclose(x.grad, torch.tensor([0.0, 3.0, 3.0, 3.0, 3.0, 0.0]))


# --- ReSTE ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("o", [1.0, 2.0, 3.0])
def test_reste_gradient_is_piecewise(o: float) -> None:
    m, t = 0.1, 1.5
    quantizer = module_of("reste").ResteWeights(1, m=m, t=t)
    quantizer.o.fill_(o)
    values = torch.tensor([-2.0, -1.4, -0.5, -0.1, -0.05, 0.0, 0.05, 0.2, 1.0, 1.5, 1.6])
    x = values.clone().requires_grad_()
    result = quantizer(x)
    scale = values.abs().mean()
    assert torch.allclose(result, torch.where(values >= 0, scale, -scale))
    assert len(result.unique()) == 2
    result.backward(torch.ones_like(values))

    def slope(value: float) -> float:
        if abs(value) > t:
            return 0.0
        if abs(value) <= m:
            return m ** (1 / o) / m
        return abs(value) ** ((1 - o) / o) / o

    # `m` is not a float32, so stay off the edge itself.
    off_edge = (values.abs() - m).abs() > 1e-6
    expected = torch.tensor([slope(value) for value in values.tolist()]) * scale
    assert torch.allclose(x.grad[off_edge], expected[off_edge], rtol=1e-5)


def test_reste_power_grows_to_o_end() -> None:
    method_class = load_method(source("reste"))
    method = method_class(method_class.Hyperparameters(o_end=5.0))
    plan = plan_of(RECIPES["w1a32"])
    model = planned(method, plan).transform_model(float_model())
    quantizer = model.get_submodule("2.weight_quantizer")
    powers = [float(quantizer.o)]
    for epoch in range(1, plan.total_epochs + 1):
        plan.examples = epoch * plan.n_examples
        planned(method, plan).on_epoch_end(model)
        powers.append(float(quantizer.o))
    assert powers[0] == 1.0
    assert powers[5] == pytest.approx(1 + (1 - math.cos(math.pi / 4)) * 4)
    assert powers[-1] == pytest.approx(5.0)
    assert powers == sorted(powers)


def test_reste_refuses_other_bits() -> None:
    with pytest.raises(ValueError, match="1-bit weights"):
        module_of("reste").ResteWeights(2, m=0.1, t=1.5)


# --- Post-training rounding ----------------------------------------------------------------------


def test_post_training_rounding_trains_in_float() -> None:
    method_class = load_method(source("post_training_rounding"))
    method = method_class(method_class.Hyperparameters())
    model = float_model().train()
    model(draws(8, 1, 4, 4))
    assert planned(method, plan_of(RECIPES["w4a4"])).transform_model(model) is model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    final = method.finalize_model(model, Calibration())
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    state = final.state_dict()
    assert all(
        torch.equal(state[f"3.{key}"], before[f"3.{key}"]) for key in ("running_mean", "weight")
    )
    ranges = [float(value) for key, value in state.items() if key.endswith("maximum")]
    assert len(ranges) == 3 and min(ranges) > 0


def test_round_to_nearest_is_what_the_task_does() -> None:
    method_class = load_method(source("round_to_nearest"))
    plan = plan_of(RECIPES["w2a2"])
    model = planned(method_class(method_class.Hyperparameters()), plan).transform_model(
        float_model()
    )
    expected = quantize_layers(float_model(), RECIPES["w2a2"])
    given = export_layers(model)
    assert all(torch.equal(given[key], value) for key, value in export_layers(expected).items())
