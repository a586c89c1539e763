"""Optimizers go on from their state, and end where the diffGrad paper's figure 4 says.

That they follow their equations is in test_parity.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from tests.submissions.conftest import planned

N_STEPS = 8
Array = np.ndarray
OPTIMIZERS = (
    *("sgd", "adam", "adam_half_lr", "adamw", "amsgrad", "nadam"),
    *("rmsprop", "adagrad", "adadelta", "diffgrad", "diffgrad_alias"),
)


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
    """Eight gradients per parameter, which shrink."""
    random = np.random.default_rng(8)
    return [
        [random.normal(size=shape) * (2.0 if t < 3 else 0.3) for t in range(N_STEPS)]
        for shape in ((4, 3), (6,))
    ]


@pytest.mark.parametrize("slug", OPTIMIZERS)
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
