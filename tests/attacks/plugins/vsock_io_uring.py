"""Asks for the parts of the kernel that have broken sandboxes: vsock, io_uring, bpf and others."""

from __future__ import annotations

import ctypes
import os
import platform
import socket

from kit import Attack

X86 = {"io_uring_setup": 425, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
       "unshare": 272, "mount": 165, "open_by_handle_at": 304, "setns": 308}  # fmt: skip
ARM = {"io_uring_setup": 425, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
       "unshare": 97, "mount": 40, "open_by_handle_at": 265, "setns": 268}  # fmt: skip
NUMBERS = {"x86_64": X86, "aarch64": ARM}[platform.machine()]
EPERM, CLONE_NEWUSER, CLONE_NEWNET = 1, 0x10000000, 0x40000000


class VsockIoUring(Attack):
    """Each is a way around what a filter of ordinary calls sees, or has been."""

    def ways(self):
        return {
            "vsock": self.vsock,
            "netlink": self.netlink,
            **{name: lambda name=name: self.try_call(name) for name in NUMBERS},
            "a new user namespace": lambda: self.namespace(CLONE_NEWUSER | CLONE_NEWNET),
        }

    def vsock(self):
        with socket.socket(40, socket.SOCK_STREAM):
            return "a vsock socket"

    def netlink(self):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW):
            return "a netlink socket"

    def try_call(self, name):
        # Arguments that the kernel refuses too, but with another error: so it was asked.
        libc = ctypes.CDLL(None, use_errno=True)
        minus = ctypes.c_long(-1)
        libc.syscall(ctypes.c_long(NUMBERS[name]), minus, minus, minus, minus, minus)
        code = ctypes.get_errno()
        if code == EPERM:
            raise PermissionError(code, os.strerror(code))
        return f"the kernel answered {os.strerror(code)}"

    def namespace(self, flags):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(flags) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return "a new user namespace"
