"""Forward gradient (Baydin et al., 2022): training without backpropagation.

g = (grad f . v) v with v ~ N(0, I); the directional derivative comes from one forward pass.
"""

from __future__ import annotations

from typing import Annotated

import torch
from assay import LogUniform, Method, Step
from torch import nn, optim
from torch.autograd import forward_ad


class ForwardGradient(Method):
    # |g| exceeds |grad f| by about the root of the number of weights: lr lies low
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 3e-2)] = 5e-3

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=self.hyperparameters.lr)

    def training_step(self, step: Step) -> None:
        weights = dict(step.model.named_parameters())
        v = {
            name: torch.randn(w.shape, generator=self.plan.generator).to(w)
            for name, w in weights.items()
        }
        # Dual numbers rather than torch.func.jvp: batch norm changes its statistics in place.
        with torch.no_grad(), forward_ad.dual_level():
            dual = {name: forward_ad.make_dual(w.detach(), v[name]) for name, w in weights.items()}
            outputs = torch.func.functional_call(step.model, dual, (step.batch.inputs,))
            slope = forward_ad.unpack_dual(self.plan.loss(outputs, step.batch.targets)).tangent
        step.count_pass()
        for name, w in weights.items():
            w.grad = slope * v[name]
        step.optimizer_step()
