"""Polyak-Ruppert averaging (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import torch
from assay import Calibration, Choice, Method, Step, Uniform
from torch import Tensor, nn


class PolyakAveraging(Method):
    """x_t = x_{t-1} - gamma_t g_t, gamma_t = lr t^-alpha, 0 <= alpha < 1; the mean of x is scored.

    The task's own schedule, which decays to zero, is replaced: averaging is to do its work. The
    mean may begin late in the budget, as is common for networks; in the paper it takes in all.
    """

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        alpha: Annotated[float, Choice((0.0, 0.1, 0.25, 0.5))] = 0.25
        begin: Annotated[float, Uniform(0.0, 0.9)] = 0.0

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.mean: dict[str, Tensor] = {}
        self.n = 0

    def lr_factor(self, elapsed: float) -> float:
        """t^-alpha, t counting steps from 1."""
        return float((1 + self.plan.batch) ** -self.hyperparameters.alpha)

    def training_step(self, step: Step) -> None:
        """The usual step, then the mean's; running statistics are averaged likewise."""
        step.automatic()
        if self.plan.elapsed < self.hyperparameters.begin:
            return
        x = step.model.state_dict()
        self.n += 1
        if self.n == 1:
            self.mean = copy.deepcopy(x)
            return
        floats = [name for name, tensor in x.items() if tensor.is_floating_point()]
        for name in x.keys() - floats:
            self.mean[name] = x[name].clone()
        torch._foreach_lerp_(
            [self.mean[name] for name in floats], [x[name] for name in floats], 1 / self.n
        )

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """A copy of the model with the mean weights; the model itself before there are any."""
        if not self.mean:
            return model
        averaged = copy.deepcopy(model)
        averaged.load_state_dict(self.mean)
        return averaged
