"""Replays: a recorded run done again and compared with its record (tier T2).

On the same kind of machine (Environment.machine_key, on a CPU) weights, scores and curve must be
the same, bit for bit; most records of a bundle have no curve. On another one rounding differs, and
the difference grows while training: there the test score must be within a number of margins of the
task's metric (see `tolerance`).
Seconds are never compared.
"""

from __future__ import annotations

import random
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from assay.cards import SubmissionCard, TaskCard, read_card
from assay.engine.cells import make_cells
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.engine.scorer import SCORER_VERSION
from assay.epochs import Epoch, epochs_folder, open_epoch
from assay.errors import AssayError, PluginError, RecordError
from assay.plugins.packages import lacking_packages
from assay.plugins.registry import MethodEntry, find_method, find_task, method_ref, task_ref
from assay.records.schema import (
    MACHINE_FIELDS,
    Compute,
    CurvePoint,
    Environment,
    MethodRef,
    RunRecord,
    reproduce_command,
)
from assay.records.staleness import stale
from assay.space import Space

ReplayVerdict = Literal["identical", "within tolerance", "differs", "cannot"]
SANDBOXED = ("L2", "L3", "L4")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class ReplayComparison:
    """A verdict and its reason."""

    verdict: ReplayVerdict
    detail: str = ""


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
    """Largest difference of test scores that is allowed on another kind of machine; None where runs
    are compared on one kind of machine only, or this one was not done."""
    replayed_test: float | None = None
    recorded_seconds: float | None = None
    """Training time on the record's machine: a claim, which a replay cannot confirm."""
    replayed_seconds: float | None = None
    level: str | None = None
    """Isolation level of the replay."""
    took_seconds: float = 0.0
    """Wall time of the replay."""


@dataclass(frozen=True)
class ReplaySummary:
    """The tier that several replays earn together, and the reason."""

    tier: Literal["T2"] | None
    why: str


def tolerance(card: TaskCard) -> float | None:
    """The largest difference of test scores between machines, in the metric's unit.

    None if runs on different machines cannot be compared: quantized training.
    """
    return card.replay_tolerance


def rule_of(card_tolerance: float | None) -> str:
    """What replays are held to, in words."""
    other = (
        "runs of another one cannot be compared"
        if card_tolerance is None
        else f"on another one the test score may differ by {card_tolerance:.4g}"
    )
    return f"on one kind of machine all must be equal bit for bit, {other}"


def compare(known: RunRecord, again: RunRecord, allowed: float | None) -> ReplayComparison:
    """The verdict on a run and a repetition of it.

    Args:
        known: the record.
        again: the same spec, run here.
        allowed: largest difference of test scores if this is another machine; see tolerance.
    """
    other = machine_difference(known.environment, again.environment)
    if known.scorer_version != again.scorer_version:
        versions = f"{known.scorer_version} of the scorer, now {again.scorer_version}"
        return ReplayComparison("cannot", f"scored by version {versions}")
    if not _differing(known, again):
        return ReplayComparison("identical", "" if known.result else f"ended {known.status} again")
    if not other:
        return ReplayComparison("differs", _what_differs(known, again))
    if allowed is None:
        return ReplayComparison(
            "cannot", f"quantized runs are compared on one kind of machine only: {other}"
        )
    if known.status != again.status:
        if "out_of_budget" in (known.status, again.status):
            ends = f"{known.status} there, {again.status} here"
            return ReplayComparison("cannot", f"{ends}: machines of different speed ({other})")
        return ReplayComparison("differs", f"{_what_differs(known, again)} ({other})")
    if known.result is None or again.result is None:
        return ReplayComparison("within tolerance", f"ended {known.status} again; {other}")
    gap = abs(known.result.test - again.result.test)
    detail = f"test differs by {gap:.4g}, allowed {allowed:.4g}; {other}"
    return ReplayComparison("within tolerance" if gap <= allowed else "differs", detail)


def machine_difference(known: Environment, again: Environment) -> str:
    """How two machines differ, in words; empty if runs on both must be equal bit for bit."""
    found = [
        "other CPU flags" if name == "cpu_flags_hash" else f"{name} {there}, here {here}"
        for name, there, here in zip(
            MACHINE_FIELDS, known.machine_key, again.machine_key, strict=True
        )
        if there != here
    ]
    if not found and known.device != "cpu":
        found = [f"device {known.device}: not repeatable bit for bit"]
    return "; ".join(found)


def _facts(record: RunRecord) -> dict[str, Any]:
    """Everything in a record that its spec determines on one kind of machine, but the curve."""
    usage = record.usage
    return {
        "status": record.status,
        "weights": record.weights_sha256,
        "result": record.result,
        "counts": (usage.batches, usage.passes, usage.examples) if record.result else None,
    }


def _differing(known: RunRecord, again: RunRecord) -> list[str]:
    """Which facts differ; of the curve only what the record holds."""
    there, here = _facts(known), _facts(again)
    names = [name for name in there if there[name] != here[name]]
    if known.curve and _places(known.curve) != _places(again.curve):
        names.append("curve")
    return names


def _places(curve: Sequence[CurvePoint]) -> list[CurvePoint]:
    """A curve without its times, and without coordinates, which bundles leave out."""
    return [replace(point, seconds=0.0, x=None, y=None) for point in curve]


def _what_differs(known: RunRecord, again: RunRecord) -> str:
    names = _differing(known, again)
    said = f"status {known.status}, now {again.status}" if "status" in names else ""
    if "result" in names and known.result and again.result:
        said = f"test {known.result.test:.6g}, now {again.result.test:.6g}"
    return ", ".join(names) + (f" ({said})" if said else "")


def sample(records: Sequence[RunRecord], n: int, seed: int) -> list[RunRecord]:
    """`n` random runs, by repetition and point, from as many tasks as possible.

    Any run may be drawn, so that none can be false without a risk.
    """
    draw = random.Random(seed)
    by_task: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda record: record.id):
        by_task.setdefault(record.spec.task.slug, []).append(record)
    piles = list(by_task.values())
    draw.shuffle(piles)
    for pile in piles:
        draw.shuffle(pile)
    rounds = max(map(len, piles), default=0)
    return [pile[i] for i in range(rounds) for pile in piles if i < len(pile)][:n]


def summarise(replays: Sequence[Replay], wanted: int) -> ReplaySummary:
    """T2 if all `wanted` replays could be done in the sandbox and none differs; else no tier."""
    differing = sum(replay.verdict == "differs" for replay in replays)
    done = [r for r in replays if r.verdict in ("identical", "within tolerance")]
    weak = sorted({r.level or "" for r in done} - set(SANDBOXED))
    if differing:
        return ReplaySummary(None, f"{differing} of {len(replays)} runs differ")
    if len(done) < wanted or not done:
        return ReplaySummary(None, f"{len(done)} of {wanted} runs could be replayed")
    if weak:
        return ReplaySummary(
            None, f"replayed at level {', '.join(weak)}; expected the sandbox (L2)"
        )
    exact = sum(replay.verdict == "identical" for replay in done)
    return ReplaySummary("T2", f"{len(done)} runs replayed, {exact} of them bit for bit")


def submission_of(ref: MethodRef) -> MethodEntry:
    """The submission that a record names, if its code is still the recorded one.

    Raises:
        AssayError: there is none, or it has changed since.
    """
    return checked_method(find_method(ref.slug), ref)


def checked_method(entry: MethodEntry, ref: MethodRef) -> MethodEntry:
    """`entry`, if its code is what the record names.

    Raises:
        PluginError: it is not.
    """
    now = method_ref(entry)
    if now != ref:
        raise PluginError(
            f"stale method: {ref.slug} version {ref.version} has changed since "
            f"(code {ref.code_hash[:12]}, now version {now.version}, {now.code_hash[:12]})"
        )
    return entry


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
    except AssayError as error:
        return _told(record, ReplayComparison("cannot", str(error)))
    allowed = tolerance(job.task.card)
    found = compare(record, again, allowed)
    remarks = [text for text in (found.detail, command_note(record)) if text]
    found = ReplayComparison(found.verdict, "; ".join(remarks))
    return replace(_told(record, found, again, time.monotonic() - began), tolerance=allowed)


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
    if reason := stale(spec, task_ref(task)):
        raise RecordError(f"stale: {reason}")
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
