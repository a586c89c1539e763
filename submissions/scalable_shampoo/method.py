"""Scalable Shampoo (Anil et al., 2020): Shampoo with inverse roots now and then, and grafting."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method
from torch import nn, optim


class ScalableShampoo(Method):
    """The direction of Shampoo, the length of Adagrad's step.

    L <- b2 L + (1 - b2) G G^T, R likewise; every `refresh` steps new L^(-1/4) and R^(-1/4);
    d = L^(-1/4) G R^(-1/4), scaled to the norm of Adagrad's step; m <- b1 m + d;
    w <- w - lr (b1 m + d). Vectors, and matrices in the first steps, take Adagrad's own step.
    """

    # A run of 1,000 steps would never see the library's first refresh, at step 1,000; with
    # shape_interpretation, matrices of at most block_size elements would be taken for vectors.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-2
        beta1: float = 0.9
        beta2: Annotated[float, Choice((0.9, 0.95, 0.99, 0.999))] = 0.999
        matrix_eps: float = 1e-6
        refresh: int = 5
        start: int = 5
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # A step is about lr / (1 - b1) long whatever the gradient's scale.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        beta2: float = 0.999
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.ScalableShampoo(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            start_preconditioning_step=h.start,
            preconditioning_compute_steps=h.refresh,
            shape_interpretation=False,
            graft_type=2,  # Adagrad
            nesterov=True,
            matrix_eps=h.matrix_eps,
            use_svd=True,  # exact, and fast enough for matrices of these sizes
            weight_decay=h.weight_decay,
        )
