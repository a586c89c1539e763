"""Schedule-Free AdamW (Defazio et al., 2024), as in the authors' code since its version 1.3."""

from __future__ import annotations

import copy
from typing import Annotated, ClassVar

import pytorch_optimizer
import torch
from assay import Calibration, Choice, LogUniform, Method, Uniform
from torch import nn, optim

N_BATCHES = 50
"""Batches from which batch norms are estimated anew, as the authors advise."""


class ScheduleFreeAdamW(Method):
    """AdamW that averages its weights instead of lowering its learning rate.

    y = (1 - b1) z + b1 x; g at y; v <- b2 v + (1 - b2) g^2;
    z <- z - lr_t (g / (sqrt(vhat) + eps) + wd y); x <- (1 - c) x + c z,
    c = lr_max^2 / (sum of all lr_max^2). lr_t grows linearly over the warm-up, then stays.
    The gradient is taken at y, and x is what is scored.
    """

    # lr and betas are the authors' defaults; they advise 1 to 10 times the lr of AdamW.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay acts at y, and warm-up is a share of the run."""

        lr: Annotated[float, LogUniform(2e-4, 1e-1)] = 2.5e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        warmup: float = 0.05
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0

    # A step is about lr long whatever the gradient's scale, so lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter; the engine switches it from y to x and back."""
        h = self.hyperparameters
        return pytorch_optimizer.ScheduleFreeAdamW(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            warmup_steps=int(h.warmup * self.plan.total_batches),
        )

    def lr_factor(self, elapsed: float) -> float:
        """No schedule."""
        return 1.0

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """The averaged weights, with statistics of batch norms that belong to them."""
        if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
            return model
        averaged = copy.deepcopy(model).train()
        for module in averaged.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # a plain mean over the batches below
        with torch.no_grad():
            for inputs in calibration.batches(N_BATCHES):
                averaged(inputs)
        return averaged
