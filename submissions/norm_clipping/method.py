"""Clipping by the global norm (Pascanu, Mikolov and Bengio, 2013, Algorithm 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from assay import LogUniform, Method
from torch import nn
from torch.nn.utils import get_total_norm


class NormClipping(Method):
    """If |g| >= theta: g <- theta g / |g|, where |g| is the norm of all gradients together."""

    # The paper chooses theta near the mean norm of a few thousand updates, and finds that training
    # depends little on it.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        theta: Annotated[float, LogUniform(0.05, 10.0)] = 1.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, whose gradients are larger."""

        theta: Annotated[float, LogUniform(0.05, 500.0)] = 1.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def transform_gradients(self, model: nn.Module) -> None:
        """Scale all gradients alike."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = get_total_norm(gradients)
        torch._foreach_mul_(gradients, (self.hyperparameters.theta / norm).clamp(max=1.0))
