"""Starts processes without end."""

from __future__ import annotations

import os
import time

from assay import Method

GENERATIONS = 10
"""A machine without the limit survives 1,024 processes."""


class ForkBomb(Method):
    """Every child forks again; who cannot, waits."""

    def configure_optimizer(self, model):
        for _ in range(GENERATIONS):
            try:
                os.fork()
            except OSError:
                time.sleep(0.01)
        time.sleep(60)
