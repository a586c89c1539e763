"""Flags of suspicious results: shown beside a row of the board, they change no number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.cards import TaskCard
from assay.detectors import Baselines, Flag, Library, Source, detect, is_one_of
from assay.records.schema import MethodRef, RunRecord, TaskRef

Cell = tuple[TaskRef, MethodRef]


@dataclass(frozen=True)
class FlagFinder:
    """Applies the detectors to records; holds what they need beside these."""

    cards: Mapping[str, TaskCard]
    """Of the tasks, by slug."""
    sources: Mapping[MethodRef, Source]
    """Files of the submissions in the checkout, by MethodRef.code; results of other code are judged
    without."""
    baselines: Sequence[MethodRef]
    """The methods that others are compared with, as they are now."""

    @cached_property
    def _library(self) -> Library:
        return Library({ref.slug: source for ref, source in self.sources.items()})

    def flags(self, runs: Iterable[RunRecord]) -> dict[Cell, Sequence[Flag]]:
        """Flags of each task and method among `runs`, all runs of one task."""
        by_cell: dict[Cell, list[RunRecord]] = {}
        for run in runs:
            by_cell.setdefault((run.spec.task, run.spec.method), []).append(run)
        baseline = Baselines(
            run
            for (_, method), same in by_cell.items()
            if is_one_of(method, self.baselines)
            for run in same
        )
        return {
            (task, method): detect(
                same,
                self.sources.get(method.code, {}),
                self.cards[task.slug],
                baseline,
                others=self._library,
            )
            for (task, method), same in by_cell.items()
        }
