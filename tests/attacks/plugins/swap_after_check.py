"""Hands in good weights and swaps the file, from a process left behind, once it was checked."""

from __future__ import annotations

import os
import time

from kit import forge
from safetensors.torch import save_file

from suite.method import Method


class SwapAfterCheck(Method):
    """What is checked by name and read by name are two files."""

    def configure_optimizer(self, model, plan):
        forge(model, self.write)

    def write(self, path, state):
        bad = path.with_suffix(".bad")
        save_file({name: value.contiguous() for name, value in state.items()}, path)
        bad.write_bytes(b"swapped")
        if os.fork() == 0:
            os.setsid()
            end = time.monotonic() + 30
            while time.monotonic() < end:
                os.replace(bad, path)
                os.link(path, bad)
            os._exit(0)
