"""Muon for the hidden matrices, AdamW for the rest: two optimizers in one method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from assay import LogUniform, Method
from torch import nn, optim


class MuonAdamW(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 3e-2)] = 3e-3

    def configure_optimizer(self, model: nn.Module) -> Sequence[optim.Optimizer]:
        lr = self.hyperparameters.lr
        hidden = [p for p in model.parameters() if p.ndim == 2][:-1]  # the last one is the head
        taken = {id(p) for p in hidden}
        rest = [p for p in model.parameters() if id(p) not in taken]
        optimizers: list[optim.Optimizer] = [optim.AdamW(rest, lr=lr)]
        if hidden:
            # updates of the size of AdamW's, so that one lr serves both
            optimizers.append(optim.Muon(hidden, lr=lr, adjust_lr_fn="match_rms_adamw"))
        return optimizers
