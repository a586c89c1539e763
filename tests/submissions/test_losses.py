"""Losses, samplers and co-teaching against their published equations, written out in numpy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from assay.method import Batch, Method, TrainingSet, overridden_hooks
from torch import nn

from tests.submissions.conftest import planned


def softmax(z: np.ndarray) -> np.ndarray:
    shifted = np.exp(z - z.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def loss_of(method: Method, outputs: torch.Tensor, batch: Batch, plan) -> float:
    batch = planned(method, plan).transform_batch(batch)
    return method.compute_loss(outputs, batch).item()


def gradient_of(method: Method, outputs: torch.Tensor, batch: Batch, plan) -> torch.Tensor:
    outputs = outputs.clone().requires_grad_()
    batch = planned(method, plan).transform_batch(batch)
    method.compute_loss(outputs, batch).backward()
    return outputs.grad


def test_cross_entropy_overrides_nothing(make_method) -> None:
    assert overridden_hooks(type(make_method("cross_entropy"))) == []


def test_elr_follows_its_equations(make_method, make_plan, batch, logits) -> None:
    method, plan = make_method("elr", lam=2.0, beta=0.9), make_plan()
    targets = np.zeros((20, 3))
    for step in range(6):
        indices = (batch.indices + step) % 20
        given = loss_of(method, logits[step].float(), replace(batch, indices=indices), plan)
        p = np.clip(softmax(logits[step].numpy()), 1e-4, 1 - 1e-4)
        rows = indices.numpy()
        targets[rows] = 0.9 * targets[rows] + 0.1 * p / p.sum(axis=1, keepdims=True)
        cross_entropy = -np.log(softmax(logits[step].numpy()))[range(5), batch.targets].mean()
        regularizer = np.log(1 - (targets[rows] * p).sum(axis=1)).mean()
        assert given == pytest.approx(cross_entropy + 2.0 * regularizer, abs=1e-6)


def test_elr_sends_no_gradient_through_its_targets(make_method, make_plan, batch, logits) -> None:
    # d/dz log(1 - <t, p>) = -p (t - <t, p>) / (1 - <t, p>) with t held fixed
    method = make_method("elr", lam=3.0, beta=0.7)
    given = gradient_of(method, logits[0].float(), batch, make_plan()).numpy()
    p = softmax(logits[0].numpy())
    t = 0.3 * p
    inner = (t * p).sum(axis=1, keepdims=True)
    regularizer = -p * (t - inner) / (1 - inner)
    expected = (p - np.eye(3)[batch.targets] + 3.0 * regularizer) / 5
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_gce_follows_its_equation(make_method, make_plan, batch, logits) -> None:
    for q in (0.3, 0.7):
        given = loss_of(make_method("gce", q=q), logits[0], batch, make_plan())
        p = softmax(logits[0].numpy())[range(5), batch.targets]
        assert given == pytest.approx(((1 - p**q) / q).mean(), abs=1e-12)


def test_gce_gradient_is_finite_where_a_probability_underflows(
    make_method, make_plan, batch
) -> None:
    outputs = torch.zeros(5, 3)
    outputs[0, 1] = 1e4  # the label of sample 0 is class 0
    gradient = gradient_of(make_method("gce"), outputs, batch, make_plan())
    assert torch.isfinite(gradient).all()
    assert gradient[0].abs().sum() == 0


def test_class_balanced_follows_its_equation(make_method, make_plan, batch, logits) -> None:
    counts = torch.tensor([100, 10, 1])
    for beta in (0.9, 0.9999):
        method = make_method("class_balanced", beta=beta)
        given = loss_of(method, logits[0], batch, make_plan(class_counts=counts))
        weights = (1 - beta) / (1 - beta ** counts.numpy().astype(float))
        weights = weights / weights.sum() * 3
        losses = -np.log(softmax(logits[0].numpy()))[range(5), batch.targets]
        assert given == pytest.approx((weights[batch.targets] * losses).mean(), rel=1e-6)


def test_logit_adjustment_follows_its_equation(make_method, make_plan, batch, logits) -> None:
    counts = torch.tensor([100, 10, 1])
    for tau in (0.5, 1.0):
        method = make_method("logit_adjustment", tau=tau)
        given = loss_of(method, logits[0], batch, make_plan(class_counts=counts))
        adjusted = softmax(logits[0].numpy() + tau * np.log(counts.numpy() / 111))
        expected = -np.log(adjusted)[range(5), batch.targets].mean()
        assert given == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("slug", ["class_balanced", "logit_adjustment"])
def test_a_class_without_samples_is_harmless(slug, make_method, make_plan, batch, logits) -> None:
    plan = make_plan(class_counts=torch.tensor([3, 2, 0]))
    batch = replace(batch, targets=batch.targets % 2)
    assert torch.isfinite(gradient_of(make_method(slug), logits[0], batch, plan)).all()


@pytest.fixture
def binary_batch(batch) -> Batch:
    return replace(batch, targets=torch.tensor([1, 0, 0, 1, 0]))


def soft_confusion(z: np.ndarray, y: np.ndarray, steepness: float) -> tuple[float, ...]:
    h = 1 / (1 + np.exp(-steepness * (softmax(z)[:, 1] - 0.5)))
    return (h * y).sum(), (h * (1 - y)).sum(), ((1 - h) * y).sum(), ((1 - h) * (1 - y)).sum()


def test_anyloss_follows_its_equations(make_method, make_plan, binary_batch, logits) -> None:
    outputs, y = logits[0][:, :2], binary_batch.targets.numpy()
    for steepness in (10.0, 73.0):
        tp, fp, fn, tn = soft_confusion(outputs.numpy(), y, steepness)
        expected = {
            "f1": 1 - 2 * tp / (2 * tp + fp + fn),
            "balanced_accuracy": 1 - (tp / (tp + fn) + tn / (tn + fp)) / 2,
        }
        for metric, value in expected.items():
            method = make_method("anyloss", steepness=steepness, metric=metric)
            given = loss_of(method, outputs, binary_batch, make_plan(n_classes=2))
            assert given == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy"])
@pytest.mark.parametrize("label", [0, 1])
def test_anyloss_survives_a_batch_of_one_class(
    metric, label, make_method, make_plan, batch, logits
) -> None:
    batch = replace(batch, targets=torch.full((5,), label))
    for outputs in (logits[0][:, :2], torch.tensor([[60.0, -60.0]]).repeat(5, 1)):
        gradient = gradient_of(make_method("anyloss", metric=metric), outputs, batch, make_plan())
        assert torch.isfinite(gradient).all()


def test_balanced_sampling_follows_its_equation(make_method, make_plan) -> None:
    targets = torch.arange(1000).clamp(max=100).div(100, rounding_mode="floor")  # 100 to 900
    dataset = TrainingSet(torch.zeros(1000, 1), targets)
    for q, share in ((0.0, 0.5), (0.5, 0.25), (1.0, 0.1)):
        plan = make_plan(n_examples=1000, batch_size=50, batches_per_epoch=20)
        stream = planned(make_method("balanced_sampling", q=q), plan).sampler(dataset)
        drawn = torch.cat([next(stream) for _ in range(400)])
        assert len(drawn) == 20_000
        sd = (share * (1 - share) / len(drawn)) ** 0.5
        assert (targets[drawn] == 0).double().mean().item() == pytest.approx(share, abs=4 * sd)


def test_balanced_sampling_repeats_itself(make_method, make_plan) -> None:
    dataset = TrainingSet(torch.zeros(20, 1), torch.arange(20) % 3)
    first, second = (
        planned(make_method("balanced_sampling"), make_plan()).sampler(dataset) for _ in "ab"
    )
    for one, other in itertools.islice(zip(first, second, strict=True), 10):
        assert one.shape == (5,)
        assert torch.equal(one, other)


@pytest.fixture
def network() -> nn.Module:
    generator = torch.Generator().manual_seed(4)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


def test_co_teaching_trains_each_network_on_the_others_choice(
    make_method, make_plan, make_step, batch, network
) -> None:
    method = make_method("co_teaching", ramp_epochs=5)
    # five epochs done: the whole share of wrong labels, 40 %, is left out
    plan = make_plan(noise_rate=0.4, examples=100)
    pair = planned(method, plan).transform_model(network)
    inputs = batch.inputs.double()
    expected = []
    losses = [
        nn.functional.cross_entropy(net(inputs), batch.targets, reduction="none")
        for net in (pair.first, pair.second)
    ]
    for net, own, other in ((pair.first, *losses), (pair.second, *losses[::-1])):
        kept = np.argsort(other.detach().numpy())[:3]
        gradients = torch.autograd.grad(own[kept].mean(), list(net.parameters()))
        expected.append(
            [p.detach() - 0.1 * g for p, g in zip(net.parameters(), gradients, strict=True)]
        )
    step = make_step(method, pair, plan)
    step.train(replace(batch, inputs=inputs))
    assert step.passes == 2
    for net, after in zip((pair.first, pair.second), expected, strict=True):
        for parameter, value in zip(net.parameters(), after, strict=True):
            torch.testing.assert_close(parameter.detach(), value, rtol=1e-12, atol=1e-12)


def test_co_teaching_ramps_the_share_it_leaves_out(
    make_method, make_plan, make_step, batch, network
) -> None:
    # in epoch 0 every sample is kept, so either network's step is that of plain training
    method, plan = make_method("co_teaching", ramp_epochs=5), make_plan(noise_rate=0.4)
    pair = planned(method, plan).transform_model(network)
    inputs = batch.inputs.double()
    loss = nn.functional.cross_entropy(pair.first(inputs), batch.targets)
    gradients = torch.autograd.grad(loss, list(pair.first.parameters()))
    plain = [p.detach() - 0.1 * g for p, g in zip(pair.first.parameters(), gradients, strict=True)]
    make_step(method, pair, plan).train(replace(batch, inputs=inputs))
    for parameter, value in zip(pair.first.parameters(), plain, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


def test_co_teaching_starts_its_second_network_elsewhere(make_method, make_plan, network) -> None:
    before = torch.get_rng_state()
    pairs = [
        planned(make_method("co_teaching"), make_plan(noise_rate=0.4)).transform_model(network)
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    for first, second, again in zip(
        pairs[0].first.parameters(),
        pairs[0].second.parameters(),
        pairs[1].second.parameters(),
        strict=True,
    ):
        assert not torch.equal(first, second)
        assert torch.equal(first.flatten().sort().values, second.flatten().sort().values)
        assert torch.equal(second, again)


def test_co_teaching_hands_out_the_task_s_own_network(make_method, make_plan, network) -> None:
    method = make_method("co_teaching")
    pair = planned(method, make_plan(noise_rate=0.4)).transform_model(network)
    exported = method.finalize_model(pair, calibration=None)
    assert exported.state_dict().keys() == network.state_dict().keys()
