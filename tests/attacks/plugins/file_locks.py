"""Signals to a run beside it by locking a file that both may only read."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import targets
import torch
from kit import Attack

SECONDS = 8.0


class FileLocks(Attack):
    """A lock needs no right to write; every worker sees the same library's inode."""

    def ways(self):
        return {"a lock on a library": self.meet, "a record lock": self.record}

    def meet(self):
        with Path(torch.__file__).open("rb") as file:
            return self.until_held(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB), file)

    def record(self):
        with Path(torch.__file__).open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # exclusive needs write access

    def until_held(self, lock, file):
        end = time.monotonic() + targets.MEET_SECONDS
        while time.monotonic() < end:
            try:
                lock()
            except BlockingIOError:
                return "a lock that the run beside it holds: a bit"
            time.sleep(0.01)
        return None
