"""Schedules: what their equations.py cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from assay.method import Method
from torch import nn
from torch.optim import SGD, lr_scheduler

from tests.submissions.conftest import module_of

T = 300


def factors(method: Method) -> np.ndarray:
    return np.array([method.lr_factor(t / T) for t in range(T)])


def factors_of_torch(make: Any, momentum: str | None = None) -> np.ndarray:
    """Learning rates, or momenta, of a scheduler of torch around an optimizer of lr 1."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler, found = make(optimizer), []
    for _ in range(T):
        found.append(optimizer.param_groups[0][momentum or "lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.parametrize(
    ("slug", "values", "make"),
    [
        ("constant_lr", {}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        ("linear_decay", {}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, T)),
        ("cosine_decay", {}, lambda o: lr_scheduler.CosineAnnealingLR(o, T)),
        ("step_decay", {}, lambda o: lr_scheduler.MultiStepLR(o, [T // 2, 3 * T // 4])),
        (
            "sgdr",
            {"n_cycles": 4, "t_mult": 2},
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=T // 15, T_mult=2),
        ),
        (
            "sgdr",
            {"n_cycles": 5, "t_mult": 1},
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=T // 5),
        ),
    ],
)
def test_schedules_are_those_of_torch(slug, values, make, make_method) -> None:
    found = factors(make_method(slug, **values))
    np.testing.assert_allclose(found, factors_of_torch(make), atol=1e-12)


def test_the_last_cycle_of_sgdr_ends_with_the_budget(make_method) -> None:
    for n_cycles, t_mult in [(1, 1), (1, 3), (6, 3), (3, 2)]:
        method = make_method("sgdr", n_cycles=n_cycles, t_mult=t_mult)
        assert method.lr_factor(0.0) == 1.0
        assert method.lr_factor(1 - 1e-9) == pytest.approx(0, abs=1e-6)
        places = np.array([method.lr_factor(t / 8000) for t in range(8000)])
        assert (np.diff(places) > 0.5).sum() == n_cycles - 1


def one_cycle_of_torch(optimizer: SGD) -> Any:
    return lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=T + 1,
        pct_start=0.45,
        anneal_strategy="linear",
        three_phase=True,
        div_factor=10,
        final_div_factor=1e4,
    )


def test_one_cycle_is_that_of_torch(make_method, make_plan, make_step, batch) -> None:
    # torch lets a phase end one step before its share is over: a difference of two steps at most
    method = make_method("one_cycle")
    expected = factors_of_torch(one_cycle_of_torch)
    np.testing.assert_allclose(factors(method), expected, atol=2 / (0.45 * T))
    plan = make_plan(
        budget=5 * T, reference_optimizer=lambda p: SGD(p, lr=0.01, momentum=0.9, nesterov=True)
    )
    step, momenta = make_step(method, nn.Linear(4, 3), plan), []
    for _ in range(T):
        step.train(batch)
        momenta.append(step.optimizers[0].param_groups[0]["momentum"])
    expected = factors_of_torch(one_cycle_of_torch, "momentum")
    np.testing.assert_allclose(momenta, expected, atol=0.2 / (0.45 * T))


def test_one_cycle_turns_the_first_beta_of_adam(make_method, make_plan, make_step, batch) -> None:
    plan = make_plan(budget=100, reference_optimizer=torch.optim.Adam)
    step = make_step(make_method("one_cycle"), nn.Linear(4, 3), plan)
    plan.spent = 45
    step.train(batch)
    assert step.optimizers[0].param_groups[0]["betas"] == pytest.approx((0.85, 0.999))


def test_constant_norms_refine_to_linear_decay(make_method) -> None:
    refined = module_of("refined_schedule").refined
    for power in (1.0, 2.0):
        found = refined(np.full(50, 3.0), 0.1, power)
        np.testing.assert_allclose(found, (49 - np.arange(50)) / 49, atol=1e-12)


def test_refinement_follows_its_formula(make_method) -> None:
    refined = module_of("refined_schedule").refined
    norms = np.random.default_rng(0).uniform(0.5, 2.0, 40)
    for power in (1.0, 2.0):
        weights = norms**-power
        expected = np.array([weights[t] * weights[t + 1 :].sum() for t in range(40)])
        found = refined(norms, 0.01, power)  # so narrow that the filter changes nothing
        np.testing.assert_allclose(found, expected / expected.max(), atol=1e-12)
    spiky = np.ones(101)
    spiky[50] = 1e-6  # a single step without a gradient does not rule the schedule
    np.testing.assert_allclose(refined(spiky, 0.1, 2.0), (100 - np.arange(101)) / 100, atol=1e-12)


@pytest.mark.parametrize("norms", [[0.0, 0.0, 0.0], [2.0], [1.0, 0.0], [1e-30, 1e30, 1.0]])
def test_refinement_is_finite_for_any_norms(norms, make_method) -> None:
    found = module_of("refined_schedule").refined(np.array(norms), 0.3, 2.0)
    assert np.isfinite(found).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("n", [90, 300, 301, 7000])
def test_the_second_run_takes_every_value_of_the_schedule(n, make_method) -> None:
    method = make_method("refined_schedule")
    first = sum(t / n < 0.5 for t in range(n))
    method.norms, method.refined = [torch.ones(())], np.arange(float(first))
    found = [method.lr_factor(t / n) for t in range(first, n)]
    assert found == list(range(n - first))


def test_the_second_run_begins_where_the_first_did(
    make_method, make_plan, make_step, batch
) -> None:
    method, plan = make_method("refined_schedule"), make_plan(budget=40)
    plan.reference_optimizer = lambda p: SGD(p, lr=0.1, momentum=0.9)
    step = make_step(method, nn.Linear(4, 3), plan)
    start = step.model.weight.detach().clone()
    for _ in range(4):
        assert method.lr_factor(plan.elapsed) == pytest.approx(1 - 2 * plan.elapsed)
        step.train(batch)
    for group in step.optimizers[0].param_groups:
        group["lr"] = 0.0
    assert method.lr_factor(plan.elapsed) == pytest.approx(1.0, abs=0.5)
    step.train(batch)
    assert torch.equal(step.model.weight, start)
    buffer = step.optimizers[0].state[step.model.weight]["momentum_buffer"]
    assert torch.equal(buffer, step.model.weight.grad)  # of one step, so nothing was left
    assert step.passes == 5
