"""The results of checks: grouped where they are alike, and printed as lines or as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import typer

from assay.messages.form import CheckStatus, Malformed, parse_claim
from assay.messages.worker import CheckBegun, CheckFinding
from assay.untrusted.files import open_regular, read_regular
from assay.untrusted.text import plain_lines, plain_text

MAX_FINDINGS, MAX_FINDINGS_BYTES = 200, 1_000_000
MAX_DETAIL = 2_000
"""Characters of a result that are shown."""
MAX_PRINTED_LINES, MAX_PRINTED_BYTES = 20, 2_000
ASIDES = {"cost": ("passes",)}
"""Names that a check gives to some of its findings, beside its own."""
MAX_NAMED = 3
"""Places that are named; more are counted."""
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_NUMBERS = re.compile(r"[\d.,()\[\] -]++")
"""Numbers and shapes together, if a digit is among them: (16, 10) and (16,) count as alike."""
_ESCAPE_CODE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


@dataclass(frozen=True)
class CheckResult:
    """One line of a report."""

    check: str
    status: CheckStatus
    detail: str
    where: str | None = None
    """The family or the task; None for the method or the task as a whole."""
    also_in: tuple[str, ...] = ()
    """Other families and tasks with the same result."""
    claimed: bool = False
    """Whether the process that holds the method reported it, which could report anything."""


def failed(check: str, detail: str, where: str | None = None) -> CheckResult:
    """A result that must be fixed."""
    return CheckResult(check, "failed", detail, where)


def note(check: str, detail: str, where: str | None = None) -> CheckResult:
    """A result to know of, which needs no fix."""
    return CheckResult(check, "note", detail, where)


def fine(check: str, detail: str, where: str | None = None) -> CheckResult:
    """A check that passed."""
    return CheckResult(check, "ok", detail, where)


def told_once(results: Iterable[CheckResult]) -> Iterator[CheckResult]:
    """Results with those merged that are the same in several families and tasks.

    Results are the same if they differ in numbers alone. Of failures and notes the first is kept
    as it is; results that are ok are merged into one with the range of each number.
    """
    said: set[CheckResult] = set()
    for placed, group in groupby(results, key=lambda result: result.where is not None):
        if not placed:  # at once, as each is known
            for result in group:
                if result not in said:
                    said.add(result)
                    yield result
            continue
        alike: dict[tuple[str, ...], list[CheckResult]] = {}
        for result in group:
            if result.status == "failed":
                key: tuple[str, ...] = ("failed", _without_numbers(result.detail))
            else:
                key = (result.status, result.check, _NUMBER.sub("#", result.detail))
            alike.setdefault(key, []).append(result)
        for same in alike.values():
            places = list(dict.fromkeys(result.where or "" for result in same))
            first = replace(same[0], also_in=tuple(places[1:]))
            details = [result.detail for result in same]
            yield replace(first, detail=_ranges(details)) if first.status == "ok" else first


def _without_numbers(text: str) -> str:
    return _NUMBERS.sub(lambda found: "#" if any(map(str.isdigit, found[0])) else found[0], text)


def _ranges(details: list[str]) -> str:
    """The first text, with "LOW to HIGH" for each number that differs among the texts."""
    columns = zip(*(_NUMBER.findall(detail) for detail in details), strict=True)

    def spread(numbers: tuple[str, ...]) -> str:
        low, high = min(numbers, key=float), max(numbers, key=float)
        return low if low == high else f"{low} to {high}"

    shown = iter([spread(column) for column in columns])
    return _NUMBER.sub(lambda _: next(shown), details[0])


class CheckReport:
    """Prints the results of checks of several methods and tasks."""

    def __init__(self, *, as_json: bool) -> None:
        self.passed = True
        self._as_json = as_json
        self._checked: list[dict[str, Any]] = []

    def show(self, kind: str, name: str, results: Iterable[CheckResult]) -> None:
        """Print the results of one method or task, each as soon as it is known."""
        self._say(plain_text(f"{kind} {name}".strip()))
        kept = []
        for result in told_once(results):
            kept.append(result)
            self._say(_line(result))
        n_failed = sum(result.status == "failed" for result in kept)
        self._say(f"  {n_failed} of {len(kept)} findings failed" if n_failed else "  passed")
        self.passed &= not n_failed
        self._checked.append(
            {
                "kind": kind or None,
                "name": name,
                "passed": not n_failed,
                "findings": [asdict(result) for result in kept],
            }
        )

    def close(self) -> None:
        """Print everything as JSON, if that was asked for."""
        if self._as_json:
            typer.echo(json.dumps({"passed": self.passed, "checked": self._checked}, indent=1))

    def _say(self, text: str) -> None:
        if not self._as_json:
            typer.echo(text)


def _line(result: CheckResult) -> str:
    word = "FAILED" if result.status == "failed" else result.status
    place, others = result.where or "", result.also_in
    detail = plain_lines(result.detail)
    if len(detail) > MAX_DETAIL:
        detail = f"{detail[:MAX_DETAIL]} ..."
    if others and result.status == "ok":
        place = f"{1 + len(others)} families"
    elif others:
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        detail += f"\n(also in {', '.join(others[:MAX_NAMED])}{more})"
    start = f"  {word:7} {result.check:18} {place:15} "
    return start + detail.replace("\n", "\n" + " " * len(start))


def read_findings(
    log: Path,
    problem: str | None,
    where: str | None,
    checks: Sequence[str],
    *,
    all_of_them: bool = True,
) -> list[CheckResult]:
    """The results that a child process wrote to `log`, and how it ended.

    The child holds the plugin, which could have written them: they are claims. One that is out of
    order or malformed makes all of them worthless, and a check that has neither begun nor been
    prevented by a failure is missing; both are failures.

    Args:
        log: a JSON line for each result, and one for each check that began.
        problem: how the child ended, if it did not end by itself: the check that had begun failed.
        where: the family or the task that the results are about.
        checks: those that it should do, in order.
        all_of_them: whether it must do all of them, unless one fails.
    """
    try:
        data = read_regular(log, MAX_FINDINGS_BYTES)
    except FileNotFoundError:
        data = b""
    except OSError as error:
        return [failed(checks[0], f"its findings cannot be read: {error.strerror}", where)]
    *lines, cut = data.split(b"\n")
    if cut and problem is None:
        lines.append(cut)
    try:
        results, begun = _in_order(lines, where, checks)
    except Malformed as error:
        ending = f"; it {problem}" if problem is not None else ""
        return [failed(checks[0], f"its process left malformed findings: {error}{ending}", where)]
    if problem is not None:
        return [*results, failed(begun[-1] if begun else checks[0], problem, where)]
    missing = [name for name in checks if name not in begun]
    if all_of_them and missing and all(r.status != "failed" for r in results):
        told = f"its process ended without this check: {', '.join(missing)}"
        results.append(failed(missing[0], told, where))
    return results


def _in_order(
    lines: Sequence[bytes], where: str | None, checks: Sequence[str]
) -> tuple[list[CheckResult], list[str]]:
    """The results, and the checks that began.

    Raises:
        Malformed: a line is no finding, or belongs to a check that has not begun.
    """
    if len(lines) > MAX_FINDINGS:
        raise Malformed(f"{len(lines)} lines, expected at most {MAX_FINDINGS}")
    results: list[CheckResult] = []
    begun: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith(b'{"begun"'):
            name = parse_claim(line, CheckBegun).begun
            later = checks[checks.index(begun[-1]) + 1 :] if begun else checks
            if name not in later:
                raise Malformed(f"line {number}: no check {name!r:.60} is to begin there")
            begun.append(name)
        else:
            found = parse_claim(line, CheckFinding)
            if not begun or found.check not in (begun[-1], *ASIDES.get(begun[-1], ())):
                raise Malformed(f"line {number}: no check {found.check!r:.60} has begun")
            claim = CheckResult(found.check, found.status, found.detail, where, claimed=True)
            results.append(claim)
    return results, begun


def printed(log: Path) -> str:
    """The first lines that a plugin printed, each once, without escape codes; "" if none."""
    try:
        with open_regular(log) as file:
            data = file.read(MAX_PRINTED_BYTES + 1)
    except OSError:
        return ""
    text = _ESCAPE_CODE.sub("", data[:MAX_PRINTED_BYTES].decode(errors="replace"))
    lines = [plain_text(line).rstrip() for line in text.splitlines()]
    lines = [line for line in dict.fromkeys(lines) if line]
    cut = len(data) > MAX_PRINTED_BYTES or len(lines) > MAX_PRINTED_LINES
    return "\n".join(lines[:MAX_PRINTED_LINES] + ["..."] * cut)
