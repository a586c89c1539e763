"""Optimistic gradient: the single-call extra-gradient of Hsieh et al. (2019)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method
from torch import nn, optim


class OptimisticGradient(Method):
    """w <- w - lr (2 g_t - g_{t-1}) with g_0 = 0: past extra-gradient in terms of the points at
    which gradients are taken (X_{t+1/2} in the paper).
    """

    # A step near a minimum is that of SGD without momentum: lr has SGD's range, which momentum
    # 0.9 makes ten times as long, so it reaches further up.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-2, 3.0)] = 0.1
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # As for SGD: what bounds lr, the largest curvature, is the same to a factor of two.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-4, 0.3)] = 0.01
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return PastExtraGradient(model.parameters(), **self.hyperparameters.model_dump())


class PastExtraGradient(optim.Optimizer):
    """The update above; keeps one gradient per parameter."""

    def __init__(self, params: Any, *, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            w = [p for p in group["params"] if p.grad is not None]
            if not w:
                continue
            g = torch._foreach_add([p.grad for p in w], w, alpha=group["weight_decay"])
            for p in w:
                self.state[p].setdefault("previous", torch.zeros_like(p))
            previous = [self.state[p]["previous"] for p in w]
            torch._foreach_add_(w, g, alpha=-2 * group["lr"])
            torch._foreach_add_(w, previous, alpha=group["lr"])
            torch._foreach_copy_(previous, g)
