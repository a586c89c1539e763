"""Detectors: signs that a result may be wrong or dishonest.

Each compares records with what is possible, or with the baselines of the same task. A flag is shown
beside the result for readers to judge; it changes no score and no rank. The thresholds were set on
900 honest runs of ruleset 1 (77 cells of method and task, 10 tasks of all families), none of which
is flagged; "honest" in the comments gives their extremes.

baselines   the runs that are examined and those they are compared with
runs        signs in how runs went
scores      signs in scores and curves
source      signs in the submission's source
source_data how many bits of data the source carries
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from assay.cards import TaskCard
from assay.detectors import runs as run_signs
from assay.detectors import scores
from assay.detectors.baselines import Baselines, Code, Flag, Subject, is_one_of
from assay.detectors.source import NEAR, Library, Source, oddities, resemblances
from assay.records.schema import RunRecord
from assay.records.selection import counts, results

__all__ = ["Baselines", "Code", "Flag", "Library", "Source", "detect", "is_one_of"]


def detect(
    runs: Sequence[RunRecord],
    source: Source,
    card: TaskCard,
    baseline: Sequence[RunRecord] | Baselines,
    *,
    others: Mapping[str, Source] | Library | None = None,
) -> list[Flag]:
    """All flags of one method's result on one task.

    Args:
        runs: those of one cell (one version of the task and of the method); the selected run of
            each repetition is its result. Runs made by hand are ignored.
        source: the files of the submission by name; empty if they are not available.
        card: of the task.
        baseline: runs of other methods on this task, whose selected runs are compared with; those
            of another version of the task, or of the method itself, are ignored. Pass Baselines
            when many methods are examined.
        others: source of every other submission by slug, to look for copies. Pass a Library when
            many methods are examined.
    """
    library = others if isinstance(others, Library) else Library(others or {})
    flags = [*_source_flags(tuple(sorted(source.items())), library)]
    own = sorted((run for run in runs if counts(run.spec)), key=lambda run: run.id)
    completed = [run for run in own if run.result]
    if completed:
        task, method = completed[0].spec.task, completed[0].spec.method
        known = baseline if isinstance(baseline, Baselines) else Baselines(baseline)
        subject = Subject(
            card=card,
            runs=completed,
            result=[run for run in results(own, card.metric) if run.result],
            source=source,
            baseline=known.beside(task, method, card),
        )
        for detector in (
            run_signs.first_loss,
            run_signs.repeated_result,
            scores.above_ceiling,
            scores.fast_convergence,
            run_signs.cost,
            run_signs.weight_distance,
            scores.val_test_gap,
        ):
            flags += detector(subject)
    return flags


@lru_cache(maxsize=256)  # a board examines each submission once per task: 1 s instead of 3
def _source_flags(files: tuple[tuple[str, bytes], ...], library: Library) -> tuple[Flag, ...]:
    source = dict(files)
    flags = [Flag(code="source", message=text) for text in oddities(source)]
    for near in resemblances(source, library):
        how = (
            "the same code, names and numbers aside"
            if near.likeness == 1.0
            else f"likeness {near.likeness:.2f}, shown from {NEAR}"
        )
        if near.declared:
            said = f"its card says that it comes from {near.slug}: {how}"
            flags.append(Flag(code="derived", message=said))
        else:
            flags.append(Flag(code="duplicate", message=f"resembles {near.slug}: {how}"))
    return tuple(flags)
