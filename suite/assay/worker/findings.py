"""A log of check results, written as they are found, and what differs or went wrong in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from assay.errors import AssayError
from assay.messages.form import CheckStatus, clip
from assay.messages.worker import CheckBegun, CheckFinding
from assay.plugins.loading import describe
from assay.worker.hook_mistakes import advice
from assay.worker.session import Diverged


class ResultLog:
    """A file of messages.worker.CheckBegun and CheckFinding, one line each.

    It is complete up to the moment in which a plugin hangs or kills its process.
    """

    def __init__(self, path: Path, source: Path) -> None:
        """Append to `path`; `source` is the plugin's file, whose lines are named in errors."""
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._source = source
        self._failed: set[str] = set()

    def add(self, check: str, status: CheckStatus, detail: str) -> None:
        """Write one finding."""
        if status == "failed":
            self._failed.add(check)
        self._write(CheckFinding(check=check, status=status, detail=clip(detail)))

    def failed(self, check: str) -> bool:
        """Whether `check` has found a failure."""
        return check in self._failed

    def _write(self, line: CheckBegun | CheckFinding) -> None:
        self._file.write(line.model_dump_json() + "\n")

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Write that a check begins; an exception inside the block is its failure."""
        self._write(CheckBegun(begun=name))
        try:
            yield
        except Diverged as error:
            self.add(name, "failed", f"{error}; choose defaults that are stable on an easy problem")
        except Exception as error:
            self.add(name, "failed", explained(error, self._source))


def explained(error: Exception, source: Path) -> str:
    """One line about an exception (see plugins.loading.describe), with what to do about it."""
    if isinstance(error, AssayError):
        return str(error)
    said, text = describe(error, source), advice(error)
    return said if text is None else f"{said}: {text}"


def first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first tensor that differs, and by how much; None where all are equal."""
    if one.keys() != other.keys():
        return f"tensors {sorted(one.keys() ^ other.keys())[:3]} are on one side only"
    for name, a in one.items():
        b = other[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{name} is {a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)}"
        if not torch.equal(a, b):
            largest = float((a.double() - b.double()).abs().max())
            return f"{name} by up to {largest:.2g}"
    return None
