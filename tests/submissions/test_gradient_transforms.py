"""Gradient transforms and regularisers: what their equations.py cannot say."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.submissions.conftest import module_of, planned


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
    percentile = module_of("autoclip").percentile
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
