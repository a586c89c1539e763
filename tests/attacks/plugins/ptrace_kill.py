"""Traces and kills other processes, and types into the terminal."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import termios

import targets
from kit import Attack

PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17


class PtraceKill(Attack):
    """A traced scorer gives any score; a killed rival gives none."""

    def ways(self):
        return {
            "tracing the worker": lambda: self.trace(os.getppid()),
            "tracing a bystander": lambda: self.trace(targets.BYSTANDER),
            "killing a bystander": self.kill,
            "typing into the terminal": self.type,
            "other users' processes": self.others,
        }

    def trace(self, pid):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long] * 4
        if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return "a traced process"

    def kill(self):
        os.kill(targets.BYSTANDER, signal.SIGCONT)  # harmless, and needs the right to kill
        return "a signal to it"

    def type(self):
        with open("/dev/tty", "rb") as terminal:
            fcntl.ioctl(terminal, termios.TIOCSTI, b"\n")
        return "a line in the terminal"

    def others(self):
        names = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return "the harness's process" if targets.BYSTANDER in names else None
