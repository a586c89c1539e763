"""What an attack is, and whether one achieved what it was made for, judged from its records."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from assay.checking.canaries import Canaries
from assay.plugins.registry import TaskEntry
from assay.records.schema import RunRecord

Expected = Literal["failed", "no gain", "flagged", "open"]
"""How the registry says an attack ends: its run fails; it completes and gains nothing; it gains and
a detector flags it; it gains and nothing notices."""
AttackResult = Literal["failed", "no gain", "flagged", "open", "not judged", "elsewhere"]
"""How an attack ended: also "not judged", where it did not run, timed out or broke by itself, and
"elsewhere", shown by another test."""
NEVER_RAN = re.compile(
    r"\(method\.py, line|cannot be imported|exited with code (?!0\b)|twice while it ran"
    r"|No space left"
)
"""In the message of a run that failed by itself: it says nothing of what the attack is for."""


class Attack(BaseModel):
    """One attack of tests/attacks/registry.toml, whose first lines explain the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    slug: str
    does: str
    gains: str
    stopped_by: str
    expected: Expected
    plugin: str | None = None
    task: str = "attack_digits"
    gain: Literal[
        "loot", "score", "accepted", "limit", "process", "environment", "clock", "text", "replay",
        "always",
    ] = "loot"  # fmt: skip
    limit: str = ""
    variants: tuple[str, ...] = ("",)
    n_runs: int = 1
    concurrent: bool = False
    seconds: float | None = None
    unsandboxed: Literal["gains", "fails", ""] = ""
    shown_by: str = ""

    @property
    def runs_here(self) -> bool:
        """Whether it is a plugin that can be run; otherwise another test shows it."""
        return self.plugin != ""


class Judgement(BaseModel):
    """How one run, or one group of runs, of an attack ended."""

    ended: AttackResult
    evidence: str
    """What the records showed."""


class AttackJudge:
    """Decides from its records whether an attack achieved what it was made for."""

    def __init__(
        self,
        attack: Attack,
        canaries: Canaries,
        honest: RunRecord,
        task: TaskEntry,
        serial: str,
        seconds: float,
    ) -> None:
        """Prepare to judge one attack.

        Args:
            attack: what was run.
            canaries: what it could have found.
            honest: a run of an honest method on the same task.
            task: the task it was run on.
            serial: a text that its processes carry in their command line.
            seconds: wall time that its runs took, measured here.
        """
        self.attack, self.canaries, self.honest, self.task = attack, canaries, honest, task
        self.serial, self.seconds = serial, seconds

    def judge(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        """Whether the attack gained something, and the evidence; None if it cannot be told."""
        judges = {
            "loot": self._loot,
            "score": self._score,
            "accepted": self._accepted,
            "limit": self._limit,
            "process": self._process,
            "environment": self._environment,
            "clock": self._clock,
            "text": self._text,
            "replay": self._replay,
            "always": self._always,
        }
        stolen = self._stolen(records)
        if stolen:
            return True, stolen
        if self.honest.status != "completed":
            return None, f"an honest method cannot run here: {self.honest.message}"
        return judges[self.attack.gain](records)

    def _stolen(self, records: Sequence[RunRecord]) -> str:
        """Evidence that a canary was reached, whatever the attack was for; empty if none was."""
        for record in records:
            if any(token in record.message for token in self.canaries.tokens):
                return record.message
        changed = [
            path.name
            for path in self.canaries.results.iterdir()
            if path.name not in (".git", "secret")
        ]
        for name in changed:
            (self.canaries.results / name).unlink()
        return f"files among the records: {changed}" if changed else ""

    def _loot(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        for record in records:
            if "REACHED" in record.message:
                return True, _after(record.message, "REACHED")
        message = records[-1].message
        if "DENIED" not in message:
            return None, f"neither reached nor denied: {message or records[-1].status}"
        return False, _after(message, "DENIED")

    def _score(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        record, metric = records[0], self.task.card.metric
        if record.result is None or self.honest.result is None:
            return self._never_ran(record) or (False, record.message)
        ahead = record.result.test - self.honest.result.test
        gained = (ahead if metric.direction == "maximize" else -ahead) > metric.margin
        return gained, f"test {record.result.test:.3f}, honest {self.honest.result.test:.3f}"

    def _accepted(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        record = records[0]
        if record.status == "completed":
            return True, "the forged file was scored"
        return self._never_ran(record) or (False, record.message)

    def _limit(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        record = records[0]
        if self.attack.limit in record.message:
            return False, record.message
        if record.status == "completed":
            return True, "it was not stopped"
        return None, f"it ended before it was stopped: {record.message or record.status}"

    def _process(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.serial.encode() in path.read_bytes():
                    return True, "its process is still there"
        message = records[0].message
        if "DENIED" not in message:
            return None, f"it started no process: {message or records[0].status}"
        return False, "its process ended with the run"

    def _environment(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        seen, true = records[0].environment, self.honest.environment
        if seen != true:
            return True, f"recorded as {seen.cpu}, {seen.platform}"
        if records[0].status != "completed":
            return None, f"it did not run: {records[0].message}"
        return False, f"recorded as {seen.cpu}, {seen.platform}"

    def _clock(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        if records[0].status != "completed":
            return None, f"it did not run: {records[0].message}"
        usage, honest = records[0].usage, self.honest.usage
        gained = usage.wall_seconds < 0.1 * self.seconds or usage.cpu_seconds <= 0
        return gained, (
            f"{usage.cpu_seconds:.2f} s of CPU in {usage.wall_seconds:.2f} s measured outside "
            f"(honest: {honest.cpu_seconds:.2f}), {usage.train_seconds:.2f} s claimed"
        )

    def _text(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        message = records[0].message
        bad = sorted({f"U+{ord(c):04X}" for c in message if unicodedata.category(c)[0] == "C"})
        if bad:
            return True, f"the message has {', '.join(bad)}"
        if "HYPERLINK" not in message and "malformed" not in message:
            return None, f"its text is not in the record: {message or records[0].status}"
        return False, f"{len(message)} characters, none of which controls anything"

    def _replay(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        hashes = {record.weights_sha256 for record in records}
        if None in hashes:
            return None, records[0].message
        if len(hashes) == 1:
            return None, "both runs are alike: it did not do what it is for"
        return True, "the same run has other weights each time"

    def _always(self, records: Sequence[RunRecord]) -> tuple[bool | None, str]:
        record = records[0]
        return (True, "completed") if record.result else (None, record.message)

    def _never_ran(self, record: RunRecord) -> tuple[None, str] | None:
        """The verdict on an attack that failed by itself; None if it did not."""
        broke = NEVER_RAN.search(record.message)
        return (None, f"the attack itself broke: {record.message}") if broke else None


def _after(message: str, word: str) -> str:
    """What follows `word` in an attack's message, without the line number at its end."""
    return re.sub(
        r" \(method\.py, line \d+(, in [\w.]+)?\)$", "", message.partition(word)[2]
    ).strip()
