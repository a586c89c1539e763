"""Starts the worker and the scorer: which process, which environment, which level.

Levels (recorded in every result): L0 in process, L1 subprocess (a crash boundary, no security),
L2 bubblewrap + seccomp + limits, L3 gradient oracle, L4 micro-VM. This engine offers L1: a fresh
interpreter with an explicit environment, no inherited descriptors, a session of its own. A
stronger launcher replaces `command` and reports its level and the hash of its profile.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

from suite.records import Compute, Isolation

LEVEL = Isolation(level="L1")


def command(module: str, arguments: list[str]) -> list[str]:
    """The command line of a child interpreter.

    -s: no user site; -B: no bytecode written; -P: the current folder is not importable.
    """
    return [sys.executable, "-s", "-B", "-P", "-m", module, *arguments]


def environment(compute: Compute, extra: dict[str, str]) -> dict[str, str]:
    """Everything a child sees of the outside; what numbers depend on is pinned here."""
    threads = str(compute.threads)
    pinned = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
    }
    if compute.isa != "native":
        # Results are bitwise repeatable only under one instruction set; AVX2 runs everywhere.
        pinned["ATEN_CPU_CAPABILITY"] = compute.isa
        pinned["ONEDNN_MAX_CPU_ISA"] = compute.isa.upper()
        pinned["MKL_ENABLE_INSTRUCTIONS"] = compute.isa.upper()
    return {**pinned, **extra}


def launch(
    module: str, arguments: list[str], *, compute: Compute, log: IO[bytes], extra: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start `python -m module arguments`, speaking JSON lines over its stdin and stdout."""
    return subprocess.Popen(
        command(module, arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment(compute, extra),
        close_fds=True,
        start_new_session=True,  # Ctrl-C is the supervisor's alone
        cwd=Path(sys.prefix),
    )
