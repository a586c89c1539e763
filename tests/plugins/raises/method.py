"""Raises an exception in the third batch."""

from __future__ import annotations

from assay import Batch, Method


class Raises(Method):
    def transform_batch(self, batch: Batch) -> Batch:
        if self.plan.batch == 2:
            raise ValueError("the third batch is one too many")
        return batch
