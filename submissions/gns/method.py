"""Newton's method regularised by gradient-normalised smoothness (Semenov et al., 2025)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import LogUniform, Method, Step
from torch import Tensor, nn, optim


class GNS(Method):
    """lam = norm(g) / gamma; d = -(H + lam I)^-1 g. Where f(w) - f(w + d) >= norm(g(w + d))^2 /
    (8 lam), keep it and double gamma; else halve gamma and try again.

    H costs a Hessian product for each unknown, so this enters synthetic functions alone. Where
    H + lam I is not positive definite, gamma is halved too. There is no learning rate.
    """

    # gamma = 1 at the start is the official code's; it adapts by factors of two.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; `tries` at most for one step."""

        gamma: Annotated[float, LogUniform(1e-2, 1e2)] = 1.0
        tries: int = 40

    @property
    def passes_per_batch(self) -> float:
        """A Hessian product for each unknown, the gradient, and a trial or two."""
        return float(self.plan.recipe.get("dimension", 1)) + 2.5

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """Keeps gamma."""
        return Radius(model.parameters(), self.hyperparameters.gamma)

    def training_step(self, step: Step) -> None:
        """One step (Algorithm 1): the Hessian once, and a trial for each gamma."""
        (optimizer,) = step.optimizers
        w, state = optimizer.param_groups[0]["params"], optimizer.state["radius"]
        f = step.loss()
        graph = torch.autograd.grad(f, w, create_graph=True, materialize_grads=True)
        g = torch.cat([part.detach().flatten() for part in graph]).double()
        if not g.any():
            return
        H = hessian(graph, w)
        for _ in range(self.hyperparameters.tries):
            lam = g.norm() / state["gamma"]
            shifted = H + lam * torch.eye(len(g), dtype=g.dtype, device=g.device)
            factor, indefinite = torch.linalg.cholesky_ex(shifted)
            if not indefinite:
                d = -torch.cholesky_solve(g.unsqueeze(1), factor).squeeze(1)
                trial = moved(step.model, d)
                outputs = torch.func.functional_call(step.model, trial, (step.batch.inputs,))
                f_trial = self.compute_loss(outputs, step.batch)
                g_trial = torch.autograd.grad(f_trial, list(trial.values()), materialize_grads=True)
                size = sum(float(part.double().square().sum()) for part in g_trial)
                if f.item() - f_trial.item() >= size / (8 * lam.item()):
                    state["gamma"] *= 2
                    with torch.no_grad():
                        torch._foreach_copy_(w, list(trial.values()))
                    return
            state["gamma"] /= 2


class Radius(optim.Optimizer):
    """gamma, between steps."""

    def __init__(self, params: Any, gamma: float) -> None:
        super().__init__(params, {})
        self.state["radius"] = {"gamma": gamma}

    def step(self) -> None:
        """Nothing: `GNS.training_step` moves the parameters."""


def hessian(graph: Any, w: list[Tensor]) -> Tensor:
    """The Hessian (n, n) in double precision, by one product for each of n unknowns."""
    sizes = [p.numel() for p in w]
    rows = []
    for e in torch.eye(sum(sizes), dtype=w[0].dtype, device=w[0].device):
        v = [part.view_as(p) for part, p in zip(e.split(sizes), w, strict=True)]
        row = torch.autograd.grad(graph, w, v, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([part.flatten() for part in row]).double())
    H = torch.stack(rows)
    return (H + H.T) / 2


def moved(model: nn.Module, d: Tensor) -> dict[str, Tensor]:
    """The parameters with the vector d added, by name, as leaves of a graph of their own."""
    named = dict(model.named_parameters())
    parts = d.split([p.numel() for p in named.values()])
    return {
        name: (p.detach() + part.view_as(p)).to(p.dtype).requires_grad_()
        for (name, p), part in zip(named.items(), parts, strict=True)
    }
