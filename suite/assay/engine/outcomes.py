"""How a worker's child ended: what it left is untrusted, what the worker measured is not."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from assay.engine.clients import Answer, tail
from assay.errors import PluginError
from assay.messages import Ended, Outcome, Refusal, Scored
from assay.records.schema import Checks, Status
from assay.sandbox import limits
from assay.untrusted.files import read_regular

OUTCOME = "outcome.json"
MAX_OUTCOME_BYTES = 16_000_000


class DidNotEnd(PluginError):
    """A plugin that was stopped because it took too long."""


class Refused(PluginError):
    """A plugin that cannot be loaded, or declares something malformed; says why itself."""


def read_outcome(folder: Path) -> Outcome | None:
    """What a run left, or None where that is missing or malformed."""
    try:
        return Outcome.model_validate_json(read_regular(folder / OUTCOME, MAX_OUTCOME_BYTES))
    except (OSError, ValidationError):
        return None


def read_answer(ended: Ended, folder: Path, seconds: float, kind: type[Answer]) -> Answer:
    """The `kind` that a child other than a run left.

    Args:
        ended: what the worker measured of it.
        folder: where its answer and its log lie.
        seconds: wall time it was given.
        kind: the answer to expect.

    Raises:
        DidNotEnd: it was stopped after `seconds`.
        Refused: it said why it could not do what it was asked for.
        PluginError: it left no answer or a malformed one.
    """
    try:
        data = read_regular(folder / OUTCOME, MAX_OUTCOME_BYTES)
    except OSError as error:
        if ended.limit == "wall time":
            raise DidNotEnd(f"did not end within {seconds:g} s") from error
        how = _how_it_ended(ended, folder, limits.cpu_seconds(seconds, 1))
        raise PluginError(how) from error
    try:
        return kind.model_validate_json(data)
    except ValidationError as malformed:
        try:
            refusal = Refusal.model_validate_json(data)
        except ValidationError:
            first = malformed.errors()[0]
            where = ".".join(map(str, first["loc"])) or "it"
            raise PluginError(f"gave a malformed answer: {where}: {first['msg']}") from malformed
    raise Refused(refusal.error)


def checks(outcome: Outcome | None, scored: Scored | None) -> Checks | None:
    """What the run said beside what the scorer found; None for a run that was not scored."""
    if outcome is None or scored is None:
        return None
    return Checks(
        first_losses=outcome.first_losses,
        reference_first_losses=scored.reference_first_losses,
        weight_distances=scored.weight_distances,
    )


def verdict(
    ended: Ended, outcome: Outcome | None, folder: Path, cpu_seconds: float
) -> tuple[Status, str]:
    """Status and message of a run that did not hang.

    Args:
        ended: what the worker measured of its child.
        outcome: what the child left, if anything.
        folder: where its log lies.
        cpu_seconds: CPU time it was given.
    """
    if ended.limit == "CPU time":
        return "out_of_budget", f"stopped after {cpu_seconds:g} s of CPU time, the task's limit"
    if ended.limit is not None or outcome is None:
        return "failed", _how_it_ended(ended, folder, cpu_seconds)
    failed = outcome.status == "failed"
    return outcome.status, limits.explained(outcome.message) if failed else outcome.message


def _how_it_ended(ended: Ended, folder: Path, cpu_seconds: float) -> str:
    """One line about a child that left no outcome; `cpu_seconds` is the CPU time it was given."""
    if ended.limit is not None:
        return (
            f"stopped: over the limit on {ended.limit} ({limits.allowed(ended.limit, cpu_seconds)})"
        )
    try:
        lines = tail(folder / "output.log", 400).split("\n")
    except OSError:
        lines = []
    said = " | ".join(line.strip() for line in lines if line.strip())
    how = (
        f"was killed by signal {-ended.exit}"
        if ended.exit < 0
        else (f"exited with code {ended.exit}")
    )
    return f"the method's process {how} without a result" + (f": {said}" if said else "")
