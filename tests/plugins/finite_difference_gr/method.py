"""Gradient regularisation by a forward difference (Karakida et al., 2023).

The gradient of L + (gamma / 2) |grad L|^2 is g + gamma H g, and H g is taken from a second
gradient: (g(w + eps g) - g(w)) / eps.
"""

from __future__ import annotations

from typing import Annotated

import torch
from assay import LogUniform, Method, Step


class FiniteDifferenceGR(Method):
    passes_per_batch = 2.0

    class Hyperparameters(Method.Hyperparameters):
        gamma: Annotated[float, LogUniform(1e-3, 1.0)] = 0.05
        eps: float = 0.01

    def training_step(self, step: Step) -> None:
        gamma, eps = self.hyperparameters.gamma, self.hyperparameters.eps
        step.zero_grad()
        step.backward(step.loss())
        parameters = [p for p in step.model.parameters() if p.grad is not None]
        before = [p.grad.clone() for p in parameters]
        with torch.no_grad():
            for parameter, gradient in zip(parameters, before, strict=True):
                parameter.add_(gradient, alpha=eps)
        step.zero_grad()
        step.backward(step.loss())
        with torch.no_grad():
            for parameter, gradient in zip(parameters, before, strict=True):
                parameter.sub_(gradient, alpha=eps)
                product = (parameter.grad - gradient) / eps
                parameter.grad = gradient + gamma * product
        step.optimizer_step()
