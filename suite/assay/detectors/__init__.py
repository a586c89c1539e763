"""Detectors: signs that a result may not be what it claims to be.

Each compares records with what is possible, or with what the baselines of the same task show. A
flag is a question to a reader, shown beside the result; it changes no score and no rank. The
thresholds were set on 900 honest runs (77 cells of method and task, 10 tasks of all families, none
of them flagged), of which the comments give the extremes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from assay.cards import TaskCard
from assay.detectors import runs as process
from assay.detectors import scores
from assay.detectors.baselines import Baselines, Code, Flag, Subject
from assay.detectors.source import NEAR, Library, Source, oddities, resemblances
from assay.records.schema import RunRecord, StudyRecord

__all__ = ["Baselines", "Code", "Flag", "Library", "Source", "detect"]


def detect(
    runs: Sequence[RunRecord],
    studies: Sequence[StudyRecord],
    source: Source,
    card: TaskCard,
    baseline: Sequence[RunRecord] | Baselines,
    *,
    others: Mapping[str, Source] | Library | None = None,
) -> list[Flag]:
    """Every sign found in one method's result on one task.

    Args:
        runs: the method's runs on this task, all of one version of both.
        studies: its studies; runs they name as repetitions are the result.
        source: the files of the submission by name; empty if they are not at hand.
        card: of the task.
        baseline: runs of other methods on this task. Those of another version of the task, or of
            the method itself, are ignored. Baselines, where many methods are looked at.
        others: source of every other submission by slug, to look for copies. A Library, where many
            methods are looked at.
    """
    flags = [*_of_source(source, others or {})]
    completed = sorted((run for run in runs if run.result), key=lambda run: run.id)
    if completed:
        task, method = completed[0].spec.task, completed[0].spec.method.slug
        known = baseline if isinstance(baseline, Baselines) else Baselines(baseline)
        named = {i for study in studies for i in (*study.selected_runs, *study.default_runs)}
        cell = Subject(
            card=card,
            runs=completed,
            named=frozenset(named),
            source=source,
            baseline=known.beside(task, method, card),
        )
        for detector in (
            process.first_loss,
            process.repeated_result,
            scores.above_ceiling,
            scores.fast_convergence,
            process.cost,
            process.weight_distance,
            scores.val_test_gap,
        ):
            flags += detector(cell)
    return flags


def _of_source(source: Source, others: Mapping[str, Source] | Library) -> Iterator[Flag]:
    for text in oddities(source):
        yield Flag(code="source", message=text)
    for slug, likeness in resemblances(source, others):
        how = (
            "the same code, names and numbers aside"
            if likeness == 1.0
            else f"likeness {likeness:.2f}, flagged from {NEAR}"
        )
        yield Flag(code="duplicate", message=f"resembles {slug}: {how}")
