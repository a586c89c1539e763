"""Reports that other commands printed as JSON, read with care as strangers may have edited them.

    <results>/audit.json      assay audit --write FILE: its A/A control
    <results>/sandbox.json    assay sandbox --json
    <results>/queue.json      assay queue --json
    <results>/parity.json     assay parity --write FILE

Each is shown if it is there. For sandbox and queue, another file can be named. An audit of another
ruleset is not shown, nor are the rows of a method whose code was another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from assay.errors import RecordError
from assay.ruleset import RULESET
from assay.untrusted import strict_json
from assay.untrusted.files import read_regular
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from assay_leaderboard.audit.false_positives import ControlReport
from assay_leaderboard.audit.tasks import Audit

MAX_REPORT_BYTES = 10_000_000
_Printed = TypeVar("_Printed", bound=BaseModel)


class _ReportPart(BaseModel):
    # Fields that a later version adds are ignored.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class AttackOutcome(_ReportPart):
    """How one attack on the sandbox ended."""

    slug: str
    does: str
    ended: str
    expected: str
    stopped_by: str
    evidence: str


class Scorecard(_ReportPart):
    """What `assay sandbox --json` prints."""

    level: str
    mechanism: str | None
    counts: dict[str, int]
    attacks: list[AttackOutcome]


class ParityLine(_ReportPart):
    """One comparison of a method."""

    name: str = ""
    """Which comparison."""
    label: str
    """What it was held against."""
    status: str
    """ok, note or failed."""
    detail: str


class MethodParity(_ReportPart):
    """What a method's optimizer was held against."""

    slug: str
    code_hash: str
    rows: list[ParityLine]


class Parity(_ReportPart):
    """What `assay parity --write` writes."""

    versions: dict[str, str] = {}
    """Of the libraries that numbers depend on."""
    methods: list[MethodParity] = []


class QueueEntry(_ReportPart):
    """A submission that is not on the board yet."""

    slug: str
    state: str
    tasks: list[str]
    since: str
    next_action: str


class _Queue(RootModel[list[QueueEntry]]):
    pass


@dataclass(frozen=True)
class Reports:
    """All reports; a missing one is None or empty."""

    control: ControlReport | None = None
    """The A/A control; other parts of the audit are made anew with the site."""
    scorecard: Scorecard | None = None
    queue: Sequence[QueueEntry] = ()
    parity: Parity = field(default_factory=Parity)


def read(results: Path, scorecard: Path | None = None, queue: Path | None = None) -> Reports:
    """The reports of a folder of results, or those named instead.

    Raises:
        RecordError: one cannot be read or is something else.
    """
    waiting = _read(queue, results / "queue.json", _Queue)
    return Reports(
        control=_control(results / "audit.json"),
        scorecard=_read(scorecard, results / "sandbox.json", Scorecard),
        queue=waiting.root if waiting else (),
        parity=_read(None, results / "parity.json", Parity) or Parity(),
    )


class _OfRuleset(_ReportPart):
    ruleset: int


def _control(path: Path) -> ControlReport | None:
    """The A/A control of an audit, if there is one and it is of the current ruleset."""
    found = _read(None, path, _OfRuleset)
    if found is None or found.ruleset != RULESET.version:
        return None
    audit = _read(None, path, Audit)
    return audit.control if audit else None


def _read(named: Path | None, usual: Path, model: type[_Printed]) -> _Printed | None:
    path = named or usual
    if named is None and not usual.exists():
        return None
    try:
        return model.model_validate(strict_json.parse(read_regular(path, MAX_REPORT_BYTES)))
    except (OSError, strict_json.NotStrict) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecordError(f"{path}: cannot be read as a report: {reason}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise RecordError(
            f"{path}: is not the report that was expected: {where + ': ' if where else ''}"
            f"{first['msg'][:200]}"
        ) from error
