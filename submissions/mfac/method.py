"""M-FAC: steps by the inverse of an empirical Fisher matrix of recent gradients (Frantar et al.,
2021).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method
from torch import Tensor, nn, optim


class MFAC(Method):
    """w <- w - lr F^-1 g with F = damp I + (1/m) sum of g_i g_i^T over the last m gradients, g
    among them. G (m, d) holds them as rows and starts at zero, as in the official code.

    By Woodbury, with e of g's row, F^-1 g = m G^T (m damp I + G G^T)^-1 e.
    """

    # lr and damp: defaults of the official code. m = 1024 there; 256 rows fit a CPU. Its ResNet-20
    # has a weight decay of 3e-3.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        damp: Annotated[float, LogUniform(1e-6, 1e-2)] = 1e-5
        m: int = 256
        momentum: float = 0.0
        weight_decay: Annotated[float, Choice((0.0, 1e-4, 1e-3, 3e-3))] = 0.0

    # A step along one gradient alone is lr m / norm(g) long: near a minimum of a function
    # without noise it grows until norm(g)^2 falls below m damp.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-2, 3.0)] = 1.0
        damp: Annotated[float, LogUniform(1e-2, 1e2)] = 1.0
        m: int = 16
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return MatrixFree(model.parameters(), **self.hyperparameters.model_dump())


class MatrixFree(optim.Optimizer):
    """The update above on all parameters as one vector of d elements; keeps m gradients."""

    def __init__(
        self, params: Any, *, lr: float, damp: float, m: int, momentum: float, weight_decay: float
    ) -> None:
        defaults = {"lr": lr, "damp": damp, "m": m, "momentum": momentum}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        (group,) = self.param_groups
        m, params = group["m"], group["params"]
        g = torch.cat([gradient_of(p, group["weight_decay"]) for p in params])
        state = self.state["window"]
        if not state:
            state["t"], state["G"], state["v"] = 0, g.new_zeros(m, len(g)), torch.zeros_like(g)
            state["GGT"] = torch.zeros(m, m, dtype=torch.float64, device=g.device)
        G, GGT, row = state["G"], state["GGT"], state["t"] % m
        state["t"] += 1
        G[row] = g
        GGT[row] = GGT[:, row] = G @ g
        s = inverse_column(GGT, m * group["damp"], row)
        state["v"].lerp_(m * (s.to(G.dtype) @ G), 1 - group["momentum"])
        for p, u in zip(params, state["v"].split([p.numel() for p in params]), strict=True):
            if p.grad is not None:
                p.add_(u.view_as(p), alpha=-group["lr"])


def gradient_of(p: Tensor, weight_decay: float) -> Tensor:
    """The gradient as a vector, weight decay added; zeros where there is none."""
    return (torch.zeros_like(p) if p.grad is None else p.grad + weight_decay * p).flatten()


def inverse_column(products: Tensor, damp: float, column: int) -> Tensor:
    """A column of (damp I + products)^-1; NaN where that is not positive definite."""
    e = torch.zeros_like(products[0])
    e[column] = 1
    shifted = products + damp * torch.eye(len(e), dtype=e.dtype, device=e.device)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    if failed:
        return torch.full_like(e, torch.nan)
    return torch.cholesky_solve(e.unsqueeze(1), factor).squeeze(1)
