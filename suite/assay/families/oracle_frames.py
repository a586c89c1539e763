"""What a model and its oracle say to each other over a stream: binary frames of known length.

    question  <BBHI>  operation, type of numbers, start, n
              EVALUATE  n row numbers (u32), the unknowns
              PRODUCT   n row numbers (u32), the unknowns, as many numbers of vectors
              CHARGE    nothing; n examples
              MARK      32 bytes of a digest; n batches
    answer    <BxxxIQQ>  status, bytes that follow, passes and example-passes so far
              EVALUATE  the value, the gradient
              PRODUCT   the product

Numbers are little-endian. The unknowns come in the order of their names. Whoever receives a
question reads nothing whose length it has not computed itself, and takes none that breaks a rule.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from assay.families.oracle import DTYPES

EVALUATE, PRODUCT, CHARGE, MARK = range(1, 5)
"""Operations."""
ANSWERED, SPENT = range(2)
"""Statuses."""
DIGEST_BYTES = 32
_QUESTION, _ANSWER = struct.Struct("<BBHI"), struct.Struct("<BxxxIQQ")


class Malformed(Exception):
    """A frame that breaks the protocol."""


@dataclass(frozen=True)
class Question:
    """What an oracle is asked."""

    operation: int
    start: int
    n: int
    """Rows, examples or batches."""
    rows: Sequence[int] = ()
    unknowns: Sequence[Tensor] = ()
    vectors: Sequence[Tensor] = ()
    digest: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What it says."""

    status: int
    passes: int
    example_passes: int
    payload: bytes


class Layout:
    """Shapes of a function's unknowns, in the order of their names, and the bounds of questions."""

    def __init__(
        self, start: Mapping[str, Tensor], *, n_starts: int = 0, n_rows: int = 0, budget: int = 0
    ) -> None:
        """Of the unknowns at `start`; the bounds matter to the oracle's side alone."""
        self.shapes = [start[name].shape for name in sorted(start)]
        self._sizes = [shape.numel() for shape in self.shapes]
        self._n_numbers = sum(self._sizes)
        self._n_starts, self._n_rows, self._budget = n_starts, n_rows, budget

    def tensors(self, data: bytes | bytearray, dtype: torch.dtype, offset: int = 0) -> list[Tensor]:
        """The tensors of the unknowns' shapes whose bytes begin at `offset`."""
        found = []
        # torch warns of memory that cannot be written to.
        memory = data if isinstance(data, bytearray) else bytearray(data)
        width = dtype.itemsize
        for shape, size in zip(self.shapes, self._sizes, strict=True):
            tensor = torch.frombuffer(memory, dtype=dtype, count=size, offset=offset)
            found.append(tensor.view(shape))
            offset += width * size
        return found

    def value_and_gradients(self, data: bytes, dtype: torch.dtype) -> list[Tensor]:
        """A scalar, then tensors of the unknowns' shapes."""
        memory = bytearray(data)
        value = torch.frombuffer(memory, dtype=dtype, count=1).view(())
        return [value, *self.tensors(memory, dtype, dtype.itemsize)]

    def n_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of all unknowns."""
        return self._n_numbers * dtype.itemsize

    def read(self, stream: BinaryIO) -> Question | None:
        """The next question; None where the stream ends between questions.

        Raises:
            Malformed: it breaks a rule, or the stream ends within it.
        """
        head = stream.read(_QUESTION.size)
        if not head:
            return None
        if len(head) < _QUESTION.size:
            raise Malformed("a question ends early")
        operation, kind, start, n = _QUESTION.unpack(head)
        if operation not in (EVALUATE, PRODUCT, CHARGE, MARK) or start >= self._n_starts or n == 0:
            raise Malformed("no such operation, start or number")
        if operation in (CHARGE, MARK):
            # A batch costs at least one example-pass, so there are no more batches than these.
            if kind or (operation == CHARGE and n > self._budget):
                raise Malformed("a number out of bounds")
            digest = self._exactly(stream, DIGEST_BYTES) if operation == MARK else b""
            return Question(operation, start, n, digest=digest)
        if kind >= len(DTYPES) or n > self._budget:
            raise Malformed("no such type, or more rows than the budget pays for")
        dtype = DTYPES[kind]
        data = self._exactly(stream, 4 * n + self.n_bytes(dtype) * (1 + (operation == PRODUCT)))
        rows = struct.unpack_from(f"<{n}I", data)
        if max(rows) >= self._n_rows:
            raise Malformed("no such row")
        unknowns = self.tensors(data, dtype, 4 * n)
        vectors = (
            self.tensors(data, dtype, 4 * n + self.n_bytes(dtype)) if operation == PRODUCT else ()
        )
        return Question(operation, start, n, rows, unknowns, vectors)

    @staticmethod
    def _exactly(stream: BinaryIO, n_bytes: int) -> bytes:
        data = stream.read(n_bytes)
        if len(data) < n_bytes:
            raise Malformed("a question ends early")
        return data


def bytes_of(tensors: Sequence[Tensor]) -> bytes:
    """The bytes of tensors on the CPU, one after the other."""
    return b"".join(tensor.detach().contiguous().numpy().tobytes() for tensor in tensors)


def question(operation: int, start: int, n: int, dtype: torch.dtype | None = None) -> bytes:
    """The head of a question."""
    return _QUESTION.pack(operation, 0 if dtype is None else DTYPES.index(dtype), start, n)


def row_bytes(rows: Sequence[int]) -> bytes:
    """Row numbers as they follow the head."""
    return struct.pack(f"<{len(rows)}I", *rows)


def answer(status: int, passes: int, example_passes: int, payload: bytes = b"") -> bytes:
    """A whole answer."""
    return _ANSWER.pack(status, len(payload), passes, example_passes) + payload


def read_answer(stream: BinaryIO) -> Answer:
    """The next answer of an oracle, which is trusted.

    Raises:
        EOFError: the stream ended.
    """
    head = stream.read(_ANSWER.size)
    if len(head) < _ANSWER.size:
        raise EOFError
    status, n_bytes, passes, example_passes = _ANSWER.unpack(head)
    payload = stream.read(n_bytes)
    if len(payload) < n_bytes:
        raise EOFError
    return Answer(status, passes, example_passes, payload)
