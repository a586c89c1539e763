"""Sharpness-aware minimisation (Foret et al., 2021): the gradient at a worse point nearby."""

from __future__ import annotations

from typing import Annotated

import torch
from assay import LogUniform, Method, Step


class SAM(Method):
    passes_per_batch = 2.0

    class Hyperparameters(Method.Hyperparameters):
        rho: Annotated[float, LogUniform(0.01, 0.5)] = 0.05

    def training_step(self, step: Step) -> None:
        step.zero_grad()
        step.backward(step.loss())
        parameters = [p for p in step.model.parameters() if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in parameters]).norm().clamp(min=1e-12)
        shifts = [p.grad * (self.hyperparameters.rho / norm) for p in parameters]
        with torch.no_grad():
            for parameter, shift in zip(parameters, shifts, strict=True):
                parameter.add_(shift)
        step.zero_grad()
        step.backward(step.loss())
        with torch.no_grad():
            for parameter, shift in zip(parameters, shifts, strict=True):
                parameter.sub_(shift)
        step.optimizer_step()
