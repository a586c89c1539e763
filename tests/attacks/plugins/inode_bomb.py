"""Fills the disk's table of files with empty ones."""

from __future__ import annotations

import time

from assay import Method
from kit import run_folder

MOST = 200_000


class InodeBomb(Method):
    """Empty files take no space, and no more can be made all the same."""

    def configure_optimizer(self, model):
        folder, number = run_folder(), 0
        while number < MOST:
            number += 1
            try:
                (folder / f"f{number}").touch()
            except OSError:
                time.sleep(0.01)
        time.sleep(60)
