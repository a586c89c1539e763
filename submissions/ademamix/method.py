"""AdEMAMix (Pagliardini et al., 2025, Algorithm 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method
from torch import nn, optim


class AdEMAMix(Method):
    """AdamW with a second, slow mean of gradients that is added to the fast one.

    m1 <- b1 m1 + (1 - b1) g; m2 <- b3(t) m2 + (1 - b3(t)) g;
    w <- w - lr ((m1hat + alpha(t) m2) / (sqrt(vhat) + eps) + wd w).
    alpha(t) grows linearly and the half-life of b3(t) about linearly, over the whole run.
    """

    # A mean of half-life 6,931 steps (beta3 = 0.9999) hardly forms in a short run, so beta3 is
    # tuned down to a half-life of 69 steps.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: float = 0.9
        beta2: float = 0.999
        beta3: Annotated[float, Choice((0.99, 0.999, 0.9999))] = 0.9999
        alpha: Annotated[float, Choice((2.0, 5.0, 8.0))] = 5.0
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 1e-2

    # A step is about lr long whatever the gradient's scale, so lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.AdEMAMix(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2, h.beta3),
            alpha=h.alpha,
            t_alpha_beta3=self.plan.total_batches,
            eps=h.eps,
            weight_decay=h.weight_decay,
            weight_decouple=True,
        )
