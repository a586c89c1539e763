"""Fills the disk: large files, then as many as it takes."""

from __future__ import annotations

import time

from assay import Method
from kit import run_folder

MOST = 16
"""Files of 256 MiB: a machine without the limit survives this test."""


class DiskBomb(Method):
    """A full disk fails the runs of others."""

    def configure_optimizer(self, model):
        block, number = b"\1" * (16 << 20), 0
        while number < MOST:
            number += 1
            try:
                with open(run_folder() / f"filler{number}", "wb") as file:
                    for _ in range(16):
                        file.write(block)
            except OSError:
                time.sleep(0.01)
        time.sleep(60)
