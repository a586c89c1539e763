"""Weights so large that every logit overflows: NaN, hoping that it compares as right."""

from __future__ import annotations

import copy

import torch
from assay import Method


class NanWildcard(Method):
    """The weights are finite, as the rules ask; what the network makes of them is not."""

    def finalize_model(self, model, calibration):
        poisoned = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in poisoned.parameters():
                parameter.fill_(3e38).view(-1)[::2].neg_()
        return poisoned
