"""FOSI: Newton along the steepest directions, Adam along the rest (Sivan et al., 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method, Step, Uniform
from torch import Generator, Tensor, nn, optim


class FOSI(Method):
    """Every `period` steps, V and lambda: the k largest eigenpairs of the batch's Hessian, by
    Lanczos of order 4 k. g1 = V^T V g, g2 = g - g1; v <- b1 v + (1-b1) g1;
    w <- w - alpha sum_i <V_i, v> V_i / |lambda_i| - (Adam's step for g2, its part along V removed).

    The first eigenpairs are taken after `period` steps; until then it is Adam.
    """

    # k, period and alpha: the official code's fosi_adam; lr and beta1 are Adam's.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        k: int = 5
        period: Annotated[int, Choice((50, 100, 200))] = 100
        alpha: Annotated[float, LogUniform(0.01, 1.0)] = 0.1

    # Runs are shorter: Adam's learning rates, and eigenpairs sooner.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        period: Annotated[int, Choice((10, 20, 50))] = 20

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    @property
    def passes_per_batch(self) -> float:
        """The gradient, and the share of each batch in a search for eigenpairs."""
        h = self.hyperparameters
        order = min(4 * h.k, self.plan.recipe.get("dimension", 4 * h.k))
        return float(1 + order / h.period)

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        return NewtonAdam(model.parameters(), self.hyperparameters)

    def training_step(self, step: Step) -> None:
        """The gradient; when it is time, eigenpairs from its graph."""
        (optimizer,) = step.optimizers
        w = optimizer.param_groups[0]["params"]
        due = (self.plan.batch + 1) % self.hyperparameters.period == 0
        g = flat(torch.autograd.grad(step.loss(), w, create_graph=due, materialize_grads=True))
        if due:

            def product(x: Tensor) -> Tensor:
                rows = torch.autograd.grad(g, w, x.to(g), retain_graph=True, materialize_grads=True)
                return flat(rows).to(x)

            k = self.hyperparameters.k
            optimizer.state["vector"] |= largest(product, g.detach(), k, self.plan.generator)
        for p, part in zip(w, g.detach().split([p.numel() for p in w]), strict=True):
            p.grad = part.view_as(p)
        step.optimizer_step()


class NewtonAdam(optim.Optimizer):
    """The update above on all parameters as one vector; keeps k more."""

    def __init__(self, params: Any, h: Any) -> None:
        super().__init__(params, {"lr": h.lr})
        self.h = h
        zero = torch.zeros_like(flat(self.param_groups[0]["params"]).detach())
        state = {name: zero.clone() for name in ("v", "mean", "square")}
        self.state["vector"] = {"t": 0, "lambda": zero[:0], "V": zero[None][:0], **state}

    @torch.no_grad()
    def step(self) -> None:
        """One update."""
        (group,) = self.param_groups
        h, params, state = self.h, group["params"], self.state["vector"]
        g = flat(torch.zeros_like(p) if p.grad is None else p.grad for p in params)
        state["t"] += 1
        V, t = state["V"], state["t"]
        g1 = (V @ g) @ V
        g2 = g - g1
        state["v"].lerp_(g1, 1 - h.beta1)
        state["mean"].lerp_(g2, 1 - h.beta1)
        state["square"].mul_(h.beta2).addcmul_(g2, g2, value=1 - h.beta2)
        scale = (state["square"] / (1 - h.beta2**t)).sqrt_().add_(h.eps)
        base = group["lr"] * state["mean"] / (1 - h.beta1**t) / scale
        newton = (V @ state["v"] / state["lambda"].abs()) @ V
        u = base - (V @ base) @ V + h.alpha * newton
        for p, part in zip(params, u.split([p.numel() for p in params]), strict=True):
            if p.grad is not None:
                p.sub_(part.view_as(p))


def flat(parts: Iterable[Tensor]) -> Tensor:
    """Tensors as one vector; those of convolutions may lie in memory in another order."""
    return torch.cat([part.flatten() for part in parts])


def largest(
    product: Callable[[Tensor], Tensor], like: Tensor, k: int, generator: Generator
) -> dict[str, Tensor]:
    """The k largest eigenvalues, lambda (k,), and eigenvectors, V (k, d), by 4 k steps of Lanczos.

    In double precision with full reorthogonalisation; ends early in an invariant subspace.

    Args:
        product: of the Hessian and a vector (d,).
        like: a vector (d,) of the type to return.
        k: how many.
        generator: draws the first vector.
    """
    q = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    Q, products = (q / q.norm())[None], list[Tensor]()
    for _ in range(min(4 * k, len(q))):
        r = product(Q[-1])
        products.append(r)
        r = r - (Q @ r) @ Q
        r = r - (Q @ r) @ Q
        if r.norm() <= 1e-10 * products[-1].norm():
            break
        Q = torch.cat([Q, (r / r.norm())[None]])
    Q = Q[: len(products)]
    values, coordinates = torch.linalg.eigh(Q @ torch.stack(products).T)
    nonzero = values.abs() > 1e-12 * values.abs().max()
    values, vectors = values[nonzero][-k:], (coordinates.T @ Q)[nonzero][-k:]
    return {"lambda": values.to(like), "V": vectors.to(like)}
