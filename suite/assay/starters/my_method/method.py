"""Momentum SGD that moves only where gradient and momentum have the same sign."""

from typing import Annotated

import torch
from assay import LogUniform, Method, Uniform
from torch import nn


class AgreeingSGD(torch.optim.Optimizer):
    """m <- beta m + g; w <- w - lr m where m g > 0, and w stays elsewhere."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    m = self.state[w].setdefault("m", torch.zeros_like(w))
                    m.mul_(group["beta"]).add_(w.grad)
                    w.sub_(group["lr"] * m * (m * w.grad > 0))


class MyMethod(Method):
    """Hooks not defined here keep their defaults; assay.method.Method lists them all."""

    class Hyperparameters(Method.Hyperparameters):
        """A default for every field; a range for those that a tuner may choose."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.03
        beta: Annotated[float, Uniform(0.5, 0.99)] = 0.9

    def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Parameter groups may differ; the task's schedule scales the lr of each."""
        h = self.hyperparameters
        return AgreeingSGD(model.parameters(), {"lr": h.lr, "beta": h.beta})
