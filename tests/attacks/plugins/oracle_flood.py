"""Sends to the oracle what no model would ask."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from assay import Method
from targets import VARIANT

ORACLE = 4


class OracleFlood(Method):
    """Noise; half a question, and then its end; questions that are not paid for."""

    def configure_optimizer(self, model):
        connection = socket.socket(fileno=os.dup(ORACLE))
        with connection, contextlib.suppress(OSError):  # the oracle has had enough
            if VARIANT == "noise":
                connection.sendall(os.urandom(1 << 16))
            elif VARIANT == "half":
                connection.sendall(struct.pack("<BBHI", 1, 0, 0, 1))
                connection.shutdown(socket.SHUT_WR)
            else:
                for _ in range(5000):
                    connection.sendall(struct.pack("<BBHI", 3, 0, 0, 1))
                    connection.recv(24, socket.MSG_WAITALL)
        return super().configure_optimizer(model)
