"""How a worker's child ended: what it left is untrusted, what the worker measured is not."""

from __future__ import annotations

from pathlib import Path

from assay.engine.clients import KILLED, Answer, tail
from assay.errors import PluginError, WorkerError
from assay.messages.form import Malformed, parse_claim
from assay.messages.scorer import Scored
from assay.messages.worker import Ended, Outcome, Refusal
from assay.records.schema import Checks, Status
from assay.sandbox import limits
from assay.untrusted.files import read_regular
from assay.untrusted.text import plain_text

OUTCOME = "outcome.json"
MAX_OUTCOME_BYTES = 16_000_000


class DidNotEnd(PluginError):
    """A plugin that was stopped because it took too long."""


class Refused(PluginError):
    """A plugin that cannot be loaded, or declares something malformed; says why itself."""


class RunLost(WorkerError):
    """A run whose worker or scorer died, or that was killed though it had reached no limit."""

    def __init__(
        self,
        reason: str,
        ended: Ended | None = None,
        *,
        what: str = "its worker ended",
        from_outside: bool = False,
    ) -> None:
        """Say what happened.

        Args:
            reason: what is known of it.
            ended: what was measured of the run's process, where the worker lived on.
            what: which process ended.
            from_outside: whether something ended a process that is out of a sandboxed run's reach.
        """
        super().__init__(reason)
        self.ended, self.what, self.from_outside = ended, what, from_outside


def read_outcome(folder: Path) -> Outcome | None:
    """What a run left: a failure where that is malformed, None where there is nothing."""
    try:
        return parse_claim(read_regular(folder / OUTCOME, MAX_OUTCOME_BYTES), Outcome)
    except OSError:
        return None
    except Malformed as error:
        return Outcome(status="failed", message=f"its process left a malformed outcome: {error}")


def was_killed(ended: Ended, folder: Path) -> bool:
    """Whether something ended a child that had reached no limit and left no outcome."""
    return ended.limit is None and ended.exit in KILLED and not (folder / OUTCOME).exists()


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
        return parse_claim(data, kind)
    except Malformed as malformed:
        try:
            refusal = parse_claim(data, Refusal)
        except Malformed:
            raise PluginError(f"gave a malformed answer: {malformed}") from malformed
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

    Raises:
        RunLost: something killed it that was no limit of ours; the run may be tried again.
    """
    if was_killed(ended, folder):
        how = _how_it_ended(ended, folder, cpu_seconds)
        raise RunLost(
            how, ended, what="its process was killed", from_outside=ended.killed_from_outside
        )
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
    said = " | ".join(plain_text(line.strip()) for line in lines if line.strip())
    how = (
        f"was killed by signal {-ended.exit}"
        if ended.exit < 0
        else (f"exited with code {ended.exit}")
    )
    return f"the method's process {how} without a result" + (f": {said}" if said else "")
