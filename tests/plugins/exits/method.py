"""Ends its process in the third batch, without an exception and with success."""

from __future__ import annotations

import os

from assay import Batch, Method


class Exits(Method):
    def transform_batch(self, batch: Batch) -> Batch:
        if self.plan.batch == 2:
            os._exit(0)
        return batch
