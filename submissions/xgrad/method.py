"""XGrad: gradients at predicted weights (Guan et al., 2023), with Adam as the base optimizer."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from assay import Choice, LogUniform, Method, Step, Uniform
from torch import Tensor, nn, optim


class XGrad(Method):
    """Gradients at w^ = w - s lr mhat / (sqrt(vhat) + eps), the weights that Adam's present
    moments lead to; then Adam's step from w with these gradients. s = 1 step ahead.
    """

    # The paper compares at Adam's settings: ranges and defaults are Adam's.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        s: float = 1.0
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise: Adam's."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.95
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """Adam, one group holding every parameter."""
        h = self.hyperparameters
        return optim.Adam(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            fused=True,  # one kernel for all tensors: three times faster on small networks
        )

    def training_step(self, step: Step) -> None:
        """Predict, take the gradient there, restore, step."""
        (optimizer,) = step.optimizers
        w, ahead = predicted(optimizer, self.hyperparameters.s)
        with torch.no_grad():
            saved = torch._foreach_clone(w) if w else []
            if w:
                torch._foreach_add_(w, ahead)
        step.zero_grad()
        step.backward(step.loss())
        with torch.no_grad():
            if w:
                torch._foreach_copy_(w, saved)
        step.optimizer_step()


def predicted(optimizer: optim.Optimizer, s: float) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters that have moments, and what their moments alone would add to them in s steps.

    It asks the optimizer's state, not `.grad`: the official code passes over parameters without
    gradients, so that nothing is predicted after zero_grad(set_to_none=True).
    """
    (group,) = optimizer.param_groups
    b1, b2 = group["betas"]
    w = [p for p in group["params"] if optimizer.state.get(p)]
    if not w:
        return [], []
    states = [optimizer.state[p] for p in w]
    t = states[0]["step"].item()
    scale = torch._foreach_sqrt([state["exp_avg_sq"] for state in states])
    torch._foreach_div_(scale, (1 - b2**t) ** 0.5)
    torch._foreach_add_(scale, group["eps"])
    ahead = torch._foreach_div([state["exp_avg"] for state in states], scale)
    torch._foreach_mul_(ahead, -s * group["lr"] / (1 - b1**t))
    return w, list(ahead)
