"""OPT-AMSGrad: AMSGrad that steps along a guess of the next gradient (Wang et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method, Uniform
from torch import Tensor, nn, optim


class OptAMSGrad(Method):
    """theta <- b1 theta + (1-b1) g; v <- b2 v + (1-b2) g^2; vhat <- max(vhat, v);
    w~ <- w~ - lr theta / sqrt(vhat); w <- w~ - lr h / sqrt(vhat) with
    h = b1 theta_{t-1} + (1-b1) m_{t+1}, where m_{t+1} is the guess of the next gradient.
    """

    # Ranges and defaults are AMSGrad's; r = 5 gradients in the guess are the paper's.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        r: Annotated[int, Choice((1, 3, 5))] = 5
        lam: float = 1e-3
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return OptimisticAMSGrad(model.parameters(), **self.hyperparameters.model_dump())


class OptimisticAMSGrad(optim.Optimizer):
    """The update above on all parameters as one vector; keeps r + 1 gradients."""

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        r: int,
        lam: float,
        weight_decay: float,
    ) -> None:
        defaults = {"lr": lr, "betas": (beta1, beta2), "eps": eps, "r": r, "lam": lam}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        (group,) = self.param_groups
        (b1, b2), lr, params = group["betas"], group["lr"], group["params"]
        w = torch.cat([p.flatten() for p in params])
        g = torch.cat([gradient_of(p) for p in params]).add_(w, alpha=group["weight_decay"])
        state = self.state["vector"]
        if not state:
            state["theta"], state["v"], state["vhat"] = g.new_zeros(3, len(g))
            state["w"], state["gradients"] = w.clone(), []
        theta, v, vhat, anchor = state["theta"], state["v"], state["vhat"], state["w"]
        before = theta.clone()
        theta.lerp_(g, 1 - b1)
        v.mul_(b2).addcmul_(g, g, value=1 - b2)
        torch.maximum(vhat, v, out=vhat)
        scale = vhat.sqrt().add_(group["eps"])
        anchor.addcdiv_(theta, scale, value=-lr)
        state["gradients"] = [*state["gradients"][-group["r"] :], g]
        guess = extrapolated(state["gradients"], group["lam"])
        h = before.lerp_(guess, 1 - b1)
        ahead = torch.addcdiv(anchor, h, scale, value=-lr)
        for p, part in zip(params, ahead.split([p.numel() for p in params]), strict=True):
            if p.grad is not None:
                p.copy_(part.view_as(p))


def gradient_of(p: Tensor) -> Tensor:
    """The gradient as a vector; zeros where there is none."""
    return (torch.zeros_like(p) if p.grad is None else p.grad).flatten()


def extrapolated(gradients: list[Tensor], lam: float) -> Tensor:
    """Where a sequence of vectors tends: regularised minimal polynomial extrapolation.

    Of g_0, ..., g_r the columns of U are the differences g_i - g_{i-1}; z solves
    (U^T U / norm(U^T U) + lam I) z = 1, and the guess is sum_i z_i g_i / sum_i z_i, i = 1..r
    (Scieur, d'Aspremont and Bach 2016). One vector is its own guess.
    """
    x = torch.stack(gradients)
    if len(x) == 1:
        return x[0]
    u = x.diff(dim=0).double()
    products = u @ u.T
    size = torch.linalg.matrix_norm(products, 2).clamp(min=torch.finfo(torch.float64).tiny)
    identity = torch.eye(len(u), dtype=u.dtype, device=u.device)
    z = torch.linalg.solve(products / size + lam * identity, torch.ones_like(u[:, 0]))
    return (z / z.sum()).to(x.dtype) @ x[1:]
