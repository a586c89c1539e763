"""Replays of bundles: which runs are drawn, with whose source, and on pools that several share."""

from __future__ import annotations

import math
import random
import re
import secrets
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.cards import SubmissionCard, read_card
from assay.engine.pool import Pool
from assay.errors import PluginError
from assay.plugins.registry import MethodEntry, find_task
from assay.publication import replay as replaying
from assay.records.bundle import Bundle
from assay.records.schema import RunRecord
from assay.records.selection import results

DECIDING = 0.8
"""Share of a sample that is drawn from the selected runs, which decide the score."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Sample:
    """The runs of a bundle that are to be replayed, in their order, and the seed of their draw."""

    bundle: Bundle
    seed: int
    n: int
    """How many are to be compared; more may be replayed, see `replay_sample`."""
    records: Sequence[RunRecord]
    """At most twice as many."""


class KeptPools(ExitStack):
    """Makes pools and closes them at its own end, so that several bundles need one start."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[object, Pool] = {}

    def __call__(self, **wanted: Any) -> AbstractContextManager[Pool]:
        """A pool with the arguments `wanted`, which is left open."""
        key = tuple(sorted(wanted.items()))
        if key not in self._kept:
            self._kept[key] = self.enter_context(Pool(**wanted))
        return nullcontext(self._kept[key])


def draw(bundle: Bundle, n: int, seed: int | None = None) -> Sample:
    """Choose `n` random runs of a bundle.

    Args:
        bundle: of any method.
        n: how many; all if it has fewer.
        seed: of the draw; by default a random one.

    Raises:
        AssayError: there is no such task here.
    """
    seed = secrets.randbits(64) if seed is None else seed
    first = sample(bundle.runs, n, seed, deciding(bundle.runs))
    ids = {record.id for record in first}
    others = sample([record for record in bundle.runs if record.id not in ids], n, seed)
    return Sample(bundle, seed, len(first), [*first, *others])


def replay_sample(chosen: Sample, **options: Any) -> Iterator[replaying.Replay]:
    """Do the chosen runs again with the bundle's own source, and one more for each chaotic one.

    Args:
        chosen: of one bundle.
        options: those of assay.publication.replay.replay, but for the method.

    Raises:
        PluginError: the source is not a method's.
        CardError: its card is malformed.
    """
    bundle, n_compared = chosen.bundle, 0
    with unpacked(bundle.source, bundle.manifest.method.slug) as entry:
        for found in replaying.replay(
            chosen.records, lambda ref: replaying.checked_method(entry, ref), **options
        ):
            yield found
            n_compared += found.verdict != "chaotic"
            if n_compared == chosen.n:
                return


def deciding(records: Sequence[RunRecord]) -> set[str]:
    """Ids of the runs that decide the score: of each repetition the selected one.

    Raises:
        AssayError: there is no such task here.
    """
    tasks = {record.spec.task.slug for record in records}
    metrics = {slug: find_task(slug).card.metric for slug in tasks}
    return {
        run.id
        for slug, metric in metrics.items()
        for run in results((r for r in records if r.spec.task.slug == slug), metric)
    }


def sample(
    records: Sequence[RunRecord], n: int, seed: int, deciding: Collection[str] = ()
) -> list[RunRecord]:
    """`n` random runs, most of them of those that decide the score.

    Any run may be drawn, so that none can be false without a risk: a false validation score of
    another point decides which one is selected.

    Args:
        records: of one bundle.
        n: how many.
        seed: of the draw; whoever made the records must not know it before.
        deciding: ids of the runs that decide the score.
    """
    draw = random.Random(seed)
    ordered = sorted(records, key=lambda record: record.id)
    first = [record for record in ordered if record.id in deciding]
    others = [record for record in ordered if record.id not in deciding]
    draw.shuffle(first)
    draw.shuffle(others)
    n_first = min(len(first), max(math.ceil(DECIDING * n), n - len(others)))
    return [*first[:n_first], *others[: n - n_first]]


@contextmanager
def unpacked(source: Mapping[str, bytes], slug: str) -> Iterator[MethodEntry]:
    """Write a bundle's source to a temporary folder, for a worker to import.

    Args:
        source: file names and contents; plain names only.
        slug: the method's, which becomes the name of the folder.

    Raises:
        PluginError: a name is not a plain file's, or there is no method.py.
        CardError: its card is malformed.
    """
    with tempfile.TemporaryDirectory(prefix="assay-replay-") as name:
        folder = Path(name) / slug
        folder.mkdir()
        for member, data in source.items():
            if not _PLAIN.fullmatch(member):
                raise PluginError(f"the bundle's source has a file called {member!r}")
            (folder / member).write_bytes(data)
        if not (folder / "method.py").is_file():
            raise PluginError("the bundle's source has no method.py")
        yield MethodEntry(read_card(folder / "card.toml", SubmissionCard), folder / "method.py")
