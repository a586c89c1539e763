"""Data pruning by EL2N (Paul et al., 2021): after a few epochs, train on the hardest samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from assay import Batch, Method, TrainingSet, Uniform
from torch import Tensor
from torch.nn import functional


class EL2NPruning(Method):
    """A sample's score is the mean of |softmax(z) - onehot(y)| over the scoring epochs."""

    class Hyperparameters(Method.Hyperparameters):
        kept_share: Annotated[float, Uniform(0.2, 0.9)] = 0.5
        scoring_epochs: int = 3

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.scores: Tensor | None = None
        self.scoring = True

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        n, size = len(dataset.targets), self.plan.batch_size
        while True:
            # Every epoch draws n keys, whatever the pool.
            keys = torch.rand(n, generator=self.plan.order_generator)
            for begin in range(0, self.plan.batches_per_epoch * size, size):
                pool = self._pool(n)
                order = pool[keys[pool].argsort()]
                yield order[torch.arange(begin, begin + size) % len(order)]

    def _pool(self, n: int) -> Tensor:
        if self.plan.epoch < self.hyperparameters.scoring_epochs or self.scores is None:
            return torch.arange(n)
        n_kept = max(1, round(self.hyperparameters.kept_share * n))
        return self.scores.argsort(descending=True, stable=True)[:n_kept]

    def transform_batch(self, batch: Batch) -> Batch:
        if self.scores is None:
            self.scores = torch.zeros(self.plan.n_examples)
        self.scoring = self.plan.epoch < self.hyperparameters.scoring_epochs
        return batch

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        if self.scoring:
            one_hot = functional.one_hot(batch.targets, outputs.shape[1])
            errors = (outputs.detach().softmax(dim=1) - one_hot).norm(dim=1)
            self.scores[batch.indices.cpu()] += errors.cpu()
        return self.plan.loss(outputs, batch.targets)
