"""How a worker's child ended: what it left is untrusted, what the worker measured is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assay.engine.clients import tail
from assay.errors import PluginError
from assay.records.schema import Checks, Outcome, Status
from assay.sandbox.limits import TIMES, allowed, explained
from assay.untrusted.files import read_regular

MAX_OUTCOME_BYTES = 16_000_000


class DidNotEnd(PluginError):
    """A plugin that was stopped because it took too long."""


def read_outcome(folder: Path) -> Outcome | None:
    """What the child left, or None; it is untrusted, so anything odd counts as nothing."""
    try:
        return Outcome.model_validate_json(read_regular(folder / "outcome.json", MAX_OUTCOME_BYTES))
    except (OSError, ValidationError):
        return None


def answer_of(ended: Mapping[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    """What a child that was not a run left.

    Raises:
        DidNotEnd: it was stopped after `seconds`.
        PluginError: it left nothing; how it ended.
    """
    try:
        answer: dict[str, Any] = json.loads(
            read_regular(folder / "outcome.json", MAX_OUTCOME_BYTES)
        )
    except (OSError, ValueError, RecursionError) as error:
        if ended["limit"] == "wall time":
            raise DidNotEnd(f"did not end within {seconds:g} s") from error
        raise PluginError(_how_it_ended(ended, folder, seconds)) from error
    return answer


def checks(outcome: Outcome | None, scored: Mapping[str, Any]) -> Checks | None:
    """What the worker said beside what the scorer found."""
    if outcome is None or "checks" not in scored:
        return None
    return Checks(first_losses=outcome.first_losses, **scored["checks"])


def verdict(
    ended: Mapping[str, Any], outcome: Outcome | None, folder: Path, seconds: float
) -> tuple[Status, str]:
    """Status and message of a run.

    Args:
        ended: what the worker measured of its child.
        outcome: what the child left, if anything.
        folder: where its log lies.
        seconds: wall time it was given.
    """
    if ended["limit"] is not None:
        status: Status = "out_of_budget" if ended["limit"] in TIMES else "failed"
        return status, _how_it_ended(ended, folder, seconds)
    if outcome is None:
        return "failed", _how_it_ended(ended, folder, seconds)
    failed = outcome.status == "failed"
    return outcome.status, explained(outcome.message) if failed else outcome.message


def _how_it_ended(ended: Mapping[str, Any], folder: Path, seconds: float) -> str:
    """One line for a run that left no outcome."""
    if ended["limit"] == "wall time":
        return f"stopped after {seconds:g} s, the task's limit on wall time"
    if ended["limit"] is not None:
        return f"stopped: over the limit on {ended['limit']} ({allowed(ended['limit'], seconds)})"
    try:
        lines = tail(folder / "output.log", 400).split("\n")
    except OSError:
        lines = []
    said = " | ".join(line.strip() for line in lines if line.strip())
    code = ended["exit"]
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    return f"the method's process {how} without a result" + (f": {said}" if said else "")
