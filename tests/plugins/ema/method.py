"""Exponential moving average of the weights: trains one network, hands out another."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import torch
from assay import Calibration, Choice, Method, Step
from torch import Tensor, nn


class EMA(Method):
    class Hyperparameters(Method.Hyperparameters):
        decay: Annotated[float, Choice((0.9, 0.98, 0.99))] = 0.98

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.average: dict[str, Tensor] = {}

    def training_step(self, step: Step) -> None:
        step.automatic()
        with torch.no_grad():
            for name, tensor in step.model.state_dict().items():
                if name not in self.average or not tensor.is_floating_point():
                    self.average[name] = tensor.clone()
                else:
                    self.average[name].lerp_(tensor, 1 - self.hyperparameters.decay)

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        averaged = copy.deepcopy(model)
        averaged.load_state_dict(self.average)
        return averaged
