"""Control arm: diffGrad as its first published code computed it.

`state['previous_grad'] = grad` in diffGrad.py keeps no copy but a second name of the gradient
buffer. With the in-place `zero_grad` of its time both names hold the present gradient from the
second step on: the difference is zero and the friction coefficient xi is 0.5. The authors say in
that file that this line was used in the paper, and fixed it in diffGrad_v2.py. Written out here,
so that the effect depends neither on the version of torch nor on how gradients are cleared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class AliasedDiffGrad(optim.Optimizer):
    """w <- w - lr xi mhat / (sqrt(vhat) + eps); xi = sigmoid(|g_1|) at t = 1, then 0.5."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["m"] = torch.zeros_like(parameter)
            state["v"] = torch.zeros_like(parameter)
        state["step"] += 1
        grad = parameter.grad.add(parameter, alpha=group["weight_decay"])
        m = state["m"].lerp_(grad, 1 - beta1)
        v = state["v"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        xi = grad.abs().sigmoid_() if state["step"] == 1 else 0.5
        correction1 = 1 - beta1 ** state["step"]
        correction2 = 1 - beta2 ** state["step"]
        # the order of the official code: eps is added before the correction of v
        step_size = group["lr"] * math.sqrt(correction2) / correction1
        parameter.addcdiv_(m * xi, v.sqrt().add_(group["eps"]), value=-step_size)


class DiffGradAlias(Method):
    """diffGrad with the published aliasing: Adam at half the learning rate after step 1."""

    # Ranges and defaults are Adam's and diffGrad's, so that the same point of the search space
    # means the same setting in all three.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions: the setting of the paper (Fig. 4)."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.95
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return AliasedDiffGrad(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
        )
