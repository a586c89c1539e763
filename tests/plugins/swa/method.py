"""Stochastic weight averaging (Izmailov et al., 2018): the mean of late epochs."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import torch
from assay import Calibration, Method, Uniform
from torch import Tensor, nn


class SWA(Method):
    class Hyperparameters(Method.Hyperparameters):
        begin: Annotated[float, Uniform(0.5, 0.9)] = 0.75
        floor: float = 0.1
        """The learning rate never falls below this factor, so that the epochs differ."""

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.mean: dict[str, Tensor] = {}
        self.n_averaged = 0

    def lr_factor(self, elapsed: float) -> float:
        return max(self.plan.schedule(elapsed), self.hyperparameters.floor)

    def on_epoch_end(self, model: nn.Module) -> None:
        if self.plan.elapsed < self.hyperparameters.begin:
            return
        self.n_averaged += 1
        for name, parameter in model.named_parameters():
            weights = parameter.detach()
            if name in self.mean:
                self.mean[name] += (weights - self.mean[name]) / self.n_averaged
            else:
                self.mean[name] = weights.clone()

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        if not self.mean:
            return model
        averaged = copy.deepcopy(model)
        averaged.load_state_dict(self.mean, strict=False)
        norms = [m for m in averaged.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative mean over the batches below
        if norms:
            averaged.train()
            with torch.no_grad():
                for inputs in calibration.batches(8):
                    averaged(inputs)
        return averaged
