"""Hands in another model than the task's: wider, deeper, in double precision, or less of it."""

from __future__ import annotations

import targets
import torch
from assay import Method
from kit import forge
from safetensors.torch import save


class LargerModel(Method):
    """A larger network scores better, whatever trained it."""

    def configure_optimizer(self, model):
        forge(model, self.snapshot)

    def snapshot(self, state):
        other = {name: tensor.clone().contiguous() for name, tensor in state.items()}
        first, last = next(iter(other)), list(other)[-1]
        match targets.VARIANT:
            case "wider":
                other = {name: torch.cat([t, t]).contiguous() for name, t in other.items()}
            case "deeper":
                other["7.weight"] = torch.eye(10)
            case "double precision":
                other = {name: tensor.double() for name, tensor in other.items()}
            case "less":
                del other[last]
            case "renamed":
                other[f"module.{first}"] = other.pop(first)
        return save(other)
