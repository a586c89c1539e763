"""Flags of suspicious results: shown beside a row of the board, they change no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.cards import TaskCard
from assay.detectors import Baselines, Flag, Library, Source, detect
from assay.records.schema import MethodRef, RunRecord, StudyRecord


@dataclass(frozen=True)
class FlagFinder:
    """Applies the detectors to records; holds what they need beside these."""

    cards: Mapping[str, TaskCard]
    """Of the tasks, by slug."""
    sources: Mapping[MethodRef, Source]
    """Code of the submissions in the checkout; results of other code are judged without."""
    baselines: frozenset[str]
    """Slugs of the methods that others are compared with."""

    @cached_property
    def _library(self) -> Library:
        return Library({ref.slug: source for ref, source in self.sources.items()})

    def flags(
        self, studies: Sequence[StudyRecord], records: Mapping[str, RunRecord]
    ) -> dict[str, Sequence[Flag]]:
        """Flags by the id of the study, for all studies and repetitions of one task."""
        baseline = Baselines(
            [record for record in records.values() if record.spec.method.slug in self.baselines]
        )
        return {
            study.id: detect(
                [records[run_id] for run_id in study.repetition_ids if run_id in records],
                [study],
                self.sources.get(study.method, {}),
                self.cards[study.task.slug],
                baseline,
                others=self._library,
            )
            for study in studies
        }
