"""A batch eight times as large and nothing else: the control of what large batches need."""

from __future__ import annotations

from collections.abc import Iterator

from assay import Method, TrainingSet
from torch import Tensor

KAPPA = 8


class LargeBatch(Method):
    """The task's batch size times 8; an eighth of the steps fits into the budget."""

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        """Shuffled epochs in large batches."""
        size = min(KAPPA * self.plan.batch_size, len(dataset.targets))
        while True:
            yield from dataset.shuffled(self.plan.order_generator, size)
