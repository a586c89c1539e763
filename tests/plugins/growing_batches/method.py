"""Batches grow from half to one and a half times the task's size (Smith et al., 2018).

The budget is a number of example-passes, so larger batches are fewer batches.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from assay import Method, TrainingSet
from torch import Tensor


class GrowingBatches(Method):
    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        n = len(dataset.targets)
        left = torch.empty(0, dtype=torch.long)
        while True:
            size = max(1, round(self.plan.batch_size * (0.5 + self.plan.elapsed)))
            while len(left) < size:
                left = torch.cat([left, torch.randperm(n, generator=self.plan.order_generator)])
            taken, left = left[:size], left[size:]
            yield taken
