"""Sophia-H (Liu et al., 2024, Algorithms 1 and 3): Sophia with Hutchinson's estimator."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor, nn, optim


class SophiaH(Method):
    """Momentum divided by the diagonal of the Hessian, and clipped.

    m <- b1 m + (1 - b1) g; at every k-th step h <- b2 h + (1 - b2) u * (H u) with u ~ N(0, I);
    w <- (1 - lr wd) w - lr clip(m / max(gamma h, eps), -1, 1).
    """

    # The authors' values for Sophia-H, with an lr a little below that of AdamW.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        gamma: Annotated[float, LogUniform(1e-3, 10.0)] = 1e-2
        beta1: float = 0.96
        beta2: float = 0.99
        eps: float = 1e-12
        period: int = 10
        weight_decay: Annotated[float, Choice((0.0, 1e-2, 1e-1, 2e-1))] = 2e-1

    # lr is the longest step of an unknown, so it is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        gamma: Annotated[float, LogUniform(1e-2, 100.0)] = 1.0
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    @property
    def passes_per_batch(self) -> float:
        """One pass, and one Hessian product every `period` batches."""
        return 1.0 + 1.0 / float(self.hyperparameters.period)

    # The library has the form of the paper's first version, clip(m / max(h, eps'), -rho, rho):
    # gamma times the above for rho = gamma and eps' = eps / gamma.
    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.SophiaH(
            model.parameters(),
            lr=h.lr / h.gamma,
            betas=(h.beta1, h.beta2),
            p=h.gamma,
            eps=h.eps / h.gamma,
            update_period=h.period,
            weight_decay=h.weight_decay * h.gamma,
            weight_decouple=True,
        )

    def training_step(self, step: Step) -> None:
        """A batch, with a Hessian product if its turn has come."""
        if self.plan.batch % self.hyperparameters.period:
            step.automatic()
            return
        (optimizer,) = step.optimizers
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        step.zero_grad()
        step.backward(step.loss(), create_graph=True)
        diagonal = hessian_diagonal(parameters, self.plan.generator)
        for p in parameters:
            p.grad = None if p.grad is None else p.grad.detach()
        optimizer.step(hessian=diagonal)


def hessian_diagonal(parameters: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Hutchinson's estimate u * (H u), u ~ N(0, I), from gradients that hold their graph."""
    u = [torch.randn(p.shape, generator=generator).to(p) for p in parameters]
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    used = [(g, v) for g, v in zip(grads, u, strict=True) if g.requires_grad]
    products = torch.autograd.grad(
        [g for g, _ in used], parameters, [v for _, v in used], materialize_grads=True
    )
    return [v * product for v, product in zip(u, products, strict=True)]
