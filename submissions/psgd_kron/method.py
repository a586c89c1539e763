"""PSGD with Kronecker factors that whiten the gradient (Li, 2018 and 2024)."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method, Uniform
from torch import Generator, Tensor, nn, optim


class PSGDKron(Method):
    """Momentum times a matrix P = Q^T Q, Q = Q_1 x Q_2, that is learnt to whiten it.

    With v ~ N(0, I), A = Q_1 M Q_2^T and B = Q_1^-T V Q_2^-1, each triangular factor follows
    Q_1 <- Q_1 - 0.1 triu(A A^T - B B^T) Q_1 / |A A^T + B B^T|;
    W <- W - lr (clip(P M) + wd W), where the clipping keeps the RMS of a step under 1.1.
    Vectors have a diagonal Q. Updates of Q become rarer: every step at first, of 33 in the end.
    """

    # Defaults are those of kron_torch, the code that libraries' versions come from.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled and of matrices alone."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        momentum: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0
        smallest_triangular: int = 2

    # A step is about lr long whatever the gradient's scale, so lr is in units of the domain. The
    # unknowns are one vector, and what the method is for are factors that are not diagonal.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0
        smallest_triangular: int = 1

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return Kron(model.parameters(), self.hyperparameters, self.plan.generator)


class Kron(optim.Optimizer):
    """The update above; keeps momentum and one factor for each dimension of a tensor.

    A library's version multiplies the factors of a matrix out, n^2 m^2 elements of an (n, m), which
    costs forty times as much as this on a small network.
    """

    def __init__(self, params: Any, h: Any, generator: Generator) -> None:
        super().__init__(params, {"lr": h.lr})
        self.h, self.generator = h, generator

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        (group,) = self.param_groups
        h = self.h
        group["t"] = t = group.get("t", 0) + 1
        share = min(max(math.exp(-0.001 * (t - 1 - 500)), 0.03), 1.0)
        waited = group.get("waited", 0) + 1
        learns = waited >= 1 / share
        group["waited"] = 0 if learns else waited
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["m"] = torch.zeros_like(p)
                state["Q"] = [self.identity(p, n) for n in p.shape]
            m = state["m"].lerp_(p.grad, 1 - h.momentum) / (1 - h.momentum**t)
            if learns:
                learn(state["Q"], m, torch.randn(p.shape, generator=self.generator).to(p))
            u = precondition(state["Q"], m)
            u.mul_((1.1 / (u.square().mean().sqrt() + 1e-6)).clamp(max=1.0))
            if h.weight_decay and p.ndim >= 2:
                u.add_(p, alpha=h.weight_decay)
            p.sub_(u, alpha=group["lr"])

    def identity(self, p: Tensor, n: int) -> Tensor:
        """The first factor of a dimension of n: a triangle, or a diagonal."""
        triangular = n > 1 and p.ndim >= self.h.smallest_triangular
        return torch.eye(n).to(p) if triangular else p.new_ones(n)


def precondition(Q: list[Tensor], x: Tensor) -> Tensor:
    """Q^T Q x, along each dimension of x."""
    for k, q in enumerate(Q):
        x = applied(q * q if q.ndim == 1 else q.T @ q, x, k)
    return x


def learn(Q: list[Tensor], m: Tensor, v: Tensor) -> None:
    """One step of each factor down the whitening criterion; m and v are of the tensor's shape."""
    a, b = m, v
    for k, q in enumerate(Q):
        a, b = applied(q, a, k), unapplied(q, b, k)
    for k, q in enumerate(Q):
        rows_a, rows_b = rows(a, k), rows(b, k)
        if q.ndim == 1:
            one, other = rows_a.square().sum(1), rows_b.square().sum(1)
            change = (one - other) * q
            size = (one + other).max()
        else:
            one, other = rows_a @ rows_a.T, rows_b @ rows_b.T
            change = (one - other).triu_() @ q
            size = norm_bound(one + other)
        q.sub_(change.div_(size + torch.finfo(q.dtype).tiny), alpha=0.1)


def rows(x: Tensor, k: int) -> Tensor:
    """X as a matrix whose rows are its dimension k."""
    return x.movedim(k, 0).flatten(1) if x.ndim > 1 else x.unsqueeze(1)


def unrows(matrix: Tensor, x: Tensor, k: int) -> Tensor:
    """A matrix like rows(x, k) in the shape of x."""
    rest = [n for i, n in enumerate(x.shape) if i != k]
    return matrix.reshape(-1, *rest).movedim(0, k)


def applied(q: Tensor, x: Tensor, k: int) -> Tensor:
    """X with its dimension k multiplied by q: a matrix (n, n), or a diagonal (n,)."""
    matrix = rows(x, k)
    return unrows(q.unsqueeze(1) * matrix if q.ndim == 1 else q @ matrix, x, k)


def unapplied(q: Tensor, x: Tensor, k: int) -> Tensor:
    """X with its dimension k multiplied by q^-T."""
    matrix = rows(x, k)
    if q.ndim == 1:
        return unrows(matrix / q.unsqueeze(1), x, k)
    return unrows(torch.linalg.solve_triangular(q.T, matrix, upper=False), x, k)


def norm_bound(matrix: Tensor) -> Tensor:
    """A lower bound of a symmetric matrix's spectral norm: two products from its longest row."""
    largest = matrix.abs().max().clamp(min=torch.finfo(matrix.dtype).tiny)
    scaled = matrix / largest
    x = scaled @ scaled[scaled.square().sum(1).argmax()]
    x = x / x.norm().clamp(min=torch.finfo(matrix.dtype).tiny)
    return largest * (scaled @ x).norm()
