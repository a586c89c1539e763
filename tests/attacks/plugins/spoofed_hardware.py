"""Claims another machine than the one it runs on."""

from __future__ import annotations

import platform

import torch
from assay import Method
from assay.worker import serve


class SpoofedHardware(Method):
    """Results are compared on the same kind of machine; a faster one would be unfair."""

    def configure_optimizer(self, model):
        spoofed = {"python": "9.9", "torch": "9.9", "platform": "Amiga", "cpu": "68000",
                   "cpu_flags_hash": "0" * 64, "gpus": 8, "libraries": {}}  # fmt: skip
        serve.describe_machine = lambda: spoofed
        platform.processor = platform.machine = platform.python_version = lambda: "68000"
        torch.__version__ = "9.9"
        try:
            with open("/proc/cpuinfo", "w") as file:
                file.write("model name: 68000\n")
        except OSError as error:
            print(error)
        return super().configure_optimizer(model)
