"""Mirror descent with the potential of a p-norm (Pogodin et al., 2024)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method, Uniform
from torch import Tensor, nn, optim


class MirrorDescent(Method):
    """y = phi'(w) - lr v; w <- phi'^-1(y) with phi(w) = norm_p(w)^p / p, so that phi'(w) =
    sign(w) |w|^(p-1); v <- mu v + g. p = 2 is SGD; p > 2 moves large weights less.
    """

    # p = 3 is the paper's. A weight w moves by lr v / ((p-1) |w|^(p-2)): five times as far as
    # in SGD at the weights' usual size of 0.1 with p = 3, so lr lies lower.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 0.3)] = 0.01
        p: Annotated[float, Choice((1.5, 2.5, 3.0))] = 3.0
        momentum: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # Unknowns are about one in size there, where a step is half of SGD's: SGD's range.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-4, 0.3)] = 0.01
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return Mirrored(model.parameters(), **self.hyperparameters.model_dump())


class Mirrored(optim.Optimizer):
    """The update above; keeps v."""

    def __init__(
        self, params: Any, *, lr: float, p: float, momentum: float, weight_decay: float
    ) -> None:
        defaults = {"lr": lr, "p": p, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            q = group["p"] - 1
            for w in group["params"]:
                if w.grad is None:
                    continue
                v = self.state[w].setdefault("v", torch.zeros_like(w))
                v.mul_(group["momentum"]).add_(w.grad).add_(w, alpha=group["weight_decay"])
                w.copy_(signed_power(signed_power(w, q).sub_(v, alpha=group["lr"]), 1 / q))


def signed_power(x: Tensor, q: float) -> Tensor:
    """sign(x) |x|^q."""
    return x.abs().pow_(q).mul_(x.sign())
