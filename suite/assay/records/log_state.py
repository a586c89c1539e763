"""What the results log says of bundles and epochs, entry by entry, and which entry may follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from assay.records.log_entry import (
    EARNED,
    NEW,
    OF_EPOCHS,
    REPLACING,
    Entry,
    MeanDifference,
    ReplayedRun,
    TrustTier,
    cell_of,
)

State = Literal["current", "superseded", "corrected", "retracted", "archived"]


@dataclass(frozen=True)
class Standing:
    """The present state of one bundle, according to the log."""

    file: str
    sha256: str
    tier: TrustTier
    since: str
    """When it got this state: UTC, ISO 8601."""
    state: State = "current"
    reason: str = ""
    epoch: str | None = None
    """Whose hidden seeds its runs have; None: the public seeds."""
    published: int = 0
    """Number of the entry that published it."""
    replays: Sequence[ReplayedRun] = ()
    """The runs that were done again, by its last replay."""
    mean_difference: MeanDifference | None = None
    """Of those on other machines."""


@dataclass(frozen=True)
class LoggedEpoch:
    """An epoch that the log knows."""

    name: str
    committed: Entry
    """The entry that holds its commitment."""
    revealed: Entry | None = None
    """The entry that made its seeds public; None: they are still hidden."""


@dataclass(frozen=True)
class LogState:
    """The state after the entries so far."""

    standings: dict[str, Standing] = field(default_factory=dict)
    """By the SHA-256 of the bundle."""
    of_cell: dict[tuple[str, str, str | None], list[str]] = field(default_factory=dict)
    """Those hashes by task, method and epoch, so that reading a log takes linear time."""
    epochs: dict[str, LoggedEpoch] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """SHA-256 of refused bundles."""

    def advance(self, entry: Entry) -> None:
        if entry.kind in OF_EPOCHS:
            self._epoch(entry)
        elif entry.kind == "refuse":
            self.refused.add(entry.sha256)
        else:
            self._bundle(entry)

    def _epoch(self, entry: Entry) -> None:
        name = str(entry.epoch)
        if entry.kind == "commit-seeds":
            self.epochs[name] = LoggedEpoch(name, entry)
        else:
            self.epochs[name] = replace(self.epochs[name], revealed=entry)

    def _bundle(self, entry: Entry) -> None:
        before = self.standings.get(entry.sha256)
        if before is None:
            own = Standing(entry.file, entry.sha256, "T1", entry.at, epoch=entry.epoch,
                           published=entry.n)  # fmt: skip
            key = (*cell_of(entry.file), entry.epoch)
            self.of_cell.setdefault(key, []).append(entry.sha256)
        else:
            own = replace(before, since=entry.at)
        if entry.kind == "replay" and entry.replays:
            # A replay that names no runs, as in the log of ruleset 1, confirms nothing.
            tier: TrustTier = "T3" if own.tier == "T3" else "T2"
            own = replace(own, tier=tier, replays=entry.replays,
                          mean_difference=entry.mean_difference)  # fmt: skip
        elif entry.kind == "reveal":
            own = replace(own, tier="T3")
        elif entry.kind == "retract":
            own = replace(own, state="retracted", reason=entry.note)
        elif entry.kind == "archive":
            own = replace(own, state="archived", reason=entry.note)
        if entry.replaces is not None:
            state: State = "corrected" if entry.kind == "correct" else "superseded"
            old = self.standings[entry.replaces]
            self.standings[entry.replaces] = replace(
                old, since=entry.at, state=state, reason=entry.note
            )
        self.standings[entry.sha256] = own

    def rival(self, entry: Entry) -> Standing | None:
        """The current bundle of the same task, method and seeds."""
        key = (*cell_of(entry.file), entry.epoch)
        same = (self.standings[digest] for digest in self.of_cell.get(key, ()))
        return next((standing for standing in same if standing.state == "current"), None)


def misfit(entry: Entry, known: LogState) -> str | None:
    """Why the entry is not allowed in the state `known`; None if it is."""
    if entry.tier != EARNED.get(entry.kind):
        return f"kind {entry.kind} does not give the tier {entry.tier}"
    if (entry.replaces is not None) != (entry.kind in REPLACING):
        return f"kind {entry.kind} goes {'without' if entry.replaces else 'with'} `replaces`"
    if entry.kind in (*REPLACING, "retract", "archive", "refuse") and not entry.note.strip():
        return "a reason is missing; say why in the note"
    if entry.kind in OF_EPOCHS:
        return _epoch_misfit(entry, known)
    own = known.standings.get(entry.sha256)
    if entry.kind == "refuse":
        return "is published; only what is not can be refused" if own else None
    if entry.kind in NEW:
        return _new_misfit(entry, known)
    if entry.kind == "archive" and own is not None and own.state != "archived":
        return "is current; retract or supersede it first" if own.state == "current" else None
    if own is None or own.state != "current":
        return f"is {own.state if own else 'not published'}; only a current bundle can be named"
    if entry.epoch != own.epoch:
        return f"was published with {_seeds(own.epoch)}, not {_seeds(entry.epoch)}"
    if entry.kind == "replay":
        return _replay_misfit(entry)
    return _reveal_misfit(own, known) if entry.kind == "reveal" else None


def _seeds(epoch: str | None) -> str:
    return f"the hidden seeds of {epoch}" if epoch else "the public seeds"


def _epoch_misfit(entry: Entry, known: LogState) -> str | None:
    epoch = known.epochs.get(str(entry.epoch))
    if entry.kind == "commit-seeds":
        return "the log holds a commitment of this epoch already" if epoch else None
    if epoch is None:
        return "the log holds no commitment of this epoch"
    return "the epoch is revealed already" if epoch.revealed else None


def _new_misfit(entry: Entry, known: LogState) -> str | None:
    if entry.sha256 in known.standings:
        return "is in the log already; a change needs a new bundle"
    if entry.sha256 in known.refused:
        return "was refused before; a change needs a new bundle"
    if entry.epoch is not None:
        epoch = known.epochs.get(entry.epoch)
        if epoch is None:
            return f"the log holds no commitment of the epoch {entry.epoch} before it"
        if epoch.revealed is not None:
            return f"the seeds of {entry.epoch} are public since entry {epoch.revealed.n}"
    if entry.replaces is not None:
        old = known.standings.get(entry.replaces)
        if old is None or old.state != "current":
            return "what it replaces is not a current bundle of the log"
        if (cell_of(old.file)[0], old.epoch) != (cell_of(entry.file)[0], entry.epoch):
            return f"replaces {old.file}, which is of another task or of other seeds"
    if (rival := known.rival(entry)) and rival.sha256 != entry.replaces:
        return f"{rival.file} is current for the same task and method; supersede or correct it"
    return None


def _replay_misfit(entry: Entry) -> str | None:
    """Only a replay that confirmed all its runs is logged as one."""
    if bad := [run for run in entry.replays if run.verdict in ("differs", "cannot")]:
        return f"run {bad[0].run} was not confirmed ({bad[0].verdict})"
    if entry.mean_difference is not None and entry.mean_difference.exceeded:
        return "the records differ from their replays by more than machines do, on average"
    return None


def _reveal_misfit(own: Standing, known: LogState) -> str | None:
    """T3: replayed, and made with seeds that were committed to before and are public now."""
    if own.epoch is None:
        return "has the public seeds; T3 is for runs with hidden ones"
    epoch = known.epochs[own.epoch]
    if epoch.revealed is None:
        return f"the epoch {own.epoch} is not revealed in the log yet; do: assay epoch reveal"
    if own.tier != "T2":
        return "is not replayed yet; T3 needs a confirmed replay"
    return None
