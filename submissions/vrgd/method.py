"""VRGD: gradients weighted by their signal-to-noise ratio (Jiang et al., 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor


class VRGD(Method):
    """r = E[g]^2 / Var[g] over k micro-batches, element by element; r <- r / mean of r over its
    tensor, clipped to [gamma, 1]; g <- r E[g], for the task's optimizer (VR-SGD where it is SGD).
    """

    # gamma = 0.1 is the paper's (from memory); k = 8 devices.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        gamma: Annotated[float, LogUniform(0.01, 1.0)] = 0.1
        k: Annotated[int, Choice((4, 8, 16))] = 8

    def training_step(self, step: Step) -> None:
        """Gradients of the micro-batches, their ratio, the optimizer's step."""
        h = self.hyperparameters
        parts = step.micro_gradients(h.k)
        for p, g in zip(step.model.parameters(), parts, strict=True):
            mean = g.mean(0)
            p.grad = ratio(mean, g.var(0, correction=0), h.gamma).mul_(mean)
        step.optimizer_step()


def ratio(mean: Tensor, variance: Tensor, gamma: float) -> Tensor:
    """The clipped ratio; 1 for tensors without variance."""
    square, limits = mean.square(), torch.finfo(mean.dtype)
    # A variance below the rounding of the mean counts as that: r and its sum stay finite.
    r = square / torch.maximum(variance, limits.eps**2 * square).clamp(min=limits.tiny)
    return r.div_(r.mean().clamp(min=limits.tiny)).clamp_(gamma, 1)
