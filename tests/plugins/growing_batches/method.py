"""Batches that grow linearly from half the task's size to one and a half of it.

The budget is a number of batches, so growth alone would buy more examples than others get. These
sizes average to the task's own: the examples used are the same, and the record's usage shows it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from assay import Method, Plan, TrainingSet
from torch import Tensor


class GrowingBatches(Method):
    def sampler(self, dataset: TrainingSet, plan: Plan) -> Iterator[Tensor]:
        n = len(dataset.targets)
        last = max(1, plan.total_batches - 1)
        left = torch.empty(0, dtype=torch.long)
        batch = 0
        while True:
            size = max(1, round(plan.batch_size * (0.5 + min(batch, last) / last)))
            while len(left) < size:
                left = torch.cat([left, torch.randperm(n, generator=plan.order_generator)])
            taken, left = left[:size], left[size:]
            batch += 1
            yield taken
