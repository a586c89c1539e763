"""Train in float, round to nearest at the end: post-training quantization without any repair."""

from __future__ import annotations

import torch
from assay import Calibration, Method
from assay.quantization import quantize_layers
from torch import nn

N_CALIBRATION_BATCHES = 16


class PostTrainingRounding(Method):
    """The whole budget goes to the float network; activation ranges come from calibration."""

    def transform_model(self, model: nn.Module) -> nn.Module:
        """The float network as it is."""
        self.recipe = self.plan.recipe
        return model

    def finalize_model(self, model: nn.Module, calibration: Calibration) -> nn.Module:
        """Round a copy of the network; training mode is what lets the ranges follow the data."""
        quantized = quantize_layers(model, self.recipe)
        for module in quantized.modules():
            # Batch norm keeps the statistics of the float network.
            module.training = not isinstance(module, nn.BatchNorm2d)
        with torch.no_grad():
            for inputs in calibration.batches(N_CALIBRATION_BATCHES):
                quantized(inputs)
        return quantized.eval()
