"""Sharpness-aware minimisation (Foret et al., 2021, Algorithm 1): two gradients a step."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from assay import LogUniform, Method, Step
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm


class SAM(Method):
    """e = rho g / |g|, g at w; the optimizer's step from w takes the gradient at w + e.

    Batch normalisation takes its running statistics from the first pass, as in the official code.
    """

    passes_per_batch = 2.0

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; 0.05 is the authors' choice for CIFAR-10."""

        rho: Annotated[float, LogUniform(0.005, 0.5)] = 0.05

    # Weights of a network are many and small, unknowns few: rho is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions."""

        rho: Annotated[float, LogUniform(1e-4, 0.5)] = 0.05

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def training_step(self, step: Step) -> None:
        """A gradient at w, one at w + e, a step from w."""
        step.zero_grad()
        step.backward(step.loss())
        parameters = [p for p in step.model.parameters() if p.grad is not None]
        gradients = [p.grad for p in parameters]
        scale = self.hyperparameters.rho / get_total_norm(gradients).clamp(min=1e-12)
        norms = [m for m in step.model.modules() if isinstance(m, _BatchNorm)]
        with torch.no_grad():
            w = torch._foreach_clone(parameters)
            torch._foreach_add_(parameters, torch._foreach_mul(gradients, scale))
        for norm in norms:
            norm.track_running_stats = False
        try:  # a function's budget may end in between: w is what counts
            step.zero_grad()
            step.backward(step.loss())
        finally:
            for norm in norms:
                norm.track_running_stats = True
            with torch.no_grad():
                torch._foreach_copy_(parameters, w)
        step.optimizer_step()
