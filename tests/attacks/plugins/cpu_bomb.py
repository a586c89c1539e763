"""Computes in many processes at once and ignores the signals that end the budget."""

from __future__ import annotations

import os
import signal

from assay import Method


class CpuBomb(Method):
    """More CPU time than the budget has, in less wall time than it has."""

    def configure_optimizer(self, model):
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        for _ in range(3):
            os.fork()
        while True:
            pass
