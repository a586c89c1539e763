"""EFCP: M-FAC whose window holds only the largest gradient elements (Modoranu et al., 2024)."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method
from torch import Tensor, nn, optim


class EFCP(Method):
    """a = xi + g; c = TopK(a); xi <- a - c; w <- (1 - wd) w - lr F^-1 c, where F = damp I + (1/m)
    sum of c_i c_i^T over the last m, c among them (M-FAC on what is left of the gradients).

    k is `density` of all elements; what is not sent waits in the error xi.
    """

    # lr, damp, density and decay: the authors' ResNet-20 run on CIFAR-10. m = 1024 there.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay acts on the weights, and lr does not scale it."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        damp: Annotated[float, LogUniform(1e-6, 1e-2)] = 1e-4
        density: float = 0.01
        m: int = 256
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 1e-4

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions: M-FAC's, and at least one element a step."""

        lr: Annotated[float, LogUniform(1e-2, 3.0)] = 1.0
        damp: Annotated[float, LogUniform(1e-2, 1e2)] = 1.0
        m: int = 16
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return SparseMatrixFree(model.parameters(), **self.hyperparameters.model_dump())


class SparseMatrixFree(optim.Optimizer):
    """The update above on all parameters as one vector; keeps m rows of k elements."""

    def __init__(
        self, params: Any, *, lr: float, damp: float, density: float, m: int, weight_decay: float
    ) -> None:
        defaults = {"lr": lr, "damp": damp, "density": density, "m": m}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        (group,) = self.param_groups
        m, params = group["m"], group["params"]
        a = torch.cat([gradient_of(p) for p in params])
        k = math.ceil(group["density"] * len(a))
        state = self.state["window"]
        if not state:
            state["t"], state["xi"] = 0, torch.zeros_like(a)
            state["values"] = a.new_zeros(m, k)
            state["places"] = torch.zeros(m, k, dtype=torch.int64, device=a.device)
            state["CCT"] = torch.zeros(m, m, dtype=torch.float64, device=a.device)
        values, places, row = state["values"], state["places"], state["t"] % m
        state["t"] += 1
        a += state["xi"]
        places[row] = torch.topk(a.abs(), k, sorted=False).indices
        values[row] = a[places[row]]
        c = torch.zeros_like(a).index_copy_(0, places[row], values[row])
        state["xi"] = a - c
        products = (values * c[places]).sum(1).double()
        state["CCT"][row] = state["CCT"][:, row] = products
        s = inverse_column(state["CCT"], m * group["damp"], row).to(a.dtype)
        u = torch.zeros_like(a)
        u.index_add_(0, places.flatten(), (m * s.unsqueeze(1) * values).flatten())
        for p, part in zip(params, u.split([p.numel() for p in params]), strict=True):
            if p.grad is not None:
                p.mul_(1 - group["weight_decay"])
                p.add_(part.view_as(p), alpha=-group["lr"])


def gradient_of(p: Tensor) -> Tensor:
    """The gradient as a vector; zeros where there is none."""
    return (torch.zeros_like(p) if p.grad is None else p.grad).flatten()


def inverse_column(products: Tensor, damp: float, column: int) -> Tensor:
    """A column of (damp I + products)^-1; NaN where that is not positive definite."""
    e = torch.zeros_like(products[0])
    e[column] = 1
    shifted = products + damp * torch.eye(len(e), dtype=e.dtype, device=e.device)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    if failed:
        return torch.full_like(e, torch.nan)
    return torch.cholesky_solve(e.unsqueeze(1), factor).squeeze(1)
