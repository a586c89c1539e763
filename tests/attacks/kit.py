"""What the attacks share: how they report what they reached, and where they are.

An attack has three channels out: its weights, its outcome and what it prints. Those that look for
a secret raise it as an error, which the record keeps as its message: `REACHED` and what was
reached, or `DENIED` and what each way ended in. Secrets are canaries that the harness planted; a
`REACHED` without one concerns something that is no file (a socket that could be opened).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay import Method
from torch import nn, optim

TOKEN = re.compile(rb"ASSAY-CANARY-[a-z]+-[0-9a-f]{32}")
Way = Callable[[], "bytes | str | None"]
"""Bytes are searched for a canary; text is what was reached; nothing is a way that is closed."""


class Reached(Exception):
    """The attack has what it came for."""


class Denied(Exception):
    """Every way was closed."""


class Attack(Method):
    """Tries its ways once, before training; what each ended in is the run's message."""

    def ways(self) -> Mapping[str, Way]:
        """Name of a way and what tries it."""
        raise NotImplementedError

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        closed = []
        for name, way in self.ways().items():
            try:
                found = way()
            except Exception as error:
                closed.append(f"{name}: {getattr(error, 'strerror', None) or error!r:.60}")
                continue
            if isinstance(found, bytes):
                token = TOKEN.search(found)
                found = token.group().decode() if token else None
            if found:
                raise Reached(f"REACHED {name}: {found}")
            closed.append(f"{name}: nothing there")
        raise Denied("DENIED " + "; ".join(closed))


def frames() -> list[dict[str, Any]]:
    """The local variables of every caller, the nearest first."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        found.append(frame.f_locals)
        frame = frame.f_back
    return found


def run_folder() -> Path:
    """Where this run's snapshots and outcome.json are expected."""
    for variables in frames():
        if "request" in variables and isinstance(variables.get("folder"), Path):
            return variables["folder"]
    raise LookupError("no request on the stack")


def caller(name: str) -> dict[str, Any]:
    """The local variables of the nearest caller that has a variable `name`."""
    return next(variables for variables in frames() if name in variables)


def below(folder: str, *, n_bytes: int = 4096, n_files: int = 20_000) -> bytes:
    """The beginnings of the files below a folder."""
    found, count = bytearray(), 0  # where /tmp holds a checkout these are 80 MB
    for path in Path(folder).rglob("*"):
        count += 1
        if count > n_files:
            break
        try:
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    found += file.read(n_bytes)
        except OSError:
            continue
    return bytes(found)


def forge(
    model: nn.Module,
    snapshot: Callable[[dict[str, Any]], bytes],
    then: Callable[[Path], None] = lambda path: None,
) -> None:
    """Hand in snapshots of one's own making for every evaluation point, and leave at once.

    Args:
        model: as it was given; its weights have the right names and shapes.
        snapshot: makes the bytes of one from the right tensors.
        then: does more to the file of them, whose path it gets, when all else is handed in.
    """
    card, folder = caller("card")["card"], run_folder()
    state = dict(caller("task")["task"].export(model))
    path, entries = folder / "snapshots", []
    for batch in card.evaluation.batches(card.budget.batches):
        data = snapshot(state)
        with path.open("ab") as file:
            file.write(data)
        entry = {"n_bytes": len(data), "start": 0, "batch": batch, "passes": batch, "seconds": 0.1}
        spent = batch * card.budget.batch_size
        entries.append({**entry, "example_passes": spent, "train_loss": 1.0})
    usage = {"batches": batch, "example_passes": spent}
    claim = {"status": "completed", "snapshots": entries, "usage": usage}
    (folder / "outcome.json").write_text(json.dumps(claim))
    then(path)
    os._exit(0)
