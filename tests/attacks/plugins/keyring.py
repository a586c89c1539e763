"""Uses the kernel's keyrings, which outlive processes and know no mount."""

from __future__ import annotations

import ctypes
import os
import platform

from kit import Attack

ADD, KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
SEARCH, READ, UNLINK, SESSION, USER = 10, 11, 9, -3, -4


class Keyring(Attack):
    """A key of the user is there for every process of the user, in any namespace but the user's."""

    def ways(self):
        return {
            "a key of the run before": lambda: self.read(b"assay-attack"),
            "leaving a key": self.leave,
        }

    def call(self, *arguments):
        libc = ctypes.CDLL(None, use_errno=True)
        wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        answer = libc.syscall(*wide)
        if answer < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return answer

    def read(self, name):
        key = self.call(KEYCTL, SEARCH, USER, b"user", name, 0)
        self.call(KEYCTL, UNLINK, key, USER)
        return "its key"

    def leave(self):
        self.call(ADD, b"user", b"assay-attack", b"mark", 4, USER)
