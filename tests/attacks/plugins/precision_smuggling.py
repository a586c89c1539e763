"""Hands in a quantized network with more than its bits."""

from __future__ import annotations

import targets
import torch
from assay import Method
from kit import forge
from safetensors.torch import save


class PrecisionSmuggling(Method):
    """Codes are integers on a grid; what is not on it would be free precision."""

    def configure_optimizer(self, model):
        forge(model, self.snapshot)

    def snapshot(self, state):
        other = {name: tensor.clone().contiguous() for name, tensor in state.items()}
        layers = [name.removesuffix("_codes") for name in other if name.endswith("weight_codes")]
        inner = layers[len(layers) // 2]
        match targets.VARIANT:
            case "larger codes":
                other[f"{inner}_codes"].fill_(200)
            case "more bits":
                other[f"{inner}_bits"].fill_(8)
                other[f"{inner}_codes"].fill_(200)
            case "float codes":
                other[f"{inner}_codes"] = other[f"{inner}_codes"].float() + 0.25
            case "fractional zeros":
                other[f"{inner}_zero"] += 0.123
            case "negative scale":
                other[f"{inner}_scale"].neg_()
            case "float inputs":
                other[f"{inner.removesuffix('weight')}input_bits"].fill_(32)
            case "scale of every weight":
                other[f"{inner}_scale"] = torch.rand(other[f"{inner}_codes"].shape)
        return save(other)
