"""Every method trained for some batches by the contract alone, without the engine.

The acceptance plugins show what the contract can carry; the broken ones, that a file which is not
a method is refused with the reason.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from assay.cards import TRACKS, SubmissionCard, read_card
from assay.errors import PluginError
from assay.method import Batch, Method, TrainingSet, method_space, overridden_hooks
from assay.paths import ROOT
from assay.plugins.loading import load_method
from torch import Tensor, nn

from tests.submissions.conftest import planned

PLUGINS = ROOT / "tests" / "plugins"
ACCEPTANCE = {
    "adahessian": 2,
    "adamw": 1,
    "el2n_pruning": 1,
    "ema": 1,
    "finite_difference_gr": 2,
    "forward_gradient": 1,
    "growing_batches": 1,
    "ldam_drw": 1,
    "local_loss": 1,
    "mixup": 1,
    "muon_adamw": 1,
    "sam": 2,
    "swa": 1,
}
"""Passes per batch of the plugins that must work."""
SUBMITTED = sorted(
    path.parent.name
    for path in ROOT.glob("submissions/*/card.toml")
    if read_card(path, SubmissionCard).families != ["quantization"]
)
DRAWS_GLOBALLY = {"gravity"}
"""Submissions whose library draws from torch's global generator, which the engine seeds."""
N_BATCHES = 16
pytestmark = [
    pytest.mark.filterwarnings("ignore:Using backward.. with create_graph"),
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated"),  # on the first jvp
]


class Calibration:
    def __init__(self, inputs: Tensor) -> None:
        self._inputs = inputs

    def batches(self, n_batches: int) -> list[Tensor]:
        return list(self._inputs.split(5)[:n_batches])


def network() -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.device("meta"):  # whose layers draw nothing from the global generator
        model = nn.Sequential(
            nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)
        )
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return model


def images(features: Tensor) -> Tensor:
    """Examples as images, laid out in memory as the tasks' are; gradients of kernels are so too."""
    return features.view(-1, 2, 2, 1).to(memory_format=torch.channels_last)


def convolutions() -> nn.Module:
    """With batch norm, for `images`."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(2, 3, 2, padding=1),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Conv2d(3, 4, 2),
            nn.Flatten(),
            nn.Linear(8, 2),
        )


def test_gradients_of_convolutions_need_not_be_contiguous() -> None:
    model = convolutions()
    (g,) = torch.autograd.grad(model(images(torch.randn(5, 4))).sum(), [model[0].weight])
    assert not g.is_contiguous()


@pytest.fixture
def train(make_plan, make_step) -> Callable[..., tuple[Method, nn.Module, int, list[int]]]:
    """Train a method file on a small two-class problem; give what the engine would export."""
    features = torch.randn(20, 4, generator=torch.Generator().manual_seed(6))
    targets = (features[:, 0] > 0).long()

    def run(
        source: Path,
        network: Callable[[], nn.Module] = network,
        as_inputs: Callable[[Tensor], Tensor] = lambda features: features,
    ) -> tuple[Method, nn.Module, int, list[int]]:
        method_class = load_method(source)
        method = method_class(method_class.Hyperparameters())
        counts = torch.bincount(targets)
        n_weights = sum(p.numel() for p in network().parameters())
        plan = make_plan(
            n_classes=2,
            class_counts=counts,
            noise_rate=0.2,
            recipe={"dimension": n_weights},
        )
        model = planned(method, plan).transform_model(network())
        step = make_step(method, model, plan)
        stream = planned(method, plan).sampler(TrainingSet(as_inputs(features), targets))
        sizes = []
        for _ in range(N_BATCHES):
            indices = next(stream)
            sizes.append(len(indices))
            step.train(Batch(as_inputs(features[indices]), targets[indices], indices))
        return (
            method,
            method.finalize_model(model, Calibration(as_inputs(features))),
            step.passes,
            sizes,
        )

    return run


CASES = [
    *(PLUGINS / name / "method.py" for name in ACCEPTANCE),
    *(ROOT / "submissions" / name / "method.py" for name in SUBMITTED),
]
IDS = [f"{source.parent.parent.name}/{source.parent.name}" for source in CASES]


@pytest.mark.parametrize("source", CASES, ids=IDS)
def test_trains_and_hands_out_the_tasks_network(source, train) -> None:
    method, final, counted, _ = train(source)
    start, end = network().state_dict(), final.state_dict()
    assert {k: v.shape for k, v in end.items()} == {k: v.shape for k, v in start.items()}
    assert all(torch.isfinite(tensor).all() for tensor in end.values())
    assert all(not torch.equal(end[name], start[name]) for name in end)
    said = float(method.passes_per_batch)
    # A schedule ends where the budget does only if this is about what a batch takes. Line searches
    # and probes of the first batch make it no whole number, and L-BFGS stops at a minimum.
    low, high = (1.0, 1.0) if said == 1 else (0.4, 1.2)
    assert low * said * N_BATCHES <= counted <= high * said * N_BATCHES
    if source.parent.parent == PLUGINS:
        assert counted == ACCEPTANCE[source.parent.name] * N_BATCHES


@pytest.mark.parametrize("source", CASES, ids=IDS)
def test_trains_convolutions_and_batch_norm(source, train) -> None:
    start, end = convolutions().state_dict(), train(source, convolutions, images)[1].state_dict()
    assert {k: v.shape for k, v in end.items()} == {k: v.shape for k, v in start.items()}
    assert all(torch.isfinite(tensor).all() for tensor in end.values())
    assert not torch.equal(end["0.weight"], start["0.weight"])


@pytest.mark.parametrize("source", CASES, ids=IDS)
def test_repeats_bit_for_bit_and_leaves_global_generators_alone(source, train) -> None:
    first = train(source)[1].state_dict()
    if source.parent.name in DRAWS_GLOBALLY:
        torch.manual_seed(5)
        first = train(source)[1].state_dict()
        torch.manual_seed(5)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    second = train(source)[1].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    left_alone = torch.equal(torch.get_rng_state(), states[0])
    assert left_alone == (source.parent.name not in DRAWS_GLOBALLY)
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


@pytest.mark.parametrize("name", ACCEPTANCE)
def test_plugin_keeps_to_its_track(name) -> None:
    card = read_card(PLUGINS / name / "card.toml", SubmissionCard)
    method = load_method(PLUGINS / name / "method.py")
    assert set(overridden_hooks(method)) <= TRACKS[card.track]
    for family in card.families:
        method_space(method, family)


def test_growing_batches_grow_with_the_budget_spent(make_plan) -> None:
    method_class = load_method(PLUGINS / "growing_batches" / "method.py")
    plan = make_plan(budget=3200, batch_size=32)
    dataset = TrainingSet(torch.zeros(50, 1), torch.zeros(50))
    stream = planned(method_class(method_class.Hyperparameters()), plan).sampler(dataset)
    sizes = []
    while plan.spent < plan.budget:
        sizes.append(len(next(stream)))
        plan.spent += sizes[-1]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (16, 48)


def test_el2n_pruning_keeps_the_hardest_and_replays(make_plan, batch) -> None:
    method_class = load_method(PLUGINS / "el2n_pruning" / "method.py")
    dataset = TrainingSet(torch.zeros(20, 4), torch.arange(20) % 3)
    hard = torch.arange(20).double()

    def stream_after(n_replayed: int) -> tuple[list[Tensor], object]:
        method, plan = method_class(method_class.Hyperparameters()), make_plan()
        stream = planned(method, plan).sampler(dataset)
        for _ in range(n_replayed):
            next(stream)
        method.scores = hard.float()
        plan.examples = 60
        return [next(stream) for _ in range(4)], plan

    drawn, _ = stream_after(12)
    assert set(torch.cat(drawn).tolist()) == set(range(10, 20))
    assert all(torch.equal(a, b) for a, b in zip(drawn, stream_after(12)[0], strict=True))


def test_mixup_mixes_inputs_and_labels_alike(make_plan, batch) -> None:
    method_class = load_method(PLUGINS / "mixup" / "method.py")
    method, plan = method_class(method_class.Hyperparameters()), make_plan()
    one_hot = nn.functional.one_hot(batch.targets, 3).float()
    inputs = torch.cat([one_hot, batch.inputs], dim=1)
    mixed = planned(method, plan).transform_batch(replace(batch, inputs=inputs))
    torch.testing.assert_close(mixed.inputs[:, :3], mixed.targets)
    torch.testing.assert_close(mixed.targets.sum(dim=1), torch.ones(5))
    loss = method.compute_loss(torch.randn(5, 3, requires_grad=True), mixed)
    assert loss.ndim == 0


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_mixup_shares_are_beta_distributed(alpha) -> None:
    source = PLUGINS / "mixup" / "method.py"
    method_class = load_method(source)
    draw = vars(sys.modules[method_class.__module__])["symmetric_beta"]
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([draw(alpha, generator) for _ in range(4000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (8 * alpha + 4), rel=0.08)


def test_forward_gradient_is_unbiased(make_plan, make_step) -> None:
    method_class = load_method(PLUGINS / "forward_gradient" / "method.py")
    method = method_class(method_class.Hyperparameters(lr=1e-12))
    model, plan = nn.Sequential(nn.Linear(2, 2)), make_plan(n_classes=2)
    inputs, targets = torch.tensor([[1.0, -2.0], [0.5, 1.0]]), torch.tensor([0, 1])
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.3, -0.2], [0.1, 0.4]]))
        model[0].bias.zero_()
    plan.loss(model(inputs), targets).backward()
    exact = model[0].weight.grad.clone()
    step = make_step(method, model, plan)
    total = torch.zeros_like(exact)
    for _ in range(3000):
        step.train(Batch(inputs, targets, torch.arange(2)))
        total += model[0].weight.grad
    assert step.passes == 3000
    torch.testing.assert_close(total / 3000, exact, rtol=0, atol=4 * 1.8 * exact.norm().item() / 54)


def test_sam_takes_the_gradient_at_the_perturbed_point(make_plan, make_step) -> None:
    method_class = load_method(PLUGINS / "sam" / "method.py")
    method = method_class(method_class.Hyperparameters(rho=0.1))
    plan = make_plan(loss=lambda outputs, targets, reduction="mean": (outputs**2).sum())
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(2.0)
    step = make_step(method, model, plan)
    step.train(Batch(torch.ones(1, 1), torch.zeros(1), torch.zeros(1, dtype=torch.long)))
    # the gradient 2 w at w = 2 + 0.1, from w = 2, at the reference lr of 0.1
    assert model.weight.item() == pytest.approx(2.0 - 0.1 * 2 * 2.1, abs=1e-6)


def test_finite_difference_matches_the_hessian_product(make_plan, make_step) -> None:
    method_class = load_method(PLUGINS / "finite_difference_gr" / "method.py")
    method = method_class(method_class.Hyperparameters(gamma=0.5))
    plan = make_plan(loss=lambda outputs, targets, reduction="mean": (outputs**2).sum())
    model = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        model.weight.fill_(2.0)
    inputs = torch.ones(1, 1, dtype=torch.float64)
    make_step(method, model, plan).train(
        Batch(inputs, torch.zeros(1), torch.zeros(1, dtype=torch.long))
    )
    # g + gamma H g = 4 + 0.5 * 2 * 4, at the reference lr of 0.1
    assert model.weight.item() == pytest.approx(2.0 - 0.1 * 8.0, abs=1e-9)


def test_adahessian_divides_by_the_diagonal_of_a_quadratic(make_plan, make_step) -> None:
    method_class = load_method(PLUGINS / "adahessian" / "method.py")
    method = method_class(method_class.Hyperparameters(lr=1.0))
    curvatures = torch.tensor([[1.0], [10.0], [100.0]])
    plan = make_plan(
        loss=lambda outputs, targets, reduction="mean": (curvatures.T * outputs**2).sum() / 2
    )
    model = nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0], [-2.0], [3.0]]))
    make_step(method, model, plan).train(
        Batch(torch.ones(1, 1), torch.zeros(1), torch.zeros(1, dtype=torch.long))
    )
    # a Newton step on a diagonal quadratic reaches the minimum
    torch.testing.assert_close(model.weight.detach(), torch.zeros(3, 1), rtol=0, atol=1e-3)


REFUSED = {
    "bad_default": "lies outside its range",
    "bad_space": "`low <= high` must hold",
    "missing_default": "needs a default",
    "needs_missing_import": "ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
    "no_method": "expected exactly one subclass of Method, found none",
    "syntax_error": "SyntaxError",
    "two_methods": "expected exactly one subclass of Method, found First, Second",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_method_is_refused_with_the_reason(name) -> None:
    assert read_card(PLUGINS / name / "card.toml", SubmissionCard).slug == name
    with pytest.raises(PluginError) as refusal:
        method_space(load_method(PLUGINS / name / "method.py"), "classification")
    assert REFUSED[name] in str(refusal.value)
