"""Takes memory without end, in several processes so that no limit of one is reached."""

from __future__ import annotations

import mmap
import os
import time

from assay import Method

STEP = 64 << 20
MOST = 32
"""Of each process: a machine without the limit survives this test."""


class MemoryBomb(Method):
    """Four processes share the work."""

    def configure_optimizer(self, model):
        os.fork()
        os.fork()
        kept, filling = [], b"\1" * STEP
        while len(kept) < MOST:
            try:
                block = mmap.mmap(-1, STEP)
                block.write(filling)
                kept.append(block)
            except OSError:
                time.sleep(0.01)
        time.sleep(60)
