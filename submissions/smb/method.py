"""SMB: SGD with model building (Birbil, Martin, Onay and Oztoprak, 2024)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method, Step
from torch import Tensor, nn, optim


class SMB(Method):
    """Try s = -lr g on the batch that g is of. Where f(w + s) <= f(w) - c lr norm(g)^2, keep it;
    else take the gradient there too and step by the minimum of a quadratic model built from both.
    """

    # eta and c: the official code's. lr: its README suggests 0.5 to 1.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(0.03, 10.0)] = 0.5
        eta: float = 0.99
        c: Annotated[float, Choice((1e-3, 1e-2, 1e-1))] = 0.1

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, whose gradients are larger."""

        lr: Annotated[float, LogUniform(1e-4, 0.3)] = 0.01

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.kept_trials = 0

    @property
    def passes_per_batch(self) -> float:
        """The gradient; and a trial, with or without a gradient of its own."""
        return 2.0 if self.plan.family == "functions" else 1.5

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """Holds the learning rate; the steps are made below."""
        return optim.SGD(model.parameters(), lr=self.hyperparameters.lr)

    def training_step(self, step: Step) -> None:
        """One batch (step_smb of the official code)."""
        h = self.hyperparameters
        (group,) = step.optimizers[0].param_groups
        w, lr = group["params"], group["lr"]
        f = step.loss()
        g = torch.autograd.grad(f, w, materialize_grads=True)
        s = torch._foreach_mul(list(g), -lr)
        squared = float(sum(part.square().sum() for part in g))
        move(w, s)
        f_trial = self.compute_loss(step.forward(), step.batch)
        if squared**0.5 < 1e-8 or f_trial.item() <= f.item() - h.c * lr * squared:
            self.kept_trials += 1
            if self.kept_trials % 3 == 0:
                step.count_pass()  # three runs without backward cost as much as one pass
            return
        g_trial = torch.autograd.grad(f_trial, w, materialize_grads=True)
        for p, *known in zip(w, g, g_trial, s, strict=True):
            with torch.no_grad():
                p.sub_(known[-1]).add_(model_step(*known, h.eta))


def move(w: list[Tensor], by: Any) -> None:
    """Add to parameters in place."""
    with torch.no_grad():
        torch._foreach_add_(w, by)


def model_step(g: Tensor, g_trial: Tensor, s: Tensor, eta: float) -> Tensor:
    """The step of the model: c_g g + c_s s + c_y y with y = g_trial - g (Algorithm 1).

    Of a tensor without gradient it is zero; the official code divides by zero there.
    """
    y = g_trial - g
    sg, yg, gg = dot(s, g), dot(y, g), dot(g, g)
    ys, ss, yy = dot(y, s), dot(s, s), dot(y, y)
    if not ss:
        return torch.zeros_like(s)
    sigma = 0.5 * (ss**0.5 * (yy**0.5 + gg**0.5 / eta) - ys)
    theta = (ys + 2 * sigma) ** 2 - ss * yy
    c_g = -ss / (2 * sigma)
    c_s = c_g / theta * (-(ys + 2 * sigma) * yg + yy * sg)
    c_y = c_g / theta * (-(ys + 2 * sigma) * sg + ss * yg)
    return c_g * g + c_s * s + c_y * y


def dot(a: Tensor, b: Tensor) -> float:
    """The inner product; its squares would overflow single precision."""
    return float((a * b).sum(dtype=torch.float64))
