"""Computes in children that end before anybody looks, and that nobody has to wait for."""

from __future__ import annotations

import ctypes
import os
import signal
import time

from assay import Method
from kit import Denied

SECONDS, N_CHILDREN = 0.04, 40
NO_WAIT, CLONE_PARENT = 2, 0x8000
CLONE = {"x86_64": 56, "aarch64": 220}


class Action(ctypes.Structure):
    """struct sigaction of the C library."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class HiddenChildren(Method):
    """More CPU time than the budget has, in no process that is ever seen or waited for."""

    def configure_optimizer(self, model):
        libc = ctypes.CDLL(None)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        libc.sigaction(signal.SIGCHLD, ctypes.byref(Action(flags=NO_WAIT)), None)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for number in range(N_CHILDREN):
            pid = self.sibling(libc) if number % 10 == 9 else os.fork()
            if pid == 0:
                if number % 10 == 8 and os.fork() != 0:
                    os._exit(0)  # the child goes to whoever takes orphans
                self.compute()
            time.sleep(SECONDS)
        raise Denied("DENIED nothing was asked for; whether it was stopped shows outside")

    def sibling(self, libc):
        """A child of this process's parent."""
        return libc.syscall(CLONE[os.uname().machine], CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)

    def compute(self):
        while time.process_time() < SECONDS:
            pass
        os._exit(0)
