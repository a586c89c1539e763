"""Averages of weights and large batches: what their equations.py cannot say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from assay.method import Batch, Method, TrainingSet
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.submissions.conftest import planned


class Walk(nn.Module):
    """A weight that the loss `outputs` pulls down by the learning rate in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen += 1
        return self.w.sum()


def walk(method: Method, make_plan, make_step, n: int, budget: int) -> tuple[list[float], Any]:
    """Weights after each of `n` steps of size 1, and the step."""
    plan = make_plan(
        budget=budget,
        loss=lambda outputs, targets, reduction="mean": -outputs,
        reference_optimizer=lambda p: SGD(p, lr=1.0),
    )
    step, places = make_step(method, Walk(), plan), []
    for t in range(n):
        for group in step.optimizers[0].param_groups:
            group["lr"] = method.lr_factor(plan.elapsed)
        step.train(Batch(torch.zeros(1, 1), torch.zeros(1), torch.tensor([t])))
        places.append(step.model.w.item())
    return places, step


def test_weight_ema_is_that_of_torch(make_method, make_plan, make_step) -> None:
    method = make_method("weight_ema", rho=0.9)
    places, step = walk(method, make_plan, make_step, 8, 8)
    model = Walk()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(model)  # the first one counts as the start
    for place in places:
        with torch.no_grad():
            model.w.fill_(place)
        average.update_parameters(model)
    final = method.finalize_model(step.model, None)
    assert final.w.item() == pytest.approx(average.module.w.item(), abs=1e-12)
    assert step.model.w.item() == places[-1] == 8.0
    assert final.seen == 8  # what is no float is taken over


def test_the_scaling_rule_keeps_the_average_of_a_steady_walk(
    make_method, make_plan, make_step
) -> None:
    # kappa steps of size lr and one of size kappa lr reach the same place; the lag of the average
    # behind it is about lr rho / (1 - rho), and only rho^kappa keeps that
    lags = {}
    for slug, n in (("weight_ema", 400), *((f"weight_ema_{arm}", 100) for arm in ARMS)):
        method = make_method(slug, rho=0.95)
        places, step = walk(method, make_plan, make_step, n, n)
        assert places[-1] == pytest.approx(400)
        lags[slug] = places[-1] - method.finalize_model(step.model, None).w.item()
    assert lags["weight_ema"] == pytest.approx(0.95 / 0.05, rel=1e-6)
    assert lags["weight_ema_large_batch"] == pytest.approx(lags["weight_ema"], rel=0.1)
    assert lags["weight_ema_unscaled"] > 3 * lags["weight_ema"]


ARMS = ("large_batch", "unscaled")


@pytest.mark.parametrize(
    ("slug", "kappa"), [("large_batch", 8), *((f"weight_ema_{arm}", 4) for arm in ARMS)]
)
def test_large_batches_hold_every_example_once_an_epoch(
    slug, kappa, make_method, make_plan
) -> None:
    method = planned(make_method(slug), make_plan(batch_size=2))
    dataset = TrainingSet(torch.zeros(4 * kappa, 1), torch.zeros(4 * kappa))
    stream = method.sampler(dataset)
    first, second = next(stream), next(stream)
    assert len(first) == len(second) == 2 * kappa
    assert sorted(torch.cat([first, second]).tolist()) == list(range(4 * kappa))
    small = TrainingSet(torch.zeros(kappa, 1), torch.zeros(kappa))
    assert len(next(method.sampler(small))) == kappa  # no larger than the training set


def test_polyak_averaging_is_the_mean_of_its_iterates(make_method, make_plan, make_step) -> None:
    method = make_method("polyak_averaging", alpha=0.5, begin=0.5)
    places, step = walk(method, make_plan, make_step, 8, 8)
    sizes = np.arange(1, 9) ** -0.5
    np.testing.assert_allclose(places, np.cumsum(sizes), atol=1e-12)
    final = method.finalize_model(step.model, None)
    assert final.w.item() == pytest.approx(np.mean(places[4:]), abs=1e-12)
    early = make_method("polyak_averaging", begin=0.9)
    _, step = walk(early, make_plan, make_step, 2, 8)
    assert early.finalize_model(step.model, None) is step.model
