"""Draws from torch's, numpy's and Python's global generators instead of the plan's."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import torch
from assay import Batch, Method


class GlobalRandom(Method):
    def transform_batch(self, batch: Batch) -> Batch:
        noise = torch.rand_like(batch.inputs) + random.random() + np.random.rand()
        return replace(batch, inputs=batch.inputs + 0.01 * noise)
