"""Gradient regularisation by forward differences, F-GR (Karakida et al., 2023)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from assay import LogUniform, Method, Step
from torch.nn.modules.batchnorm import _BatchNorm


class FiniteDifferenceGR(Method):
    """g <- g(w) + (gamma / eps) (g(w + eps g(w)) - g(w)), for L + (gamma / 2) |grad L|^2.

    The difference stands for the Hessian product gamma H g. Batch normalisation takes its running
    statistics from the first pass, at w.
    """

    passes_per_batch = 2.0

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; the paper recommends long ascent steps, eps of 0.01 and more."""

        gamma: Annotated[float, LogUniform(1e-3, 1.0)] = 0.05
        eps: Annotated[float, LogUniform(1e-3, 1.0)] = 0.05

    # Gradients and curvatures of test functions are a thousand times larger.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions."""

        gamma: Annotated[float, LogUniform(1e-6, 1e-1)] = 1e-4
        eps: Annotated[float, LogUniform(1e-6, 1e-1)] = 1e-4

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def training_step(self, step: Step) -> None:
        """A gradient at w, one at w + eps g, a step from w."""
        h = self.hyperparameters
        step.zero_grad()
        step.backward(step.loss())
        parameters = [p for p in step.model.parameters() if p.grad is not None]
        norms = [m for m in step.model.modules() if isinstance(m, _BatchNorm)]
        with torch.no_grad():
            g = torch._foreach_clone([p.grad for p in parameters])
            w = torch._foreach_clone(parameters)
            torch._foreach_add_(parameters, g, alpha=h.eps)
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
        ratio = h.gamma / h.eps
        ahead = [p.grad for p in parameters]
        torch._foreach_mul_(ahead, ratio)
        torch._foreach_add_(ahead, g, alpha=1 - ratio)
        step.optimizer_step()
