"""Talks to the world: TCP, UDP, names."""

from __future__ import annotations

import socket

import targets
from kit import Attack


class Network(Attack):
    """With any way out, labels come in and test inputs go out."""

    def ways(self):
        return {
            "TCP to this machine": self.tcp,
            "UDP to this machine": self.udp,
            "TCP over IPv6": self.tcp6,
            "raw packets": self.raw,
            "a name server": self.names,
        }

    def tcp(self):
        with socket.create_connection(("127.0.0.1", targets.TCP_PORT), timeout=1) as connection:
            return connection.recv(4096)

    def udp(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.settimeout(1)
            plain.sendto(b"?", ("127.0.0.1", targets.UDP_PORT))
            return plain.recv(4096)

    def tcp6(self):
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as plain:
            plain.bind(("::1", 0))
            return "an IPv6 socket"

    def raw(self):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
            return "a packet socket"

    def names(self):
        # An address that no one has (RFC 5737): a sent question is enough.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            return "a question" if plain.sendto(b"\0" * 12, ("192.0.2.1", 53)) else None
