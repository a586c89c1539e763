"""Schedules, averages, batch sizes and gradient transforms: what their equations.py cannot say."""

from __future__ import annotations

import sys
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from assay.method import Batch, Method, TrainingSet
from torch import Tensor, nn
from torch.optim import SGD, lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.submissions.conftest import planned

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


def functions_of(method: Method) -> dict[str, Any]:
    return vars(sys.modules[type(method).__module__])


def test_constant_norms_refine_to_linear_decay(make_method) -> None:
    refined = functions_of(make_method("refined_schedule"))["refined"]
    for power in (1.0, 2.0):
        found = refined(np.full(50, 3.0), 0.1, power)
        np.testing.assert_allclose(found, (49 - np.arange(50)) / 49, atol=1e-12)


def test_refinement_follows_its_formula(make_method) -> None:
    refined = functions_of(make_method("refined_schedule"))["refined"]
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
    found = functions_of(make_method("refined_schedule"))["refined"](np.array(norms), 0.3, 2.0)
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


def set_gradients(model: nn.Module, *values: list[float] | None) -> None:
    for p, value in zip(model.parameters(), values, strict=True):
        p.grad = None if value is None else torch.tensor(value, dtype=p.dtype).view_as(p)


def gradients(model: nn.Module) -> list[list[float] | None]:
    return [None if p.grad is None else p.grad.flatten().tolist() for p in model.parameters()]


def test_norm_clipping_shortens_long_gradients_alone(make_method) -> None:
    method, model = make_method("norm_clipping", theta=2.5), nn.Linear(1, 1)
    for given, expected in (
        (([3.0], [4.0]), [[1.5], [2.0]]),
        (([1.5], [-2.0]), [[1.5], [-2.0]]),
        (([0.0], None), [[0.0], None]),
    ):
        set_gradients(model, *given)
        method.transform_gradients(model)
        assert gradients(model) == expected


def test_autoclip_takes_percentiles_as_numpy_does(make_method) -> None:
    percentile = functions_of(make_method("autoclip"))["percentile"]
    values = sorted(np.random.default_rng(0).exponential(size=37).tolist())
    for n in (1, 2, 10, 37):
        for p in (1.0, 10.0, 50.0, 90.0):
            assert percentile(values[:n], p) == pytest.approx(np.percentile(values[:n], p))


def test_quantile_clipping_clips_the_share_it_is_told(make_method) -> None:
    method, model = make_method("quantile_clipping", share=0.4), nn.Linear(4, 1)
    set_gradients(model, [-5.0, 1.0, 2.0, -3.0], [4.0])
    method.transform_gradients(model)
    assert gradients(model) == [[-3.0, 1.0, 2.0, -3.0], [3.0]]
    set_gradients(model, [0.0, 0.0, 0.0, 0.0], None)
    method.transform_gradients(model)
    assert gradients(model) == [[0.0] * 4, None]


def test_gradient_noise_has_the_variance_it_should(make_method, make_plan) -> None:
    plan = make_plan()
    method, model = planned(make_method("gradient_noise", eta=0.3), plan), nn.Linear(100, 100)
    for t in (0, 9, 999):
        plan.batch = t
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        method.transform_gradients(model)
        noise = model.weight.grad - 1
        assert noise.var().item() == pytest.approx(0.3 / (1 + t) ** 0.55, rel=0.06)
        assert abs(noise.mean().item()) < 4 * (0.3 / 1e4) ** 0.5


def test_grokfast_keeps_copies_of_gradients(make_method) -> None:
    """The official moving average keeps references, which an in-place zero_grad overwrites."""
    method, model = make_method("grokfast_ma", w=2, lam=1.0), nn.Linear(1, 1, bias=False)
    model.weight.grad = torch.zeros(1, 1)
    for value, expected in ((1.0, 1.0), (3.0, 5.0), (5.0, 9.0)):
        model.weight.grad.fill_(value)
        method.transform_gradients(model)
        assert model.weight.grad.item() == expected


def test_perpgrad_leaves_nothing_along_the_weights(make_method) -> None:
    """The official code blows the rounding residue up to the length of the gradient."""
    method = make_method("perpgrad")
    for size in (1, 7):
        model = nn.Linear(size, 1, bias=False)
        model.weight.grad = 0.3 * model.weight.detach()
        method.transform_gradients(model)
        assert not model.weight.grad.any()
    model = nn.Linear(6, 2)
    with torch.no_grad():
        model.bias.zero_()  # a zero tensor has no direction: its gradient stays
    given = [
        torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
        for p in [*model.parameters()]
    ]
    for p, g in zip(model.parameters(), given, strict=True):
        p.grad = g.clone()
    method.transform_gradients(model)
    assert (model.weight * model.weight.grad).sum().item() == pytest.approx(0, abs=1e-6)
    assert model.weight.grad.norm().item() == pytest.approx(given[0].norm().item(), rel=1e-6)
    torch.testing.assert_close(model.bias.grad, given[1])


def test_stablemax_follows_its_equation(make_method, batch) -> None:
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * 3
    given = make_method("stablemax").compute_loss(z, batch).item()
    z = z.numpy()
    s = np.where(z >= 0, z + 1, 1 / (1 - np.minimum(z, 0)))
    expected = -np.log(s[range(5), batch.targets] / s.sum(axis=1)).mean()
    assert given == pytest.approx(expected, abs=1e-12)


def test_stablemax_keeps_a_gradient_where_softmax_has_none(make_method, batch) -> None:
    outputs = (1e3 * nn.functional.one_hot(batch.targets, 3).float()).requires_grad_()
    nn.functional.cross_entropy(outputs, batch.targets).backward()
    assert not outputs.grad.any()
    outputs.grad = None
    make_method("stablemax").compute_loss(outputs, batch).backward()
    assert outputs.grad.isfinite().all()
    assert outputs.grad.all()


@pytest.mark.parametrize("slug", ["sam", "finite_difference_gr"])
def test_statistics_are_those_of_the_weights_not_of_the_point_nearby(
    slug, make_method, make_plan, make_step, batch
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with torch.no_grad():
        mean = model[0](batch.inputs).mean(0)
    make_step(make_method(slug), model, make_plan()).train(batch)
    torch.testing.assert_close(model[1].running_mean, 0.1 * mean)
    assert model[1].num_batches_tracked == 1
    assert model[1].track_running_stats


@pytest.mark.parametrize("slug", ["sam", "finite_difference_gr"])
def test_weights_come_back_if_the_budget_ends_in_between(
    slug, make_method, make_plan, make_step, batch
) -> None:
    calls = count(1)

    def loss(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        if next(calls) == 2:
            raise TimeoutError
        return outputs.pow(2).sum()

    step = make_step(make_method(slug), nn.Linear(4, 3), make_plan(loss=loss))
    start = step.model.weight.detach().clone()
    with pytest.raises(TimeoutError):
        step.train(batch)
    assert torch.equal(step.model.weight, start)
