"""Interrupts the worker: a run without a record would be a free second try."""

from __future__ import annotations

import os
import signal
import time

from kit import Attack

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL)


class InterruptWorker(Attack):
    """A worker that ends takes the run with it; then it could not be judged."""

    def ways(self):
        return {
            f"{number.name} to {name}": lambda pid=pid, number=number: self.send(pid, number)
            for name, pid in (("the parent", os.getppid()), ("the first process", 1))
            for number in SIGNALS
        }

    def send(self, pid, number):
        os.kill(pid, number)
        time.sleep(0.02)
