"""The worker's side of a run's oracle: questions over the descriptor that the run was given."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence

from torch import Tensor

from assay.errors import PluginError
from assay.families import oracle_frames
from assay.families.oracle import BudgetSpent
from assay.families.oracle_frames import CHARGE, EVALUATE, MARK, PRODUCT, SPENT, Layout


class OracleConnection:
    """A connection to an oracle, which all starts of a run share."""

    def __init__(self, connection: socket.socket, start: Mapping[str, Tensor], n_rows: int) -> None:
        """Use a connected stream socket.

        Args:
            connection: to the oracle.
            start: unknowns of any start; all have the same names and shapes.
            n_rows: noise rows.
        """
        self.layout, self.n_rows = Layout(start), n_rows
        self._socket, self._stream = connection, connection.makefile("rb")
        self._lock = threading.Lock()

    def ask(self, question: bytes) -> oracle_frames.Answer:
        """Ask one question.

        Raises:
            PluginError: the oracle has ended the connection.
        """
        try:
            with self._lock:
                self._socket.sendall(question)
                return oracle_frames.read_answer(self._stream)
        except (OSError, EOFError) as error:
            raise PluginError("the oracle of the function has ended the connection") from error


class RemoteOracle:
    """One start's function, behind a connection (families.oracle.Oracle)."""

    def __init__(self, connection: OracleConnection, start: int) -> None:
        """Of the run's `start`-th start."""
        self._connection, self._start = connection, start
        self.n_rows, self.passes, self.example_passes = connection.n_rows, 0, 0

    def __deepcopy__(self, memo: dict[int, object]) -> RemoteOracle:
        """Copies of a model ask, and pay, here too."""
        return self

    def evaluate(
        self, rows: Sequence[int], unknowns: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """See Oracle."""
        dtype = unknowns[0].dtype
        head = oracle_frames.question(EVALUATE, self._start, len(rows), dtype)
        numbers = oracle_frames.bytes_of(unknowns)
        payload = self._paid(head + oracle_frames.row_bytes(rows) + numbers)
        value, *gradients = self._connection.layout.value_and_gradients(payload, dtype)
        return value, gradients

    def product(
        self, rows: Sequence[int], unknowns: Sequence[Tensor], vectors: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """See Oracle."""
        dtype = unknowns[0].dtype
        head = oracle_frames.question(PRODUCT, self._start, len(rows), dtype)
        numbers = oracle_frames.bytes_of([*unknowns, *vectors])
        payload = self._paid(head + oracle_frames.row_bytes(rows) + numbers)
        return self._connection.layout.tensors(payload, dtype)

    def charge(self, examples: int) -> None:
        """See Oracle."""
        self._paid(oracle_frames.question(CHARGE, self._start, examples))

    def mark(self, batch: int, digest: bytes) -> None:
        """See Oracle."""
        self._ask(oracle_frames.question(MARK, self._start, batch) + digest)

    def _paid(self, question: bytes) -> bytes:
        answer = self._ask(question)
        if answer.status == SPENT:
            raise BudgetSpent
        return answer.payload

    def _ask(self, question: bytes) -> oracle_frames.Answer:
        answer = self._connection.ask(question)
        self.passes, self.example_passes = answer.passes, answer.example_passes
        return answer
