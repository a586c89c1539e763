"""Exponentiated gradient: mirror descent with negative entropy (Pogodin et al., 2024)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import LogUniform, Method, Uniform
from torch import nn, optim


class ExponentiatedGradient(Method):
    """w <- w exp(-lr sign(w) v); v <- mu v + g. A weight keeps its sign, and 0 stays 0.

    So biases that start at zero (batch norm) do not move, and it enters no synthetic function:
    a minimum at unknowns of another sign cannot be reached.
    """

    # A weight w moves by lr |w| v: at the weights' usual size of 0.1, lr = 1 is SGD's 0.1. But
    # weights grow as fast as they are large, and with lr = 1 an easy problem diverges.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(0.01, 3.0)] = 0.1
        momentum: Annotated[float, Uniform(0.8, 0.98)] = 0.9

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return Multiplicative(model.parameters(), **self.hyperparameters.model_dump())


class Multiplicative(optim.Optimizer):
    """The update above; keeps v."""

    def __init__(self, params: Any, *, lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                v = self.state[w].setdefault("v", torch.zeros_like(w))
                v.mul_(group["momentum"]).add_(w.grad)
                w.mul_((w.sign() * v).mul_(-group["lr"]).exp_())
