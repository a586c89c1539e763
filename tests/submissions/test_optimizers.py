"""Every optimizer against its published equations, written out here in numpy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from tests.submissions.conftest import planned

N_STEPS = 8
Array = np.ndarray
Rule = Callable[[Array, list[Array]], Iterator[Array]]
LR, BETA1, BETA2, EPS, DECAY = 0.03, 0.85, 0.999, 1e-8, 1e-3


def sgd(w: Array, grads: list[Array]) -> Iterator[Array]:
    v = np.zeros_like(w)
    for g in grads:
        g = g + DECAY * w
        v = 0.85 * v + g
        w = w - LR * (g + 0.85 * v)
        yield w


def adam_moments(g: Array, m: Array, v: Array, t: int) -> tuple[Array, Array, Array, Array]:
    m = BETA1 * m + (1 - BETA1) * g
    v = BETA2 * v + (1 - BETA2) * g**2
    return m, v, m / (1 - BETA1**t), v / (1 - BETA2**t)


def adam(w: Array, grads: list[Array], lr: float = LR) -> Iterator[Array]:
    m = v = np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        m, v, mhat, vhat = adam_moments(g + DECAY * w, m, v, t)
        w = w - lr * mhat / (np.sqrt(vhat) + EPS)
        yield w


def adam_half_lr(w: Array, grads: list[Array]) -> Iterator[Array]:
    return adam(w, grads, LR / 2)


def adamw(w: Array, grads: list[Array]) -> Iterator[Array]:
    m = v = np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        m, v, mhat, vhat = adam_moments(g, m, v, t)
        w = w - LR * DECAY * w
        w = w - LR * mhat / (np.sqrt(vhat) + EPS)
        yield w


def amsgrad(w: Array, grads: list[Array]) -> Iterator[Array]:
    m = v = largest = np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        m, v, mhat, _ = adam_moments(g + DECAY * w, m, v, t)
        largest = np.maximum(largest, v)
        w = w - LR * mhat / (np.sqrt(largest / (1 - BETA2**t)) + EPS)
        yield w


def nadam(w: Array, grads: list[Array]) -> Iterator[Array]:
    m = v = np.zeros_like(w)
    mu = [BETA1 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in range(len(grads) + 2)]
    for t, g in enumerate(grads, 1):
        g = g + DECAY * w
        m, v, _, vhat = adam_moments(g, m, v, t)
        ahead = mu[t + 1] * m / (1 - np.prod(mu[1 : t + 2]))
        now = (1 - mu[t]) * g / (1 - np.prod(mu[1 : t + 1]))
        w = w - LR * (ahead + now) / (np.sqrt(vhat) + EPS)
        yield w


def rmsprop(w: Array, grads: list[Array]) -> Iterator[Array]:
    v = np.zeros_like(w)
    for g in grads:
        g = g + DECAY * w
        v = 0.9 * v + 0.1 * g**2
        w = w - LR * g / (np.sqrt(v) + EPS)
        yield w


def adagrad(w: Array, grads: list[Array]) -> Iterator[Array]:
    s = np.zeros_like(w)
    for g in grads:
        g = g + DECAY * w
        s = s + g**2
        w = w - LR * g / (np.sqrt(s) + 1e-10)
        yield w


def adadelta(w: Array, grads: list[Array]) -> Iterator[Array]:
    v = u = np.zeros_like(w)
    for g in grads:
        g = g + DECAY * w
        v = 0.95 * v + 0.05 * g**2
        dx = np.sqrt(u + 1e-6) / np.sqrt(v + 1e-6) * g
        u = 0.95 * u + 0.05 * dx**2
        w = w - LR * dx
        yield w


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def diffgrad_step(w: Array, m: Array, v: Array, t: int, xi: Array) -> Array:
    # the official code adds eps before it corrects v for bias; the paper after
    corrected = (np.sqrt(v) + EPS) / np.sqrt(1 - BETA2**t)
    return w - LR * xi * m / (1 - BETA1**t) / corrected


def diffgrad(w: Array, grads: list[Array]) -> Iterator[Array]:
    m = v = previous = np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        g = g + DECAY * w
        m, v, _, _ = adam_moments(g, m, v, t)
        xi = sigmoid(np.abs(previous - g))
        previous = g
        w = diffgrad_step(w, m, v, t, xi)
        yield w


def diffgrad_alias(w: Array, grads: list[Array]) -> Iterator[Array]:
    # the published lines on one gradient buffer, which backward refills in place
    m = v = np.zeros_like(w)
    buffer, previous = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        buffer[:] = g + DECAY * w
        m, v, _, _ = adam_moments(buffer, m, v, t)
        xi = sigmoid(np.abs(previous - buffer))
        previous = buffer
        w = diffgrad_step(w, m, v, t, xi)
        yield w


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        *(sgd, adam, adam_half_lr, adamw, amsgrad, nadam),
        *(rmsprop, adagrad, adadelta, diffgrad, diffgrad_alias),
    )
}
SETTINGS = {
    "sgd": {"momentum": 0.85},
    "rmsprop": {"alpha": 0.9},
    "adagrad": {},
    "adadelta": {"rho": 0.95},
}


class Weights(nn.Module):
    """A 4x3 matrix and a vector."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.matrix = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
        self.vector = nn.Parameter(torch.randn(6, generator=generator, dtype=torch.float64))

    def arrays(self) -> list[Array]:
        return [p.detach().numpy().copy() for p in self.parameters()]


@pytest.fixture
def gradients() -> list[list[Array]]:
    """Eight gradients per parameter; gradients shrink, which is where AMSGrad and Adam part."""
    random = np.random.default_rng(8)
    return [
        [random.normal(size=shape) * (2.0 if t < 3 else 0.3) for t in range(N_STEPS)]
        for shape in ((4, 3), (6,))
    ]


@pytest.fixture
def trajectory(make_method, make_plan, gradients):
    def run(slug: str, *, set_to_none: bool = True, **values: float) -> list[list[Array]]:
        model = Weights()
        method = make_method(slug, lr=LR, weight_decay=DECAY, **values)
        optimizer = planned(method, make_plan()).configure_optimizer(model)
        visited = []
        for t in range(N_STEPS):
            optimizer.zero_grad(set_to_none=set_to_none)
            for parameter, grads in zip(model.parameters(), gradients, strict=True):
                gradient = torch.from_numpy(grads[t])
                if parameter.grad is None:
                    parameter.grad = gradient.clone()
                else:
                    parameter.grad.add_(gradient)
            optimizer.step()
            visited.append(model.arrays())
        return visited

    return run


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("slug", RULES)
def test_follows_its_equations(slug, set_to_none, trajectory, gradients) -> None:
    values = SETTINGS.get(slug, {"beta1": BETA1})
    visited = trajectory(slug, set_to_none=set_to_none, **values)
    for position, start in enumerate(Weights().arrays()):
        expected = list(RULES[slug](start, gradients[position]))
        for t in range(N_STEPS):
            np.testing.assert_allclose(visited[t][position], expected[t], rtol=1e-8, atol=1e-10)


def test_the_rules_above_tell_methods_apart(gradients) -> None:
    ends = {
        name: list(rule(Weights().arrays()[0], gradients[0]))[-1] for name, rule in RULES.items()
    }
    names = sorted(ends)
    for position, one in enumerate(names):
        for other in names[position + 1 :]:
            assert np.abs(ends[one] - ends[other]).max() > 1e-5, (one, other)


@pytest.mark.parametrize("slug", ["adam", "adam_half_lr", "diffgrad", "diffgrad_alias"])
def test_zero_gradients_and_single_elements_stay_finite(slug, make_method, make_plan) -> None:
    model = nn.ParameterList([torch.zeros(1), torch.ones(3)])
    optimizer = planned(make_method(slug), make_plan()).configure_optimizer(model)
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    assert [p.tolist() for p in model.parameters()] == [[0.0], [1.0, 1.0, 1.0]]


@pytest.mark.parametrize("slug", RULES)
def test_resumes_from_its_state(slug, make_method, make_plan, gradients) -> None:
    def advance(model: Weights, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for t in steps:
            for parameter, grads in zip(model.parameters(), gradients, strict=True):
                parameter.grad = torch.from_numpy(grads[t]).float()
            optimizer.step()

    # single precision, as in training: torch restores NAdam's float32 product in the weights' type
    straight, resumed = Weights().float(), Weights().float()
    method = make_method(slug)
    optimizer = planned(method, make_plan()).configure_optimizer(straight)
    advance(straight, optimizer, range(4))
    resumed.load_state_dict(straight.state_dict())
    second = planned(method, make_plan()).configure_optimizer(resumed)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    advance(straight, optimizer, range(4, N_STEPS))
    advance(resumed, second, range(4, N_STEPS))
    for one, other in zip(straight.arrays(), resumed.arrays(), strict=True):
        np.testing.assert_array_equal(one, other)


def f1_slope(x: float) -> float:
    return 2 * (x + 0.3) if x <= 0 else 2 * (x - 0.2)


def f2_slope(x: float) -> float:
    return -40.0 if x <= -0.9 else 3 * x**2 + np.sin(8 * x) + 8 * x * np.cos(8 * x)


@pytest.fixture
def final_x(make_method, make_plan):
    def run(slug: str, slope: Callable[[float], float], scale: float = 1.0) -> float:
        x = nn.Parameter(torch.tensor([-1.0], dtype=torch.float64))
        method = make_method(slug, "functions")
        optimizer = planned(method, make_plan()).configure_optimizer(nn.ParameterList([x]))
        for _ in range(300):
            x.grad = torch.tensor([scale * slope(x.item())], dtype=torch.float64)
            optimizer.step()
        return x.item()

    return run


@pytest.mark.parametrize(
    ("slug", "f1", "f2"),
    [
        ("adam", 0.2, 0.0),
        ("diffgrad", -0.3, -0.643),
        ("diffgrad_alias", -0.3, -0.643),
        ("adam_half_lr", -0.3, -0.643),
    ],
)
def test_defaults_on_functions_are_those_of_fig_4(slug, f1, f2, final_x) -> None:
    assert final_x(slug, f1_slope) == pytest.approx(f1, abs=2e-3)
    assert final_x(slug, f2_slope) == pytest.approx(f2, abs=2e-3)


def test_diffgrad_is_adam_on_a_steep_function(final_x) -> None:
    # xi -> 1 where gradients are large: on 1000 F diffGrad ends where Adam ends
    assert final_x("diffgrad", f1_slope, 1000.0) == pytest.approx(0.2, abs=2e-3)
    assert final_x("diffgrad", f1_slope, 0.001) == pytest.approx(-0.3, abs=2e-3)
