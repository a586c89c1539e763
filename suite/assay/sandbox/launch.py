"""Starts the worker and the scorer: in which sandbox, with which environment, at which level.

Levels (recorded in every result): L0 in process, L1 a process apart, L2 bubblewrap with seccomp
and limits, L3 gradient oracle, L4 micro-VM. Three mechanisms, the strongest that works is taken:

    bubblewrap   L2  own user, process, mount, network, IPC and host-name namespaces
    landlock     L1  file access and TCP restricted by the kernel (Landlock ABI 4), seccomp, limits
    subprocess   L1  a crash boundary and polled limits, no security; only with --allow-weaker

In the sandbox a worker sees the interpreter and its packages, the system's libraries, this
package, and two folders: `/in`, where the supervisor puts the files of one run, and `/out` (see
`scratch`), a file system in memory, from which the worker hands over what the run left. Data sets,
labels, records, the repository, home folders and other workers are not there. Data files that come
inside a package (scikit-learn's digits) are masked. What remains: a stranger can write data into a
method's source, which assay.detectors looks for.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from assay.records.schema import Compute, Mechanism
from assay.sandbox.bubblewrap import (
    DEVICES,
    USER,
    WRITABLE,
    FilterHandle,
    as_ordinary_user,
    masked,
    mounts,
    namespaces,
    readable,
)
from assay.sandbox.mechanisms import Box


def launch_worker(
    box: Box,
    mechanism: Mechanism,
    *,
    compute: Compute,
    log: IO[bytes],
    extra: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a worker in its sandbox; it waits for its first line, its configuration.

    Args:
        box: its folders, made already.
        mechanism: see `choose`.
        compute: what numbers depend on.
        log: for what the worker itself prints.
        extra: more variables, for a worker that audits tasks and never loads a method.
    """
    inside = box.places(mechanism)
    variables = _environment(compute, {**_worker_variables(inside[1]), **(extra or {})})
    handle = os.open(box.results, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with FilterHandle() as filter_handle:
            command = _command("assay.worker.serve", [])
            if mechanism == "bubblewrap":
                settings = [part for item in variables.items() for part in ("--setenv", *item)]
                sandbox = [*namespaces(filter_handle), *settings, *mounts(box.inbox)]
                command = [*as_ordinary_user(box.inbox), *sandbox, "--", *command]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables,
                pass_fds=(handle, filter_handle) if mechanism == "bubblewrap" else (handle,),
                start_new_session=True,  # Ctrl-C is the supervisor's alone
                cwd=box.scratch,
            )
        assert process.stdin is not None
        configuration = _configuration(mechanism, inside, handle, variables)
        with contextlib.suppress(BrokenPipeError):  # who waits for it to be ready tells of its end
            process.stdin.write(json.dumps(configuration).encode() + b"\n")
            process.stdin.flush()
        return process
    finally:
        os.close(handle)


def launch_scorer(
    arguments: list[str], *, compute: Compute, log: IO[bytes], extra: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start the scorer, which is trusted: `python -m assay.engine.scorer arguments`."""
    return subprocess.Popen(
        _command("assay.engine.scorer", arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_environment(compute, extra),
        close_fds=True,
        start_new_session=True,
        cwd=Path(sys.prefix),
    )


def _command(module: str, arguments: list[str]) -> list[str]:
    """The command line of a child interpreter.

    -s: no user site; -B: no bytecode written; -P: the current folder is not importable.
    """
    return [sys.executable, "-s", "-B", "-P", "-m", module, *arguments]


def _environment(compute: Compute, extra: Mapping[str, str]) -> dict[str, str]:
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


def _worker_variables(out: Path) -> dict[str, str]:
    """No home, no user name, no place of data; the interpreter's libraries where they are odd."""
    found = {"HOME": str(out), "TMPDIR": f"{out}/tmp"}
    if "LD_LIBRARY_PATH" in os.environ:
        found["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return found


def _configuration(
    mechanism: Mechanism,
    places: tuple[Path, Path],
    results: int,
    variables: Mapping[str, str],
) -> dict[str, Any]:
    """What the worker is told at its start."""
    expected: dict[str, Any] = {"descriptors": [0, 1, 2], "environment": sorted(variables)}
    if mechanism != "subprocess":
        expected |= {"seccomp": 2, "no_new_privileges": True, "sockets": []}
        expected["parts_of_worker"] = []
    if mechanism == "landlock":
        expected["effective_capabilities"] = 0
    if mechanism == "bubblewrap":
        expected |= {
            "users": [USER],
            "groups": [USER],
            "environment": sorted([*variables, "PWD"]),  # which --chdir sets
            "effective_capabilities": 0,
            "capabilities": [0, 0, 0, 0, 0],
            "interfaces": ["lo"],
            "writable": [str(places[1]), *WRITABLE, *DEVICES],
            "mounted": [*map(str, [*places, *readable(), *masked()]), "/dev", "/proc"],
        }
    return {
        "mechanism": mechanism,
        "in": str(places[0]),
        "out": str(places[1]),
        "results": results,
        "expected": expected,
        "readable": [str(path) for path in readable()],
        "masked": [str(path) for path in masked()],
    }
