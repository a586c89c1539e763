"""A season with hidden seeds: commitment, bundles, replay, revelation, the tier T3."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.commands import epoch as epoch_commands
from assay.epochs import new_epoch, reveal
from assay.errors import BundleError, EpochError, LogError
from assay.publication import publish
from assay.publication.pack import pack_method
from assay.publication.report import ReplayReport
from assay.records import log
from assay.records.bundle import Bundle, read_bundle

TASK = "digits_step"


class Season:
    """A published folder, its secret, and a method's bundles with public and hidden seeds."""

    def __init__(self, root: Path, submission: Any) -> None:
        self.folder, self.secret = root / "published", root / "secret"
        self.epochs, self.out = self.folder / "epochs", root / "out"
        self.submission = submission

    def begin(self, name: str = "spring") -> None:
        new_epoch(name, self.secret, self.epochs)
        publish.add_epoch(self.folder, "commit-seeds", name)

    def end(self, name: str = "spring") -> None:
        reveal(name, self.secret, self.epochs)
        publish.add_epoch(self.folder, "reveal-seeds", name)

    def bundles(self) -> tuple[Path, Path]:
        """One with the public seeds and one with those of spring."""
        cell = self.submission.cell(TASK)
        for epoch in (None, "spring"):
            for spec in cell.specs.values():
                hidden = spec.model_copy(update={"epoch": epoch})
                self.submission.write(cell, hidden)
        written = pack_method(self.submission.method, self.submission.store, self.out).written
        public, hidden_one = sorted(written, key=lambda path: read_bundle(path).epoch or "")
        return public, hidden_one

    def replayed(self, path: Path) -> None:
        publish.add(self.folder, "replay", path, report=report_of(read_bundle(path)))

    def tiers(self) -> dict[str | None, str]:
        found = log.standings(log.read(self.folder)).values()
        return {standing.epoch: standing.tier for standing in found}


def report_of(bundle: Bundle) -> ReplayReport:
    """What a replay says that found ten runs bit for bit the same."""
    runs = [
        {"run_id": run.id, "verdict": "identical",
         "recorded_test": run.result.test if run.result else None, "replayed_test": None}
        for run in bundle.runs[:10]
    ]  # fmt: skip
    facts = {"bundle": bundle.sha256, "tier": "T2", "why": "", "contradicted": False}
    return ReplayReport.model_validate({**facts, "mean_difference": None, "runs": runs})


@pytest.fixture
def season(tmp_path: Path, submission: Any, monkeypatch: pytest.MonkeyPatch) -> Season:
    made = Season(tmp_path, submission)
    monkeypatch.setenv("ASSAY_EPOCHS", str(made.epochs))
    return made


def test_a_season_from_the_commitment_to_t3(season: Season) -> None:
    season.begin()
    public, hidden = season.bundles()
    for path in (public, hidden):
        publish.add(season.folder, "publish", path)
        season.replayed(path)
    assert season.tiers() == {None: "T2", "spring": "T2"}
    (epoch,) = log.epochs(log.read(season.folder))
    assert (epoch.name, epoch.revealed) == ("spring", None)
    with pytest.raises(LogError, match="not revealed in the log yet"):
        publish.add(season.folder, "reveal", hidden)
    season.end()
    with pytest.raises(LogError, match="has the public seeds"):
        publish.add(season.folder, "reveal", public)
    publish.add(season.folder, "reveal", hidden)
    assert season.tiers() == {None: "T2", "spring": "T3"}
    season.replayed(hidden)  # once more takes nothing away
    assert season.tiers() == {None: "T2", "spring": "T3"}
    assert log.attempts(log.read(season.folder)) == {(TASK, "my_opt"): 1}
    assert log.check(season.folder) == []


def test_t3_is_not_had_otherwise(season: Season) -> None:
    new_epoch("spring", season.secret, season.epochs)
    _, hidden = season.bundles()
    with pytest.raises(LogError, match="no commitment of the epoch spring before it"):
        publish.add(season.folder, "publish", hidden)
    publish.add_epoch(season.folder, "commit-seeds", "spring")
    publish.add(season.folder, "publish", hidden)
    with pytest.raises(LogError, match="already"):
        publish.add_epoch(season.folder, "commit-seeds", "spring")
    with pytest.raises(EpochError, match="no revelation"):
        publish.add_epoch(season.folder, "reveal-seeds", "spring")
    season.end()
    with pytest.raises(LogError, match="is not replayed yet"):
        publish.add(season.folder, "reveal", hidden)
    with pytest.raises(BundleError, match="no report of a replay was given"):
        publish.add(season.folder, "replay", hidden)
    season.replayed(hidden)
    publish.add(season.folder, "reveal", hidden)
    assert season.tiers() == {"spring": "T3"}


def test_a_revelation_that_was_interrupted_goes_on_with_the_bundles(season: Season) -> None:
    season.begin()
    _, hidden = season.bundles()
    publish.add(season.folder, "publish", hidden)
    season.replayed(hidden)
    season.end()
    assert season.tiers() == {"spring": "T2"}
    epoch_commands.reveal("spring", season.secret)
    assert season.tiers() == {"spring": "T3"}
    with pytest.raises(EpochError, match="revealed already"):
        epoch_commands.reveal("spring", season.secret)


def test_what_is_published_after_the_revelation_is_too_late(season: Season) -> None:
    season.begin()
    _, hidden = season.bundles()
    season.end()
    with pytest.raises(LogError, match="are public since entry 2"):
        publish.add(season.folder, "publish", hidden)
    assert not (season.folder / hidden.name).exists()


LINES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "does not give the tier T3": lambda line: {**line, "tier": "T3"},
    "does not give the tier None": lambda line: {**line, "kind": "reveal", "tier": None},
    "is in the log already": lambda line: line,
    "not replayed yet|has the public seeds": lambda line: {**line, "kind": "reveal", "tier": "T3"},
}


@pytest.mark.parametrize("says", LINES)
def test_no_line_gives_a_tier_by_itself(season: Season, says: str) -> None:
    """A forger with patience: every hash is right."""
    season.begin()
    public, _ = season.bundles()
    publish.add(season.folder, "publish", public)
    path = season.folder / log.LOG
    last = log.read(season.folder)[-1]
    forged = {**json.loads(last.line), "n": last.n + 1, "previous": last.hash}
    entry = log.Entry.model_validate({**LINES[says](forged), "hash": log.NOTHING})
    entry = entry.model_copy(update={"hash": entry.true_hash})
    path.write_bytes(path.read_bytes() + entry.line)
    with pytest.raises(LogError, match=says):
        log.read(season.folder)


def test_a_replay_without_runs_gives_no_tier(season: Season) -> None:
    """As in the log of ruleset 1; nobody can add one any more."""
    season.begin()
    public, _ = season.bundles()
    entry = publish.add(season.folder, "publish", public)
    with pytest.raises(LogError, match="tells of no replayed run"):
        log.append(season.folder, "replay", public)
    former = entry.model_copy(update={"kind": "replay", "tier": "T2"})
    assert [s.tier for s in log.standings([entry, former]).values()] == ["T1"]
