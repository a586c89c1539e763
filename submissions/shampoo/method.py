"""Shampoo (Gupta, Koren and Singer, 2018, Algorithms 1 and 2), without grafting."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method
from torch import Tensor, nn, optim


class Shampoo(Method):
    """L <- L + G G^T; R <- R + G^T G; W <- W - lr L^(-1/4) G R^(-1/4), L and R beginning at eps I.

    A vector has one such matrix and the power -1/2; a kernel of four dimensions has four and -1/8.
    """

    # The first step has the length of a rotation, the t-th about 1 / sqrt(t) of it, as in Adagrad.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        matrix_eps: Annotated[float, LogUniform(1e-8, 1e-2)] = 1e-4
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # A step is at most lr long whatever the gradient's scale, so lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-2, 10.0)] = 1.0
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return MatrixAdagrad(model.parameters(), self.hyperparameters)


class MatrixAdagrad(optim.Optimizer):
    """The update above; keeps a matrix for each dimension of a tensor.

    A library's version takes the roots by singular values. In single precision those of a matrix
    of low rank can be zero, and its root infinite: of inputs that are always zero.
    """

    def __init__(self, params: Any, h: Any) -> None:
        super().__init__(params, {"lr": h.lr})
        self.h = h

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        (group,) = self.param_groups
        for p in group["params"]:
            if p.grad is None:
                continue
            g = torch.atleast_1d(p.grad + self.h.weight_decay * p)
            eps, state = self.h.matrix_eps, self.state[p]
            if not state:
                state["L"] = [eps * torch.eye(n).to(g) for n in g.shape]
            d = g
            for k, L in enumerate(state["L"]):
                rows = g.movedim(k, 0).reshape(len(L), -1)
                L.addmm_(rows, rows.T)
                d = torch.tensordot(inverse_root(L, 2 * g.ndim, eps), d, ([1], [k])).movedim(0, k)
            p.sub_(d.view_as(p), alpha=group["lr"])


def inverse_root(matrix: Tensor, power: int, smallest: float) -> Tensor:
    """matrix^(-1 / power) of a symmetric (n, n) whose eigenvalues are `smallest` or more; NaN where
    it is not finite.
    """
    if not matrix.isfinite().all():
        return torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=smallest)  # rounding makes small ones zero or negative
    return (vectors * values.pow(-1 / power)) @ vectors.T
