"""Muon for hidden matrices (Jordan et al., 2024) and AdamW for all other weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ClassVar

import torch
from assay import Choice, LogUniform, Method
from torch import Tensor, nn, optim


class MuonAdamW(Method):
    """Momentum whose matrix is made orthogonal, so that it moves all directions alike.

    B <- mu B + G; U = G + mu B, a kernel as a matrix of one row an output channel;
    W <- (1 - lr wd) W - lr sqrt(max(1, rows / columns)) NewtonSchulz(U).

    AdamW trains vectors, embeddings, and the first and the last layer, as the authors advise.
    """

    # Defaults are the authors'; AdamW's learning rate is one of its own.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled and the same for both."""

        lr: Annotated[float, LogUniform(1e-3, 3e-1)] = 2e-2
        momentum: float = 0.95
        adamw_lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 3e-4
        beta1: float = 0.9
        beta2: float = 0.95
        eps: float = 1e-10
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0

    # Both steps are about lr long whatever the gradient's scale: lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        adamw_lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> Sequence[optim.Optimizer]:
        """One optimizer for each kind of weights that there is."""
        h = self.hyperparameters
        matrices = hidden_matrices(model)
        taken = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in taken]
        optimizers: list[optim.Optimizer] = []
        if matrices:
            optimizers.append(Muon(matrices, h.lr, h.momentum, h.weight_decay))
        if rest:
            optimizers.append(
                optim.AdamW(
                    rest,
                    lr=h.adamw_lr,
                    betas=(h.beta1, h.beta2),
                    eps=h.eps,
                    weight_decay=h.weight_decay,
                    fused=True,
                )
            )
        return optimizers


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Matrices and kernels, without embeddings and without those of the first and last layer.

    A layer is a module with a weight of two dimensions or more: a quantized one is of a class of
    its own. Unknowns of a function are in no layer.
    """
    layers = [m for m in model.modules() if getattr(getattr(m, "weight", None), "ndim", 0) >= 2]
    embeddings = [module for module in layers if isinstance(module, nn.Embedding)]
    left_out = {id(module.weight) for module in (*layers[:1], *layers[-1:], *embeddings)}
    return [p for p in model.parameters() if p.ndim >= 2 and id(p) not in left_out]


class Muon(optim.Optimizer):
    """torch.optim.Muon, but of kernels too, and in the precision of the weights, not bfloat16."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient; there is no use for a closure."""
        for group in self.param_groups:
            lr, mu = group["lr"], group["momentum"]
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            grads = [p.grad for p in moved]
            buffers = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in moved]
            torch._foreach_mul_(buffers, mu)
            torch._foreach_add_(buffers, grads)
            updates = torch._foreach_add(grads, buffers, alpha=mu)
            torch._foreach_mul_(moved, 1 - lr * group["weight_decay"])
            for p, update in zip(moved, updates, strict=True):
                matrix = update.flatten(1)
                scale = math.sqrt(max(1.0, matrix.shape[0] / matrix.shape[1]))
                p.add_(newton_schulz(matrix).view_as(p), alpha=-lr * scale)


def newton_schulz(matrix: Tensor) -> Tensor:
    """(m, n) with its singular values brought to about 1: five steps of a quintic polynomial."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
