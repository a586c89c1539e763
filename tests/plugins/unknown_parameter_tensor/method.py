"""Hands out the task's network with one tensor more than it has."""

from __future__ import annotations

import copy

import torch
from assay import Calibration, Method
from torch import nn


class UnknownParameterTensor(Method):
    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        extended = copy.deepcopy(model)
        extended.register_buffer("smuggled", torch.zeros(3))
        return extended
