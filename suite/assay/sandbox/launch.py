"""Starts a worker in its sandbox, and says which environment a child process gets."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from assay.messages.worker import WorkerStart
from assay.records.schema import Compute, Mechanism
from assay.sandbox.bubblewrap import (
    USER,
    as_ordinary_user,
    masked,
    mounts,
    namespaces,
    readable,
)
from assay.sandbox.mechanisms import Box, run_user
from assay.sandbox.namespaces import SHARED_MEMORY
from assay.sandbox.self_check import Fact


def launch_worker(
    box: Box,
    mechanism: Mechanism,
    *,
    compute: Compute,
    log: IO[bytes],
    extra: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a worker in its sandbox and send it its WorkerStart.

    Args:
        box: its folders, made already.
        mechanism: see mechanisms.choose.
        compute: what numbers depend on.
        log: for what the worker itself prints.
        extra: more environment variables, for a worker that checks tasks and loads no method.
    """
    inside = box.places(mechanism)
    variables = environment(compute, {**_worker_variables(inside[1]), **(extra or {})})
    handle = os.open(box.results, os.O_RDONLY | os.O_DIRECTORY)
    try:
        command = interpreter("assay.worker.serve")
        if mechanism == "bubblewrap":
            settings = [part for item in variables.items() for part in ("--setenv", *item)]
            sandbox = [*namespaces(), *settings, *mounts(box.inbox)]
            command = [*as_ordinary_user(box.inbox), *sandbox, "--", *command]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=variables,
            pass_fds=(handle,),
            start_new_session=True,  # Ctrl-C is the supervisor's alone
            cwd=box.scratch,
        )
        assert process.stdin is not None
        start = _start(mechanism, inside, handle, variables, with_data=extra is not None)
        with contextlib.suppress(BrokenPipeError):  # whoever waits for its answer reports its end
            process.stdin.write(start.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        return process
    finally:
        os.close(handle)


def interpreter(module: str) -> list[str]:
    """The command line of a child interpreter that runs `module`.

    -s: no user site; -B: no bytecode written; -P: the current folder is not importable.
    """
    return [sys.executable, "-s", "-B", "-P", "-m", module]


def environment(compute: Compute, extra: Mapping[str, str]) -> dict[str, str]:
    """All environment variables of a child: those that numbers depend on, and `extra`."""
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
        # Results are bitwise repeatable only under one instruction set; AVX2 runs everywhere. The
        # cap costs nothing on digits_cnn and letters_transformer; on cifar10_compact a run takes
        # 11.0 CPU s, with AVX-512 7.8 (n = 3 pairs): too little to split a board by machines.
        pinned["ATEN_CPU_CAPABILITY"] = compute.isa
        pinned["ONEDNN_MAX_CPU_ISA"] = compute.isa.upper()
        pinned["MKL_ENABLE_INSTRUCTIONS"] = compute.isa.upper()
    return {**pinned, **extra}


def _worker_variables(out: Path) -> dict[str, str]:
    """Neither a home, a user name nor a folder of data; the interpreter may need its libraries."""
    found = {"HOME": str(out), "TMPDIR": f"{out}/tmp"}
    if "LD_LIBRARY_PATH" in os.environ:
        found["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return found


def _start(
    mechanism: Mechanism,
    inside: tuple[Path, Path],
    results: int,
    variables: Mapping[str, str],
    *,
    with_data: bool,
) -> WorkerStart:
    """What the worker is told at its start."""
    inbox, out = inside
    user = None if with_data else run_user(mechanism)
    expected: dict[str, Fact] = {"descriptors": [0, 1, 2], "environment": sorted(variables)}
    if mechanism != "subprocess":
        expected |= {"seccomp": 2, "no_new_privileges": True, "sockets": []}
        expected["parts_of_worker"] = []
    if mechanism == "landlock" or user is not None:
        expected |= {"effective_capabilities": 0, "no_new_privileges": True}
    if user is not None:
        expected |= {"users": [user], "groups": [user]}
    if mechanism == "bubblewrap":
        expected |= {
            "users": [USER],
            "groups": [USER],
            "environment": sorted([*variables, "PWD"]),  # which --chdir sets
            "effective_capabilities": 0,
            "capabilities": [0, 0, 0, 0, 0],
            "interfaces": ["lo"],
            "writable": [str(out), str(SHARED_MEMORY)],
            "processes": [1, 2],
            "shared_memory": [],
            "own_folder": True,
            "mounted": [*map(str, [*inside, *readable(), *masked()]), "/dev", "/proc"],
        }
    return WorkerStart(
        mechanism=mechanism,
        inbox=inbox,
        out=out,
        results=results,
        user=user,
        expected=expected,
        readable=list(readable()),
        masked=list(masked()),
    )
