"""Hands out a network that is not the task's."""

from __future__ import annotations

from assay import Calibration, Method
from torch import nn


class WrongShape(Method):
    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        other = nn.Module()
        for name, parameter in model.named_parameters():
            shape = (*parameter.shape[:-1], parameter.shape[-1] + 1)
            other.register_buffer(name.replace(".", "_"), parameter.new_zeros(shape))
        return other
