"""Hands in weights that are not finite."""

from __future__ import annotations

import targets
import torch
from assay import Method
from kit import forge
from safetensors.torch import save


class NanWeights(Method):
    """One NaN is enough to make every comparison false, or a sloppy one true."""

    def configure_optimizer(self, model):
        forge(model, self.snapshot)

    def snapshot(self, state):
        value = {"nan": torch.nan, "infinite": torch.inf}[targets.VARIANT]
        poisoned = {name: tensor.clone().contiguous() for name, tensor in state.items()}
        next(iter(poisoned.values())).view(-1)[0] = value
        return save(poisoned)
