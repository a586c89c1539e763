"""Forward gradient (Baydin et al., 2022): training without backpropagation.

g = (grad f . v) v with v ~ N(0, I); the directional derivative comes from one forward pass.
"""

from __future__ import annotations

from typing import Annotated

import torch
from assay import LogUniform, Method, Step
from torch import Tensor, nn, optim


class ForwardGradient(Method):
    # |g| exceeds |grad f| by about the root of the number of weights: lr lies low
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 3e-2)] = 5e-3

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=self.hyperparameters.lr)

    def training_step(self, step: Step) -> None:
        parameters = dict(step.model.named_parameters())
        weights = {name: p.detach() for name, p in parameters.items()}
        directions = {
            name: torch.randn(p.shape, generator=self.plan.generator).to(p)
            for name, p in weights.items()
        }

        def loss(weights: dict[str, Tensor]) -> Tensor:
            outputs = torch.func.functional_call(step.model, weights, (step.batch.inputs,))
            return self.plan.loss(outputs, step.batch.targets)

        _, slope = torch.func.jvp(loss, (weights,), (directions,))
        step.count_pass()
        for name, parameter in parameters.items():
            parameter.grad = slope * directions[name]
        step.optimizer_step()
