"""Keeps state in the process that forks the runs, for the next one to find."""

from __future__ import annotations

import ctypes
import mmap
import os

import assay.worker.training
from kit import Attack

KEY = 0x0A55A7


class CrossRunCache(Attack):
    """A second run that knows what the first learnt has twice the budget."""

    def ways(self):
        return {
            "a module's variable": self.module,
            "the worker's memory": self.parent,
            "System V shared memory": self.segment,
            "a message queue": self.queue,
        }

    def module(self):
        if hasattr(assay.worker.training, "_left_by_attack"):
            return "a variable of the run before"
        assay.worker.training._left_by_attack = True
        return None

    def parent(self):
        with open(f"/proc/{os.getppid()}/mem", "r+b", buffering=0) as memory:
            return f"memory of the worker, open for writing ({memory.mode})"

    def segment(self):
        libc = ctypes.CDLL(None, use_errno=True)
        found = libc.shmget(KEY, mmap.PAGESIZE, 0o600)
        if found >= 0:
            libc.shmctl(found, 0, None)
            libc.msgctl(libc.msgget(KEY, 0o600), 0, None)
            return "the segment of the run before"
        if libc.shmget(KEY, mmap.PAGESIZE, 0o1600) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return None

    def queue(self):
        libc = ctypes.CDLL(None, use_errno=True)
        found = libc.msgget(KEY, 0o600)
        if found >= 0:
            libc.msgctl(found, 0, None)
            return "the queue of the run before"
        if libc.msgget(KEY, 0o1600) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return None
