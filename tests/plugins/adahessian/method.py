"""AdaHessian (Yao et al., 2021): needs the graph of the gradients, and one Hessian product."""

from __future__ import annotations

from typing import Annotated

import pytorch_optimizer
import torch
from assay import LogUniform, Method, Step
from torch import Tensor, nn, optim


class AdaHessian(Method):
    passes_per_batch = 2.0

    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(0.01, 1.0)] = 0.15

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return pytorch_optimizer.AdaHessian(
            model.parameters(), lr=self.hyperparameters.lr, betas=(0.9, 0.999), eps=1e-4
        )

    def training_step(self, step: Step) -> None:
        step.zero_grad()
        step.backward(step.loss(), create_graph=True)
        (optimizer,) = step.optimizers
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        diagonal = hessian_diagonal(parameters, self.plan.generator)
        optimizer.step(hessian=diagonal)
        step.zero_grad()  # the gradients hold the graph, and the graph holds them


def hessian_diagonal(parameters: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Hutchinson's estimate z * (H z), averaged over the extent of convolution kernels."""
    z = [torch.randint(0, 2, p.shape, generator=generator).to(p) * 2 - 1 for p in parameters]
    products = torch.autograd.grad(
        [p.grad for p in parameters], parameters, grad_outputs=z, materialize_grads=True
    )
    estimates = [(sign * product).abs() for sign, product in zip(z, products, strict=True)]
    return [
        e.mean((2, 3), keepdim=True).expand_as(e).contiguous() if e.ndim == 4 else e
        for e in estimates
    ]
