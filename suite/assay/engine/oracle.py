"""A run's oracle: a process that holds the functions of its starts and answers for them.

The scorer forks one for each run of a task of the family functions. It serves one connection until
that ends, and then leaves its account to the scorer: what each start spent, and its marks. What
comes through the connection is written by whatever runs there. A question that breaks the protocol
ends the connection, and so does the thousandth that is not paid for.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import PluginError
from assay.families import oracle_frames
from assay.families.functions import Functions
from assay.families.oracle import BudgetSpent, FunctionOracle, Mark
from assay.families.oracle_frames import (
    ANSWERED,
    SPENT,
    Layout,
    Malformed,
    Question,
)
from assay.task import Problem

PR_SET_PDEATHSIG = 1
MAX_REFUSALS = 1000
"""Questions beyond the budget that are answered, all starts together."""
COLLECT_SECONDS = 10.0
"""How long the scorer waits for an account once the run has ended."""
CONNECTABLE = 0o666
"""The worker may be another user. Others are kept out by the rights of the folder."""


@dataclass(frozen=True)
class Account:
    """What one start spent."""

    passes: int
    example_passes: int
    marks: Sequence[Mark]


class OracleProcess:
    """The scorer's side of an oracle."""

    def __init__(self, task: Functions, problem: Problem, path: Path) -> None:
        """Fork it.

        Args:
            task: what the run trains on.
            problem: of its repetition.
            path: for the socket that the run connects to.
        """
        self.path, self.cpu_seconds = path, 0.0
        self._accounts: list[Account] | None = None
        listener = _listener(path)
        self._account, end = os.pipe()
        scorer = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _main(task, problem, listener, end, scorer)  # never returns
        listener.close()
        os.close(end)

    def close(self) -> Sequence[Account] | None:
        """End it; its accounts, per start. None where it did not leave any.

        It ends by itself with the run's last process, so that this waits for a moment only.
        """
        if self._pid:
            data = self._read()
            os.close(self._account)
            os.kill(self._pid, signal.SIGKILL)
            _, _, usage = os.wait4(self._pid, 0)
            self.cpu_seconds, self._pid = usage.ru_utime + usage.ru_stime, 0
            self.path.unlink(missing_ok=True)
            if data:
                self._accounts = [_account(entry) for entry in json.loads(data)]
        return self._accounts

    def _read(self) -> bytes:
        """What it left, whole, or nothing."""
        data, deadline = b"", time.monotonic() + COLLECT_SECONDS
        while select.select([self._account], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(self._account, 1 << 16)
            if not part:
                return data
            data += part
        return b""


def _account(entry: dict[str, object]) -> Account:
    marks = [Mark(batch, n, m, bytes.fromhex(digest)) for batch, n, m, digest in entry["marks"]]  # type: ignore[attr-defined]
    return Account(entry["passes"], entry["example_passes"], marks)  # type: ignore[arg-type]


def _listener(path: Path) -> socket.socket:
    """A listening socket at `path`, whose name may be longer than an address can be."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        near = Path(f"/proc/self/fd/{folder}")
        listener.bind(str(near / path.name if near.exists() else path))
    finally:
        os.close(folder)
    path.chmod(CONNECTABLE)
    listener.listen(1)
    return listener


def _main(
    task: Functions, problem: Problem, listener: socket.socket, end: int, scorer: int
) -> None:
    """The forked process: serve one connection, leave the accounts, exit."""
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != scorer:
                os._exit(1)
        _keep_only(listener, end)
        import torch

        torch.set_num_threads(1)  # a pool of threads does not survive a fork
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        gc.freeze()
        oracles = [task.oracle(problem, number) for number in range(len(problem.starts))]
        layout = Layout(
            problem.starts[0],
            n_starts=len(oracles),
            n_rows=len(problem.train["inputs"]),
            budget=task.card.budget.example_passes,
        )
        connection, _ = listener.accept()
        listener.close()
        with connection:
            serve(connection, oracles, layout)
        _leave(end, oracles)
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"oracle: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(1)


def _keep_only(listener: socket.socket, end: int) -> None:
    """Close what belongs to the scorer: its channel above all."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    kept = sorted((listener.fileno(), end))
    for low, high in zip([2, *kept], [*kept, 65536], strict=True):
        os.closerange(low + 1, high)


def _leave(end: int, oracles: Sequence[FunctionOracle]) -> None:
    """Write the accounts."""
    accounts = [
        {
            "passes": oracle.passes,
            "example_passes": oracle.example_passes,
            "marks": [
                (mark.batch, mark.passes, mark.example_passes, mark.digest.hex())
                for mark in oracle.marks
            ],
        }
        for oracle in oracles
    ]
    with os.fdopen(end, "wb") as file:
        file.write(json.dumps(accounts).encode())


def serve(
    connection: socket.socket, oracles: Sequence[FunctionOracle], layout: Layout
) -> str | None:
    """Answer questions until the connection ends.

    Args:
        connection: to a run.
        oracles: of its starts.
        layout: of the unknowns, with the bounds of questions.

    Returns:
        Why the connection was ended from this side; None if the run ended it.
    """
    refusals = 0
    try:
        with connection.makefile("rb") as stream:
            while (asked := layout.read(stream)) is not None:
                answer, paid = _answered(asked, oracles[asked.start])
                refusals += not paid
                if refusals > MAX_REFUSALS:
                    return "too many questions were not paid for"
                connection.sendall(answer)
    except (Malformed, PluginError, OSError) as error:
        return str(error)
    return None


def _answered(asked: Question, oracle: FunctionOracle) -> tuple[bytes, bool]:
    """The answer to a question, and whether it was paid for."""
    payload = b""
    try:
        match asked.operation:
            case oracle_frames.EVALUATE:
                value, gradients = oracle.evaluate(asked.rows, asked.unknowns)
                payload = oracle_frames.bytes_of([value, *gradients])
            case oracle_frames.PRODUCT:
                products = oracle.product(asked.rows, asked.unknowns, asked.vectors)
                payload = oracle_frames.bytes_of(products)
            case oracle_frames.CHARGE:
                oracle.charge(asked.n)
            case oracle_frames.MARK:
                oracle.mark(asked.n, asked.digest)
    except BudgetSpent:
        return oracle_frames.answer(SPENT, oracle.passes, oracle.example_passes), False
    return oracle_frames.answer(ANSWERED, oracle.passes, oracle.example_passes, payload), True
