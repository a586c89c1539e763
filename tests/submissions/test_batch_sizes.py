"""Batch sizes: what their equations.py cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from assay.method import Batch, TrainingSet
from torch import nn

from tests.submissions.conftest import planned


def linear_step(slug: str, make_method, make_plan, make_step, **values: Any) -> Any:
    """A step of a method on a linear model whose loss is quadratic in weights and inputs."""
    plan = make_plan(
        batch_size=8,
        n_examples=400,
        budget=10_000,
        loss=lambda outputs, targets, reduction="mean": ((outputs - 1) ** 2).mean(),
    )
    model = nn.Linear(3, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.5, -1.0, 2.0]]))
    return make_step(make_method(slug, **values), model, plan)


def parts(n: int, size: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(n * size, 3, generator=generator, dtype=torch.float64)
    targets, indices = torch.zeros(n * size), torch.arange(n * size)
    return [
        Batch(*(t[at : at + size] for t in (inputs, targets, indices)))
        for at in range(0, n * size, size)
    ]


def part_gradients(step: Any, batches: list[Batch]) -> np.ndarray:
    w = step.model.weight.detach()
    return np.stack([(2 * ((b.inputs @ w.T - 1) * b.inputs).mean(0)).numpy() for b in batches])


def test_noise_scale_batches_measure_noise_and_signal(make_method, make_plan, make_step) -> None:
    step = linear_step("noise_scale_batches", make_method, make_plan, make_step, r=0.5)
    batches = parts(4, 2)
    g = part_gradients(step, batches)
    start = step.model.weight.detach().clone()
    for batch in batches[:3]:
        step.train(batch)
        assert torch.equal(step.model.weight, start)  # a step needs all four parts
    step.train(batches[3])
    moved = (start - step.model.weight).detach().numpy() / 0.1
    np.testing.assert_allclose(moved[0], g.mean(0), atol=1e-12)
    # the sample variance of the parts, for one example, against |G|^2 without its share of noise
    noise = 2 * g.var(axis=0, ddof=1).sum()
    signal = (g.mean(0) ** 2).sum() - noise / 8
    method = step.method
    assert method.noise == pytest.approx(0.1 * noise)
    assert method.signal == pytest.approx(0.1 * signal)
    wanted = np.sqrt(0.5 * 8 * noise / signal) / 2
    assert method.n_parts == round(min(max(wanted, 2), 200))
    assert step.passes == 4


@pytest.mark.parametrize(
    ("signal", "noise", "expected"), [(1.0, 200.0, 20), (100.0, 1.0, 2), (1e-6, 1.0, 28)]
)
def test_the_batch_follows_the_root_of_the_noise_scale(
    signal, noise, expected, make_method, make_plan
) -> None:
    method = planned(make_method("noise_scale_batches"), make_plan(batch_size=8, n_examples=400))
    for _ in range(30):  # expected squared norms at batch sizes of one part and of all
        large = method.n_parts * method.part_size
        method.resize(signal + noise / method.part_size, signal + noise / large)
    assert method.n_parts == expected  # of two examples each: sqrt(8 B_simple) / 2
    method.signal = -1.0
    method.resize(noise, 0.0)
    assert method.n_parts == 28  # no signal at all: a noise scale of all 400 examples


def test_the_learning_rate_follows_the_batch(make_method, make_plan) -> None:
    plan = make_plan(batch_size=8, n_examples=400, schedule=lambda elapsed: 1 - elapsed)
    method = planned(make_method("noise_scale_batches"), plan)
    assert method.lr_factor(0.25) == pytest.approx(0.75)  # the task's own batch size
    at = 0.27 / (8 + np.array([8, 24])) * np.array([8, 24])  # appendix D.2, B_* = 8
    method.n_parts = 12
    assert method.lr_factor(0.0) == pytest.approx(at[1] / at[0])


def test_adadagrad_grows_its_batch_by_the_norm_test(make_method, make_plan, make_step) -> None:
    step = linear_step("adadagrad", make_method, make_plan, make_step, eta=1.0)
    batches = parts(4, 2)
    g = part_gradients(step, batches)
    for batch in batches:
        step.train(batch)
    variance = 2 * g.var(axis=0, ddof=1).sum()
    wanted = int(np.ceil(variance / (g.mean(0) ** 2).sum() / 2))
    assert step.method.n_parts == max(4, min(wanted, 50))
    method = step.method
    method.test(1.0, 1.0)  # no noise: it never shrinks
    assert method.n_parts == max(4, min(wanted, 50))
    method.test(1.0, 0.0)  # nothing but noise: a quarter of 400 examples at most
    assert method.n_parts == 50


@pytest.mark.parametrize("slug", ["noise_scale_batches", "adadagrad"])
def test_parts_are_a_quarter_of_the_tasks_batch(slug, make_method, make_plan) -> None:
    dataset = TrainingSet(torch.zeros(20, 1), torch.zeros(20))
    for size, part in ((16, 4), (5, 1), (2, 1)):
        stream = planned(make_method(slug), make_plan(batch_size=size)).sampler(dataset)
        assert len(next(stream)) == part


def test_train_longer_steps_along_the_clipped_mean_of_small_batches(
    make_method, make_plan, make_step
) -> None:
    for max_norm in (1e9, 0.5):
        step = linear_step(
            "train_longer", make_method, make_plan, make_step, m=3, max_norm=max_norm
        )
        batches = parts(3, 2)
        mean = part_gradients(step, batches).mean(0)
        start = step.model.weight.detach().clone()
        for batch in batches:
            assert torch.equal(step.model.weight, start)
            step.train(batch)
        moved = (start - step.model.weight).detach().numpy()[0] / 0.1
        expected = mean * min(1, max_norm / np.linalg.norm(mean))
        np.testing.assert_allclose(moved, expected, atol=1e-5)
    assert step.method.lr_factor(0.3) == pytest.approx(3**0.5)


def test_train_longer_normalises_over_small_batches(
    make_method, make_plan, make_step, batch
) -> None:
    plan = make_plan(loss=lambda outputs, targets, reduction="mean": outputs.pow(3).mean())
    step = make_step(make_method("train_longer", m=2), nn.BatchNorm1d(4), plan)
    halves = [
        Batch(batch.inputs[i : i + 2], batch.targets[i : i + 2], batch.indices[i : i + 2])
        for i in (0, 2)
    ]
    mean = torch.zeros(4)
    for half in halves:
        step.train(half)
        mean = 0.9 * mean + 0.1 * half.inputs.mean(0)
    torch.testing.assert_close(step.model.running_mean, mean)
