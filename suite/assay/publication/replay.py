"""Replays: a recorded run done again and compared with its record (tier T2).

On the same kind of machine (Environment.machine_key, on a CPU) weights, scores and curve must be
the same, bit for bit; most records of a bundle have no curve. On another one rounding differs, and
the difference grows while training: there validation and test score must be within a number of
margins of the task's metric (cards.REPLAY_MARGINS) unless training is chaotic (see `judged`), and
the records may not be better or worse than their replays on average (assay.publication.drift).
Seconds are never compared.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from assay.cards import TaskCard
from assay.engine.cells import make_cells
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.epochs import Epoch, epochs_folder, open_epoch
from assay.errors import AssayError, PluginError, RecordError
from assay.plugins.packages import lacking_packages
from assay.plugins.registry import MethodEntry, find_method, find_task, method_ref, task_ref
from assay.publication.comparison import (
    ReplayComparison,
    compare,
    distance,
    machine_difference,
)
from assay.publication.drift import mean_difference
from assay.records.log import MeanDifference, ReplayedRun, ReplayVerdict
from assay.records.schema import (
    Compute,
    MethodRef,
    RunRecord,
    TaskRef,
    reproduce_command,
)
from assay.records.staleness import changed, listed, stale, unknown_libraries
from assay.ruleset import SCORER_VERSION
from assay.space import Space

SANDBOXED = ("L2", "L3", "L4")
CONFIRMED: tuple[ReplayVerdict, ...] = ("identical", "within tolerance")
NUDGES, FOLD = 16, 4.0
"""See `judged`."""


@dataclass(frozen=True)
class Replay:
    """One run, replayed or not."""

    run_id: str
    task: str
    method: str
    repetition: int
    point: int | None
    verdict: ReplayVerdict
    detail: str
    recorded_test: float | None
    tolerance: float | None
    """Largest difference of scores that is allowed on another kind of machine; None where it was
    not done."""
    replayed_test: float | None = None
    recorded_seconds: float | None = None
    """Training time on the record's machine: a claim, which a replay cannot confirm."""
    replayed_seconds: float | None = None
    level: str | None = None
    """Isolation level of the replay."""
    margins: float | None = None
    """Recorded minus replayed test score in margins of the task's metric, positive where the record
    is better; None on the same kind of machine, where a score is missing, and if not confirmed."""
    unit: float = 1.0
    """The margin, in the metric's unit."""
    took_seconds: float = 0.0
    """Wall time of the replay."""


@dataclass(frozen=True)
class ReplaySummary:
    """The tier that several replays earn together, and the reason."""

    tier: Literal["T2"] | None
    why: str
    contradicted: bool = False
    """A run differs, or all together do: the records are not what the method does."""
    mean_difference: MeanDifference | None = None
    """Of the runs replayed on another kind of machine, in the metric's unit."""


def summarise(replays: Sequence[Replay], wanted: int, enough: int = 1) -> ReplaySummary:
    """T2 if all `wanted` replays could be done in the sandbox and confirm the records.

    Args:
        replays: of one bundle, or of chosen runs.
        wanted: how many were asked for.
        enough: fewest that earn a tier.
    """
    differing = sum(replay.verdict == "differs" for replay in replays)
    done = [replay for replay in replays if replay.verdict in CONFIRMED]
    n_chaotic = sum(replay.verdict == "chaotic" for replay in replays)
    weak = sorted({r.level or "" for r in done} - set(SANDBOXED))
    margins = [replay.margins for replay in replays if replay.margins is not None]
    units = {replay.unit for replay in replays if replay.margins is not None}
    mean = mean_difference(margins, units.pop() if len(units) == 1 else 1.0)
    tier: Literal["T2"] | None = None
    contradicted = True
    if differing:
        why = f"{differing} of {len(replays)} runs differ"
    elif mean is not None and mean.exceeded:
        why = (
            f"over {mean.n} runs the records differ by {mean.mean:+.4g} from their replays on "
            f"average, allowed {mean.allowed:.4g}"
        )
    else:
        contradicted = False
        if len(done) + n_chaotic < wanted:
            why = f"{len(done)} of {wanted} runs could be replayed"
        elif len(done) < min(enough, wanted) and n_chaotic:
            why = (
                f"{n_chaotic} of {len(replays)} runs are chaotic: they can be compared on the "
                f"record's kind of machine alone; expected {enough} others"
            )
        elif weak:
            why = f"replayed at level {', '.join(weak)}; expected the sandbox (L2)"
        elif len(done) < enough:
            why = f"{len(done)} runs are too few; expected {enough}"
        else:
            exact = sum(replay.verdict == "identical" for replay in done)
            tier, why = "T2", f"{len(done)} runs replayed, {exact} of them bit for bit"
            why += f"; {n_chaotic} more are chaotic" if n_chaotic else ""
    return ReplaySummary(tier, why, contradicted, mean)


def logged(replay: Replay) -> ReplayedRun:
    """What the results log keeps of a replay."""
    return ReplayedRun(
        run=replay.run_id,
        recorded=replay.recorded_test,
        replayed=replay.replayed_test,
        verdict=replay.verdict,
    )


def submission_of(ref: MethodRef) -> MethodEntry:
    """The submission that a record names, if its code is still the recorded one.

    Raises:
        AssayError: there is none, or it has changed since.
    """
    return checked_method(find_method(ref.slug), ref)


def checked_method(entry: MethodEntry, ref: MethodRef) -> MethodEntry:
    """`entry`, if its code and its libraries are what the record names.

    Raises:
        PluginError: they are not; names them.
    """
    now = method_ref(entry)
    if now.code != ref.code:
        raise PluginError(
            f"stale method: {ref.slug} version {ref.version} has changed since "
            f"(code {ref.code_hash[:12]}, now version {now.version}, {now.code_hash[:12]})"
        )
    if why := changed(ref, now):
        raise PluginError(f"{ref.slug} {why}; it can be replayed with those of then alone")
    _check_known(ref, now)
    return entry


def _check_known(then: TaskRef | MethodRef, now: TaskRef | MethodRef) -> None:
    """Refuse to replay without a library that was there: what is missing may change numbers.

    Raises:
        PluginError: one is not installed; names them.
    """
    if gone := unknown_libraries(then.libraries, now.libraries):
        raise PluginError(f"{then.slug} was made with {listed(gone)}: not installed here")


def replay(
    records: Sequence[RunRecord],
    method_of: Callable[[MethodRef], MethodEntry] = submission_of,
    *,
    secret: Path | None = None,
    allow_weaker: bool = False,
    make_pool: Callable[..., Any] = Pool,
) -> Iterator[Replay]:
    """Do every run again, one after the other, and compare it with its record.

    Args:
        records: runs of any tasks, methods and machines.
        method_of: finds the source of a method; raises AssayError if it cannot.
        secret: the organisers' master secret, for runs of epochs that are not revealed.
        allow_weaker: replay without a sandbox if none works here; that earns no tier.
        make_pool: where the runs are done.
    """
    groups: dict[tuple[Compute, Epoch | None], list[tuple[RunRecord, Job]]] = {}
    for record in records:
        try:
            job, epoch = _prepared(record, method_of, secret)
        except AssayError as error:
            yield _told(record, ReplayComparison("cannot", str(error)))
            continue
        groups.setdefault((record.spec.compute, epoch), []).append((record, job))
    for (compute, epoch), jobs in groups.items():
        start = partial(
            make_pool, n_workers=1, compute=compute, epoch=epoch, allow_weaker=allow_weaker
        )
        yield from _on_pool(start, jobs)


def _on_pool(
    start: Callable[[], AbstractContextManager[Pool]], jobs: Sequence[tuple[RunRecord, Job]]
) -> Iterator[Replay]:
    """Replay runs that need the same pool; if it cannot be made, say so for each of them."""
    waiting = list(jobs)
    try:
        with start() as pool:
            declared: dict[tuple[Path, Path], Space] = {}
            while waiting:
                record, job = waiting[0]
                answer = _again(pool, record, job, declared)
                waiting.pop(0)
                yield answer
    except AssayError as error:
        for record, _ in waiting:
            yield _told(record, ReplayComparison("cannot", str(error)))


def _again(
    pool: Pool, record: RunRecord, job: Job, declared: dict[tuple[Path, Path], Space]
) -> Replay:
    """Replay one run; `declared` keeps the search spaces of its task and method."""
    began = time.monotonic()
    pair = job.task, job.method
    key = job.task.folder, job.method.source
    try:
        if key not in declared:
            declared[key] = make_cells([pair], pool)[0].space
        if declared[key] != record.space:
            said = "its search space is not the one that the method declares"
            return _told(record, ReplayComparison("differs", said))
        again = pool.run(job, record.reproduce)
        found = judged(record, again, job, pool)
    except AssayError as error:
        return _told(record, ReplayComparison("cannot", str(error)))
    remarks = [text for text in (found.detail, command_note(record)) if text]
    found = ReplayComparison(found.verdict, "; ".join(remarks))
    return replace(
        _told(record, found, again, time.monotonic() - began),
        tolerance=job.task.card.replay_tolerance,
        margins=_margins(record, again, job.task.card) if found.verdict in CONFIRMED else None,
        unit=job.task.card.metric.margin,
    )


def judged(record: RunRecord, again: RunRecord, job: Job, pool: Pool) -> ReplayComparison:
    """The verdict on a record and the same run done again on `pool`.

    Where training is chaotic, rounding decides where a run ends, and one that differs from a record
    of another kind of machine shows nothing. So it is done up to NUDGES times more, with every
    weight moved by one unit in the last place after every batch. If one of these ends at least
    1 / FOLD as far from it as the record does, the run is chaotic. (To move
    the initial weights alone is not enough: a run of AdamW on ackley_10d that ends elsewhere on
    another CPU did so in none of 8 runs moved once, and in 11 of 24 moved after every batch.)

    Args:
        record: as it was published.
        again: the run as it came out here.
        job: what was done.
        pool: where.

    Raises:
        AssayError: a run could not be done.
    """
    found = compare(record, again, job.task.card.replay_tolerance)
    if found.verdict != "differs" or not machine_difference(record.environment, again.environment):
        return found
    apart = distance(record, again)
    for seed in range(1, NUDGES + 1):
        moved = distance(again, pool.run(replace(job, nudge=seed), record.reproduce))
        if FOLD * moved >= apart:
            by = f"by {moved:.4g}" if moved < math.inf else "in how it ends"
            return ReplayComparison(
                "chaotic",
                f"{found.detail}; done again here with weights moved by one unit in the last "
                f"place after every batch it differs {by}",
            )
    return found


def _margins(known: RunRecord, again: RunRecord, card: TaskCard) -> float | None:
    """How much better the record's test score is, in margins; None on one kind of machine."""
    same = not machine_difference(known.environment, again.environment)
    if same or known.result is None or again.result is None:
        return None
    sign = 1.0 if card.metric.direction == "maximize" else -1.0
    return sign * (known.result.test - again.result.test) / card.metric.margin


def _told(
    record: RunRecord, found: ReplayComparison, again: RunRecord | None = None, seconds: float = 0.0
) -> Replay:
    spec = record.spec
    return Replay(
        run_id=record.id,
        task=spec.task.slug,
        method=spec.method.slug,
        repetition=spec.repetition,
        point=spec.point,
        verdict=found.verdict,
        detail=found.detail,
        recorded_test=record.result.test if record.result else None,
        tolerance=None,
        replayed_test=again.result.test if again and again.result else None,
        recorded_seconds=record.usage.train_seconds,
        replayed_seconds=again.usage.train_seconds if again else None,
        level=again.isolation.level if again else None,
        took_seconds=round(seconds, 3),
    )


def _prepared(
    record: RunRecord, method_of: Callable[[MethodRef], MethodEntry], secret: Path | None
) -> tuple[Job, Epoch | None]:
    """The job that does a run again, and the epoch that it needs.

    Raises:
        AssayError: why it cannot be done here.
    """
    spec = record.spec
    if record.scorer_version != SCORER_VERSION:
        raise RecordError(f"scored by version {record.scorer_version} of the scorer, now "
                          f"{SCORER_VERSION}")  # fmt: skip
    task = find_task(spec.task.slug)
    if reason := stale(spec, now := task_ref(task)):
        raise RecordError(f"stale: {reason}")
    _check_known(spec.task, now)
    epoch = open_epoch(spec.epoch, epochs_folder(), secret) if spec.epoch else None
    method = method_of(spec.method)
    if lacking := lacking_packages(method.card):
        raise PluginError(lacking)
    return Job(spec, task, method, record.space), epoch


def command_note(record: RunRecord) -> str:
    """A remark if the command in a record is not its spec's, because people copy it; else empty."""
    slug = record.spec.method.slug
    expected = reproduce_command(slug, record.spec)
    try:
        _, _, method, _, task = shlex.split(record.reproduce)[:5]  # assay run ... --task ...
    except ValueError:
        method, task = slug, record.spec.task.slug
    named = Path(method).name in (slug, f"{slug}.py") and Path(task).name == record.spec.task.slug
    if named and not (method.startswith("-") or task.startswith("-")):
        given = reproduce_command(method, record.spec, task)  # quotes what a shell would act on
        if record.reproduce == given:
            return ""
    return f"the command it carries is not its spec's; expected: {expected}"
