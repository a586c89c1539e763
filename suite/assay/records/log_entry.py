"""One line of the results log: what happened to a bundle or to an epoch."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.cards import Slug
from assay.identity import canonical_json, sha256
from assay.records.schema import Hash, Id
from assay.untrusted import text

NOTHING = "0" * 64
"""`previous` of the first entry."""
Kind = Literal[
    "publish", "replay", "supersede", "correct", "retract", "archive", "reveal", "refuse",
    "commit-seeds", "reveal-seeds",
]  # fmt: skip
"""publish, supersede, correct: a new bundle. replay: its runs were done again and confirmed.
reveal: the hidden seeds of its runs are public and were committed to before it. retract: it counts
no more. archive: it counted no more already, and its file left the folder. refuse: the gate did not
pass it, so it is not published. commit-seeds, reveal-seeds: an epoch began or ended, and `file` is
the epoch's."""
KINDS: tuple[Kind, ...] = (
    "publish", "replay", "supersede", "correct", "retract", "archive", "reveal", "refuse",
    "commit-seeds", "reveal-seeds",
)  # fmt: skip
REPLACING = ("supersede", "correct")
NEW = ("publish", *REPLACING)
"""Kinds that add a bundle."""
OF_EPOCHS = ("commit-seeds", "reveal-seeds")
"""Kinds whose file is an epoch's, in the folder `epochs`."""
TrustTier = Literal["T0", "T1", "T2", "T3"]
"""T0 self-reported, T1 valid bundle, T2 replayed, T3 replayed and made with hidden seeds that were
committed to before and are revealed."""
EARNED: dict[Kind, TrustTier] = {
    "publish": "T1",
    "supersede": "T1",
    "correct": "T1",
    "replay": "T2",
    "reveal": "T3",
}
"""The tier that an entry gives its bundle. No entry can give another one."""
ReplayVerdict = Literal["identical", "within tolerance", "chaotic", "differs", "cannot"]
MAX_REPLAYS = 200
MAX_SCORE = 1e100
Score = Annotated[float, Field(ge=-MAX_SCORE, le=MAX_SCORE)]
_BUNDLE = re.compile(r"[a-z0-9_]+--[a-z0-9_]+-v\d+--[0-9a-f]{16}\.zip")
_EPOCH = {"commit-seeds": "{}.json", "reveal-seeds": "{}.revealed.json"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ReplayedRun(_Part):
    """One run that was done again."""

    run: Id
    recorded: Score | None
    """Test score in the bundle; None: the run did not complete."""
    replayed: Score | None
    """Test score of the repetition; None: it did not complete, or could not be made."""
    verdict: ReplayVerdict


class MeanDifference(_Part):
    """The mean of recorded minus replayed scores over the runs replayed on other machines.

    Positive: the records claim better results than the replays gave, in the metric's direction.
    """

    n: Annotated[int, Field(ge=1, le=MAX_REPLAYS)]
    mean: Score
    allowed: Annotated[float, Field(ge=0, le=MAX_SCORE)]
    """Its size beyond which the replay counts as failed."""

    @property
    def exceeded(self) -> bool:
        """Whether the records are further from the replays than machines explain."""
        return abs(self.mean) > self.allowed


def _absent(value: object) -> bool:
    return value is None or value == ()


class Entry(_Part):
    """One line of the log. Fields that are absent are not written, as in the first entries."""

    n: Annotated[int, Field(ge=1)]
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    """UTC, ISO 8601."""
    kind: Kind
    file: Annotated[str, Field(max_length=200)]
    """The name of the bundle or, for commit-seeds and reveal-seeds, of the epoch's file."""
    sha256: Hash
    """SHA-256 of that file."""
    replaces: Hash | None = None
    """SHA-256 of the bundle that this one replaces; for supersede and correct."""
    tier: TrustTier | None = None
    """Tier of the bundle's results from now on, which follows from the kind; None: unchanged."""
    note: Annotated[str, Field(max_length=1000)] = ""
    """The reason; required where a published value changes, and of refuse."""
    epoch: Slug | None = Field(default=None, exclude_if=_absent)
    """Whose hidden seeds the bundle's runs have, or which epoch begins or ends; None: the public
    seeds."""
    owner: Annotated[str, Field(max_length=200)] | None = Field(default=None, exclude_if=_absent)
    """The account that the pull request came from; the first one of a slug owns it."""
    replays: Annotated[tuple[ReplayedRun, ...], Field(max_length=MAX_REPLAYS)] = Field(
        default=(), exclude_if=_absent
    )
    """The runs that were done again; for replay and refuse."""
    mean_difference: MeanDifference | None = Field(default=None, exclude_if=_absent)
    """Over those of `replays` that were done on another kind of machine; None if there are none."""
    previous: Hash
    """Hash of the entry before."""
    hash: Hash
    """SHA-256 of this entry's canonical JSON without this field."""

    @model_validator(mode="after")
    def _sound(self) -> Entry:
        for words in (self.note, self.owner or ""):
            if words and (text.unsafe(words) or text.active(words)):
                raise ValueError("holds control characters, markup or a link that runs")
        if self.kind in OF_EPOCHS:
            if self.epoch is None or self.file != _EPOCH[self.kind].format(self.epoch):
                raise ValueError("the file is not the one of its epoch")
        elif not _BUNDLE.fullmatch(self.file):
            raise ValueError("the file is not called as a bundle is")
        elif self.sha256[:16] != self.file.removesuffix(".zip")[-16:]:
            raise ValueError("the file is not named by its hash")
        if self.replays and self.kind not in ("replay", "refuse"):
            raise ValueError("only replay and refuse tell of replays")
        return self

    @property
    def cell(self) -> tuple[str, str] | None:
        """Task and method of the bundle; None for an entry about an epoch."""
        return None if self.kind in OF_EPOCHS else cell_of(self.file)

    @property
    def line(self) -> bytes:
        """The entry as it stands in the log: canonical JSON and a newline."""
        return "".join(self._parts()).encode()

    @property
    def true_hash(self) -> str:
        """What `hash` must be."""
        before, _, after = self._parts()
        return sha256(before + after.removesuffix("\n"))

    def _parts(self) -> tuple[str, str, str]:
        """Three parts of `line`; the second is the hash. Plain entries are written without a
        dump: a log of some thousand lines is read often.
        """
        own = f'"hash":"{self.hash}",'
        if self.epoch or self.owner or self.replays or self.mean_difference:
            before, after = canonical_json(self.model_dump(mode="json")).split(own)
            return before, own, after + "\n"
        replaces = "null" if self.replaces is None else f'"{self.replaces}"'
        tier = "null" if self.tier is None else f'"{self.tier}"'
        return (
            f'{{"at":"{self.at}","file":"{self.file}",',
            own,
            f'"kind":"{self.kind}","n":{self.n},"note":{canonical_json(self.note)},'
            f'"previous":"{self.previous}","replaces":{replaces},"sha256":"{self.sha256}",'
            f'"tier":{tier}}}\n',
        )


def cell_of(file: str) -> tuple[str, str]:
    """Task and method of a bundle, from its name."""
    task, method, _ = file.split("--")
    return task, method.rsplit("-v", 1)[0]
