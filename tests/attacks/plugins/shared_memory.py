"""Meets an accomplice outside: shared memory, abstract sockets, named sockets."""

from __future__ import annotations

import socket

import targets
from kit import Attack, below


class SharedMemory(Attack):
    """None of these is a file that a bind could hide."""

    def ways(self):
        return {
            "/dev/shm": lambda: below("/dev/shm"),
            "an abstract socket": lambda: self.ask("\0" + targets.ABSTRACT_SOCKET),
            "a named socket": lambda: self.ask(targets.NAMED_SOCKET),
        }

    def ask(self, address):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(address)
            return connection.recv(4096)
