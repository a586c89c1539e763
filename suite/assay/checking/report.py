"""What a check found: one line each, shown as it is found, or as JSON at the end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from assay.messages import FINDING, CheckBegun, CheckFinding, CheckStatus


@dataclass(frozen=True)
class CheckResult:
    """One line of a report."""

    check: str
    status: CheckStatus
    detail: str
    family: str | None = None


def failed(check: str, detail: str, family: str | None = None) -> CheckResult:
    """Something that must be changed."""
    return CheckResult(check, "failed", detail, family)


def note(check: str, detail: str, family: str | None = None) -> CheckResult:
    """Something to know."""
    return CheckResult(check, "note", detail, family)


def fine(check: str, detail: str, family: str | None = None) -> CheckResult:
    """A check that passed."""
    return CheckResult(check, "ok", detail, family)


class CheckReport:
    """Findings about several methods and tasks."""

    def __init__(self, *, as_json: bool) -> None:
        self.passed = True
        self._as_json = as_json
        self._checked: list[dict[str, Any]] = []

    def show(self, kind: str, name: str, findings: Iterable[CheckResult]) -> None:
        """Show what is found about one method or task, line by line as it comes."""
        self._say(f"{kind} {name}".strip())
        kept = []
        for finding in findings:
            kept.append(finding)
            self._say(_line(finding))
        n_failed = sum(finding.status == "failed" for finding in kept)
        self._say(f"  {n_failed} of {len(kept)} findings failed" if n_failed else "  passed")
        self.passed &= not n_failed
        self._checked.append(
            {
                "kind": kind or None,
                "name": name,
                "passed": not n_failed,
                "findings": [asdict(finding) for finding in kept],
            }
        )

    def close(self) -> None:
        """Print the JSON, if that was asked for."""
        if self._as_json:
            typer.echo(json.dumps({"passed": self.passed, "checked": self._checked}, indent=1))

    def _say(self, text: str) -> None:
        if not self._as_json:
            typer.echo(text)


def _line(finding: CheckResult) -> str:
    word = "FAILED" if finding.status == "failed" else finding.status
    where = f"{word:7} {finding.check:18} {finding.family or '':15} "
    return "  " + where + finding.detail.replace("\n", "\n" + " " * (2 + len(where)))


def read_findings(log: Path, problem: str | None, family: str | None) -> Iterator[CheckResult]:
    """What a child found; `problem` says how it ended where that was not by itself."""
    begun = "runs"
    for line in _lines(log):
        if isinstance(line, CheckBegun):
            begun = line.begun
        else:
            yield CheckResult(line.check, line.status, line.detail, family)
    if problem is not None:
        yield failed(begun, problem, family)


def _lines(log: Path) -> Iterator[CheckBegun | CheckFinding]:
    """The lines of a log that are well formed; the last may have been cut."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.split("\n"):
        with contextlib.suppress(ValidationError):
            yield FINDING.validate_json(line)
