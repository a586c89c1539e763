"""The results of checks: one line each as they are found, or JSON at the end."""

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
    """A result that must be fixed."""
    return CheckResult(check, "failed", detail, family)


def note(check: str, detail: str, family: str | None = None) -> CheckResult:
    """A result to know of, which needs no fix."""
    return CheckResult(check, "note", detail, family)


def fine(check: str, detail: str, family: str | None = None) -> CheckResult:
    """A check that passed."""
    return CheckResult(check, "ok", detail, family)


class CheckReport:
    """Prints the results of checks of several methods and tasks."""

    def __init__(self, *, as_json: bool) -> None:
        self.passed = True
        self._as_json = as_json
        self._checked: list[dict[str, Any]] = []

    def show(self, kind: str, name: str, findings: Iterable[CheckResult]) -> None:
        """Print the results of one method or task, each as soon as it is known."""
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
        """Print everything as JSON, if that was asked for."""
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
    """The results that a child process wrote to `log`.

    Args:
        log: a JSON line for each result, and one for each check that began.
        problem: how the child ended, if it did not end by itself: the check that had begun failed.
        family: which family the results are about.
    """
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
