"""Scalable Shampoo (Anil et al., 2020): Shampoo with inverse roots now and then, and grafting."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method
from torch import Tensor, nn, optim

DIAGONAL_EPS = 1e-10
"""What the authors' code adds to Adagrad's root."""
SMALLEST_EIGENVALUE = 1e-6
"""What it takes for the largest eigenvalue, which the ridge is relative to, if that is smaller."""


class ScalableShampoo(Method):
    """The direction of Shampoo, the length of Adagrad's step.

    L <- b2 L + (1 - b2) G G^T, R likewise; every `refresh` steps new L^(-1/4) and R^(-1/4), each
    after matrix_eps times its largest eigenvalue is added to its diagonal;
    d = L^(-1/4) G R^(-1/4), scaled to the norm of Adagrad's step; m <- b1 m + d;
    w <- w - lr (b1 m + d). Vectors, and matrices in the first steps, take Adagrad's own step.
    A kernel of four dimensions has four such matrices and the power -1/8.
    """

    # Betas, matrix_eps and start are those of the authors' code in optax.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-2
        beta1: float = 0.9
        beta2: Annotated[float, Choice((0.9, 0.95, 0.99, 0.999))] = 0.999
        matrix_eps: float = 1e-6
        refresh: int = 5
        start: int = 5
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return GraftedShampoo(model.parameters(), self.hyperparameters)


class GraftedShampoo(optim.Optimizer):
    """The update above; keeps a matrix and its root for each dimension of a tensor.

    A library's version has the ridge in its approximate roots alone. Without it rounding makes
    roots of matrices of lower rank indefinite or infinite: of inputs that are always zero.
    """

    def __init__(self, params: Any, h: Any) -> None:
        super().__init__(params, {"lr": h.lr})
        self.h = h

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        (group,) = self.param_groups
        h = self.h
        group["t"] = t = group.get("t", 0) + 1
        for p in group["params"]:
            if p.grad is None:
                continue
            g, state = p.grad, self.state[p]
            if not state:
                state["v"], state["m"], state["m_graft"] = (torch.zeros_like(p) for _ in range(3))
                sizes = p.shape if p.ndim >= 2 else ()
                state["L"] = [h.matrix_eps * torch.eye(n).to(p) for n in sizes]
                state["roots"] = [torch.eye(n).to(p) for n in sizes]
            state["v"].addcmul_(g, g)
            graft = g / (state["v"].sqrt() + DIAGONAL_EPS)
            for k, L in enumerate(state["L"]):
                rows = g.movedim(k, 0).flatten(1)
                L.mul_(h.beta2).addmm_(rows, rows.T, alpha=1 - h.beta2)
                if t % h.refresh == 0:
                    state["roots"][k] = inverse_root(L, 2 * p.ndim, h.matrix_eps)
            d = precondition(state["roots"], g) if state["roots"] else graft
            d = d * (graft.norm() / (d.norm() + 1e-16)) + h.weight_decay * p
            graft = graft + h.weight_decay * p
            m = state["m"].mul_(h.beta1).add_(d)
            m_graft = state["m_graft"].mul_(h.beta1).add_(graft)
            update = h.beta1 * m + d if t >= h.start else h.beta1 * m_graft + graft
            p.sub_(update, alpha=group["lr"])


def precondition(roots: list[Tensor], x: Tensor) -> Tensor:
    """X with each dimension multiplied by its root."""
    for k, root in enumerate(roots):
        x = torch.tensordot(root, x, ([1], [k])).movedim(0, k)
    return x


def inverse_root(matrix: Tensor, power: int, eps: float) -> Tensor:
    """(matrix + ridge I)^(-1 / power) of a symmetric (n, n) without negative eigenvalues; NaN where
    it is not finite.
    """
    if not matrix.isfinite().all():
        return torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(matrix)
    ridge = eps * values[-1].clamp(min=SMALLEST_EIGENVALUE)
    values = (values + ridge).clamp(min=ridge)  # rounding makes small ones negative
    return (vectors * values.pow(-1 / power)) @ vectors.T
