"""Hands in good weights and swaps the files, from a process left behind, after the check."""

from __future__ import annotations

import os
import time

from assay import Method
from kit import forge
from safetensors.torch import save_file


class SwapAfterCheck(Method):
    """What is checked by name and read by name are two files."""

    def configure_optimizer(self, model):
        forge(model, self.write)

    def write(self, path, state):
        bad = path.with_suffix(".bad")
        save_file({name: value.contiguous() for name, value in state.items()}, path)
        parent = os.getpid()
        if os.fork() == 0:
            os.setsid()
            while os.getppid() == parent:
                time.sleep(0.001)
            end = time.monotonic() + 30
            while time.monotonic() < end:
                bad.write_bytes(b"swapped")
                os.replace(bad, path)
            os._exit(0)
