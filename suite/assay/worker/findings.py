"""What a check found, streamed to a file while it runs, and how two sets of tensors differ."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from assay.errors import AssayError
from assay.plugins.loading import describe
from assay.worker.session import Diverged

ResultStatus = Literal["ok", "failed", "note"]


class ResultLog:
    """What was found so far, one JSON line each, written as it is found."""

    def __init__(self, path: Path, source: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._source = source
        self._failed: set[str] = set()

    def add(self, check: str, status: ResultStatus, detail: str) -> None:
        """Note one finding."""
        if status == "failed":
            self._failed.add(check)
        self._write({"check": check, "status": status, "detail": detail})

    def failed(self, check: str) -> bool:
        """Whether `check` has found a failure."""
        return check in self._failed

    def _write(self, line: Mapping[str, str]) -> None:
        self._file.write(json.dumps(line) + "\n")

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """Announce a check; an exception inside is its failure."""
        self._write({"begun": name})
        try:
            yield
        except AssayError as error:
            self.add(name, "failed", str(error))
        except Diverged as error:
            self.add(name, "failed", f"{error}; choose defaults that are stable on an easy problem")
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.add(name, "failed", describe(error, self._source))


def first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first tensor that differs, and by how much, or None."""
    if one.keys() != other.keys():
        return f"tensors {sorted(one.keys() ^ other.keys())[:3]} stand on one side only"
    for name, a in one.items():
        b = other[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{name} is {a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)}"
        if not torch.equal(a, b):
            largest = float((a.double() - b.double()).abs().max())
            return f"{name} by up to {largest:.2g}"
    return None
