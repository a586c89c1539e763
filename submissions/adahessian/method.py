"""AdaHessian (Yao et al., 2021, Algorithm 1), as its authors' code has it."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor, nn, optim


class AdaHessian(Method):
    """Adam with the diagonal of the Hessian in place of the gradient in its second moment.

    d = |z * (H z)| with z = +-1 at random, averaged over the extent of convolution kernels;
    m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) d^2;
    w <- (1 - lr wd) w - lr mhat / (vhat^(k / 2) + eps).
    """

    # Defaults are the authors'. A step is a Newton step of each weight by itself, times lr. The
    # decay of one step is lr wd; in the authors' runs on CIFAR-10 it is 5e-4, wd = 3.3e-3.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: Annotated[float, LogUniform(6e-3, 2.0)] = 0.15
        beta1: float = 0.9
        beta2: float = 0.999
        eps: Annotated[float, LogUniform(1e-8, 1e-2)] = 1e-4
        hessian_power: Annotated[float, Choice((0.5, 1.0))] = 1.0
        weight_decay: Annotated[float, Choice((0.0, 1e-4, 1e-3, 3e-3))] = 0.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(3e-3, 3.0)] = 0.15
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}
    passes_per_batch = 2.0

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.AdaHessian(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            hessian_power=h.hessian_power,
            weight_decay=h.weight_decay,
            weight_decouple=True,
        )

    def training_step(self, step: Step) -> None:
        """A pass that keeps the graph of the gradients, and a Hessian product."""
        (optimizer,) = step.optimizers
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        step.zero_grad()
        step.backward(step.loss(), create_graph=True)
        diagonal = hessian_diagonal(parameters, self.plan.generator)
        for p in parameters:  # else gradients hold the graph, and the graph holds them
            p.grad = None if p.grad is None else p.grad.detach()
        optimizer.step(hessian=diagonal)


def hessian_diagonal(parameters: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Hutchinson's estimate |z * (H z)|, from gradients that hold their graph."""
    z = [torch.randint(0, 2, p.shape, generator=generator).to(p) * 2 - 1 for p in parameters]
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    used = [(g, v) for g, v in zip(grads, z, strict=True) if g.requires_grad]
    products = torch.autograd.grad(
        [g for g, _ in used], parameters, [v for _, v in used], materialize_grads=True
    )
    estimates = [(sign * product).abs() for sign, product in zip(z, products, strict=True)]
    return [
        e.mean((2, 3), keepdim=True).expand_as(e).contiguous() if e.ndim == 4 else e
        for e in estimates
    ]
