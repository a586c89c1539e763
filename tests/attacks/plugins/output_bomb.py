"""Prints without end."""

from __future__ import annotations

import os
import time

from assay import Method

MOST = 16_384
"""A gibibyte: a machine without the limit survives this test."""


class OutputBomb(Method):
    """A log fills a disk too."""

    def configure_optimizer(self, model):
        line = b"x" * 65536
        for _ in range(MOST):
            os.write(1, line)
        time.sleep(60)
