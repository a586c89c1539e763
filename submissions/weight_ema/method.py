"""Exponential moving average of the weights (Busbridge et al., 2023, Definition 1.1)."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import torch
from assay import Calibration, Choice, Method, Step
from torch import Tensor, nn


class WeightEMA(Method):
    """zeta <- rho zeta + (1 - rho) theta after every step, zeta_0 = theta_0; zeta is scored.

    Buffers such as running statistics are averaged likewise.
    """

    # The paper's 0.9999 belongs to runs of a hundred times as many steps.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        rho: Annotated[float, Choice((0.8, 0.9, 0.95, 0.98, 0.99, 0.995))] = 0.98

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.zeta: dict[str, Tensor] = {}

    def training_step(self, step: Step) -> None:
        """The usual step, then the average's."""
        if not self.zeta:
            self.zeta = copy.deepcopy(step.model.state_dict())
        step.automatic()
        theta = step.model.state_dict()
        floats = [name for name, tensor in theta.items() if tensor.is_floating_point()]
        for name in theta.keys() - floats:
            self.zeta[name] = theta[name].clone()
        torch._foreach_lerp_(
            [self.zeta[name] for name in floats],
            [theta[name] for name in floats],
            1 - self.hyperparameters.rho,
        )

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """A copy of the model with the averaged weights."""
        averaged = copy.deepcopy(model)
        averaged.load_state_dict(self.zeta)
        return averaged
