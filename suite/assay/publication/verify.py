"""Checks of a bundle that need no run (tier T1).

Every number is compared with the cards, the ruleset and the other records. That the source really
gives these scores is for a replay to show. The submission's code is read as text and never
imported; tasks are those of this checkout.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from assay.cards import SubmissionCard, TaskCard
from assay.detectors import detect
from assay.identity import source_hash
from assay.plugins.files import MAX_DATA_BYTES, MAX_DATA_FILE_BYTES, is_data
from assay.plugins.registry import illegal, method_entries, task_entries, task_ref
from assay.publication.record_checks import run_problems
from assay.records.bundle import Bundle
from assay.records.schema import RunRecord, RunSpec, StudyRecord, reproduce_command, select
from assay.records.staleness import stale
from assay.ruleset import RULESET
from assay.space import ChoiceRange, Space, Value
from assay.untrusted import text as texts

CARD, METHOD = "card.toml", "method.py"
MAX_DIMENSIONS, MAX_OPTIONS, MAX_WHOLE = 64, 256, 2**53
MAX_TEXT = 10_000
_COOKIE = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
"""PEP 263."""


@dataclass(frozen=True)
class BundleProblem:
    """One thing that is wrong ("error"), or that a reader should know ("flag")."""

    severity: Literal["error", "flag"]
    code: str
    message: str


Findings = Iterator[BundleProblem]


def verify(bundle: Bundle, published: Sequence[Bundle] = ()) -> list[BundleProblem]:
    """All problems of `bundle`; without an error it has tier T1.

    Args:
        bundle: read by records.bundle.read_bundle, which refuses malformed files.
        published: the bundles published so far; `bundle` may be among them.
    """
    found = [*_source(bundle), *_cell(bundle), *_texts(bundle), *_duplicates(bundle, published)]
    entry = task_entries().get(bundle.manifest.task.slug)
    if entry is None:
        reason = f"this checkout has no task {bundle.manifest.task.slug} to check the numbers with"
        return [*found, _error("task", reason)]
    if reason := next(filter(None, (stale(s, task_ref(entry)) for s in bundle.studies)), ""):
        # Stale records may be sound, but the checks below hold them against the code of now.
        return [*found, _flag("stale", f"{reason}; its numbers were not checked")]
    found += _entered(bundle, entry.card)
    for study in bundle.studies:
        found += _study(study, bundle, entry.card)
    found += _strays(bundle)
    for run in bundle.runs:
        found += [_error(code, f"run {run.id}: {said}") for code, said in _run(run, entry.card)]
    return [*found, *_isolation(bundle.runs), *_suspicions(bundle, entry.card, published)]


def _suspicions(bundle: Bundle, card: TaskCard, published: Sequence[Bundle]) -> Findings:
    """Flags of the detectors, given the baselines' published runs and this checkout's methods."""
    own, entries = bundle.manifest.method.slug, method_entries()
    baselines = {slug for slug, entry in entries.items() if entry.card.is_baseline}
    baseline = [
        run
        for other in published
        if other.manifest.task == bundle.manifest.task and other.manifest.method.slug in baselines
        for run in other.runs
    ]
    others = {slug: entry.contents for slug, entry in entries.items() if slug != own}
    flags = detect(bundle.runs, bundle.studies, bundle.source, card, baseline, others=others)
    return (_flag(flag.code, flag.message) for flag in flags)


def _error(code: str, message: str) -> BundleProblem:
    return BundleProblem("error", code, message)


def _flag(code: str, message: str) -> BundleProblem:
    return BundleProblem("flag", code, message)


def _source(bundle: Bundle) -> Findings:
    """Code is text, data files are those of the card, and all have the records' hash."""
    method, files = bundle.manifest.method, bundle.source
    for name in (CARD, METHOD):
        if name not in files:
            yield _error("source", f"source/{name} is missing")
    yield from _data(bundle)
    for name, data in files.items():
        if is_data(name):
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            yield _error("source", f"source/{name} is not UTF-8 text")
            continue
        if reason := texts.unsafe(text, lines=True):
            yield _error("text", f"source/{name} {reason}")
        for line in text.splitlines()[:2] if name.endswith(".py") else ():
            cookie = _COOKIE.match(line)
            if cookie and cookie[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
                yield _error("source", f"source/{name} declares the encoding {cookie[1][:40]}: "
                             "Python would read another text than a reader sees")  # fmt: skip
    if source_hash(files.items()) != method.code_hash:
        yield _error("source", "the source is not the one the records were made with (its hash)")


def _data(bundle: Bundle) -> Findings:
    """The files that are no code are those that the card lists, within bounds."""
    files = bundle.source
    card = _card(bundle)
    listed = card.data if isinstance(card, SubmissionCard) else []
    for name in sorted({*filter(is_data, files), *listed}):
        if name not in files:
            yield _error("source", f"source/{name} is missing, which the card lists under `data`")
        elif name not in listed:
            yield _error("source", f"source/{name}: only Python files, card.toml and the data "
                         "files that it lists are published")  # fmt: skip
        elif len(files[name]) > MAX_DATA_FILE_BYTES:
            yield _error("source", f"source/{name}: {len(files[name]):,} bytes, expected at most "
                         f"{MAX_DATA_FILE_BYTES:,}")  # fmt: skip
    if (n := sum(len(data) for name, data in files.items() if is_data(name))) > MAX_DATA_BYTES:
        yield _error("source", f"the data files have {n:,} bytes together, expected at most "
                     f"{MAX_DATA_BYTES:,}")  # fmt: skip


def _card(bundle: Bundle) -> SubmissionCard | str:
    """The submission's card, or what is wrong with it."""
    try:
        text = bundle.source.get(CARD, b"").decode("utf-8")
        return SubmissionCard(**tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        return f"source/{CARD}: {'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}"
    except (ValueError, RecursionError, TypeError) as error:
        return f"source/{CARD}: not valid TOML: {str(error)[:200]}"


def _cell(bundle: Bundle) -> Findings:
    """Manifest, card and records are all of one task and one method, and no record is twice."""
    manifest = bundle.manifest
    own = (manifest.task, manifest.method)
    refs = [(f"run {run.id}", run.spec.task, run.spec.method) for run in bundle.runs]
    refs += [(f"study {study.id}", study.task, study.method) for study in bundle.studies]
    for name, task, method in refs:
        if (task, method) != own:
            yield _error("cell", f"{name} is of another task, method or version than the manifest")
    for kind, ids in (
        ("run", [run.id for run in bundle.runs]),
        ("study", [study.id for study in bundle.studies]),
    ):
        for record_id in sorted({record_id for record_id in ids if ids.count(record_id) > 1}):
            yield _error("cell", f"{kind} {record_id} stands there twice")
    card = _card(bundle)
    if isinstance(card, str):
        yield _error("card", card)
    elif (card.slug, card.version) != (manifest.method.slug, manifest.method.version):
        yield _error("card", f"the card is of {card.slug[:50]} version {card.version}, not of this")


def _texts(bundle: Bundle) -> Findings:
    """No text could steer a terminal, a page or a spreadsheet, or holds private data."""
    for kind, name, data in (
        *((r.kind, f"run {r.id}", r.model_dump(mode="json")) for r in bundle.runs),
        *((s.kind, f"study {s.id}", s.model_dump(mode="json")) for s in bundle.studies),
    ):
        for where, text in texts.strings(data):
            fixed = where == "reproduce"  # compared with the right command
            if reason := _bad_text(text):
                yield _error("text", f"{name}: {where[:100]} {reason}")
            elif not fixed and (private := texts.private(text)):
                yield _error("private", f"{name}: {where[:100]} holds {private}")
            elif kind == "run" and where == "message" and texts.formula(text):
                yield _flag("formula", f"{name}: message is a formula to a spreadsheet")
    card = _card(bundle)
    if isinstance(card, str):
        return
    for where, text in texts.strings(card.model_dump(mode="json")):
        if reason := _bad_text(text, lines=True):
            yield _error("text", f"card: {where[:100]} {reason}")
        elif texts.formula(text):
            yield _flag("formula", f"card: {where[:100]} is a formula to a spreadsheet")


def _bad_text(text: str, *, lines: bool = False) -> str | None:
    if len(text) > MAX_TEXT:
        return f"has {len(text):,} characters, expected at most {MAX_TEXT:,}"
    return texts.unsafe(text, lines=lines) or texts.active(text)


def _duplicates(bundle: Bundle, published: Sequence[Bundle]) -> Findings:
    """Results that were published before, by this method or by another."""
    manifest = bundle.manifest
    own = {run.id: run for run in bundle.runs}
    weights = {_training(run): run.weights_sha256 for run in bundle.runs if run.weights_sha256}
    for other in published:
        if other.sha256 == bundle.sha256 or other.manifest.task.slug != manifest.task.slug:
            continue
        if other.manifest.method.slug == manifest.method.slug:
            changed = [
                run.id
                for run in other.runs
                if run.id in own and _outcome(own[run.id]) != _outcome(run)
            ]  # fmt: skip
            if changed:
                yield _flag(
                    "contradiction",
                    f"{len(changed)} run(s) differ from {other.path.name}: {changed[0]}, ...",
                )
            continue
        same = sum(weights.get(_training(run), "") == run.weights_sha256 for run in other.runs)
        if same:
            yield _flag(
                "copied",
                f"{same} of {len(own)} runs have the very weights of {other.manifest.method.slug}",
            )


def _training(run: RunRecord) -> tuple[str, int, str]:
    """Equal for runs that would end alike if their methods were the same."""
    return run.spec.purpose, run.spec.repetition, repr(sorted(run.spec.hyperparameters.items()))


def _outcome(run: RunRecord) -> tuple[object, ...]:
    return run.status, run.result, run.weights_sha256


def _entered(bundle: Bundle, card: TaskCard) -> Findings:
    own = _card(bundle)
    if isinstance(own, SubmissionCard) and (reason := illegal(own, card)):
        yield _error("entry", reason)
    records: list[RunRecord | StudyRecord] = [*bundle.runs, *bundle.studies]
    for record in records:
        if (record.family, record.tier) != (card.family, card.tier):
            yield _error("cell", f"{record.kind} {record.id}: family or tier is not the task's")


def _study(study: StudyRecord, bundle: Bundle, card: TaskCard) -> Findings:
    """Its points are those of the ruleset, the best one is selected, every planned run exists."""
    name = f"study {study.id}"
    runs = {run.id: run for run in bundle.runs}
    yield from _points(study, card)
    for trial in study.trials:
        run = runs.get(trial.run_id)
        if trial.run_id != _spec(study, trial.hyperparameters, "tuning", 0).id:
            yield _error("study", f"{name}: trial {trial.number} names a run of another point")
        elif run is None:
            yield _error(
                "missing", f"{name}: run {trial.run_id} of trial {trial.number} is missing"
            )
        elif (trial.status, trial.val) != (
            run.status,
            run.result.val if run.result else card.metric.chance,
        ):
            yield _error("study", f"{name}: trial {trial.number} is not what its run says")
    if study.selected != select(study.trials, card.metric.direction):
        yield _error("selection", f"{name}: trial {study.selected} is not the best on validation")
    k, fixed = len(study.trials), card.deterministic
    r = RULESET.r(study.preset, deterministic=fixed)
    r_defaults = RULESET.r_defaults(study.preset, k, deterministic=fixed)
    best = study.trials[study.selected].hyperparameters
    for what, given, point, n in (
        ("selected", study.selected_runs, best, r),
        ("default", study.default_runs, study.trials[0].hyperparameters, r_defaults),
    ):
        planned = [_spec(study, point, "repetition", number).id for number in range(n)]
        if given != planned:
            yield _error("repetitions", f"{name}: {what}_runs are not repetitions 0..{n - 1}")
        if lacking := [run_id for run_id in given if run_id not in runs]:
            yield _error("missing", f"{name}: {len(lacking)} of its {what}_runs: {lacking[0]}, ...")


def _spec(
    study: StudyRecord,
    point: dict[str, Value],
    purpose: Literal["tuning", "repetition"],
    repetition: int,
) -> RunSpec:
    return RunSpec(
        ruleset=study.ruleset,
        task=study.task,
        method=study.method,
        hyperparameters=point,
        purpose=purpose,
        repetition=repetition,
        compute=study.compute,
        epoch=study.epoch if purpose == "repetition" else None,
    )


def _points(study: StudyRecord, card: TaskCard) -> Findings:
    """Trials ran exactly the points that the space and the ruleset draw."""
    name = f"study {study.id}"
    if reason := _space_problem(study.space):
        yield _error("space", f"{name}: {reason}")
        return
    from assay.engine.points import study_points  # Optuna takes a second to import

    try:
        expected = study_points(study.space, card.family, card.tier, study.preset)
    except (ValueError, OverflowError) as error:
        yield _error("space", f"{name}: no points can be drawn from its space: {str(error)[:200]}")
        return
    given = [trial.hyperparameters for trial in study.trials]
    if len(given) != len(expected):
        yield _error("points", f"{name}: {len(given)} trials, expected {len(expected)}")
    for number, (own, drawn) in enumerate(zip(given, expected, strict=False)):
        if not _same_point(own, drawn):
            yield _error("points", f"{name}: trial {number} is not the point that was to be tried")


def _same_point(a: Mapping[str, Value], b: Mapping[str, Value]) -> bool:
    """Equal, real numbers to nine digits: machines differ in the last digit of a logarithm."""
    return a.keys() == b.keys() and all(
        math.isclose(value, other, rel_tol=1e-9)
        if isinstance(value, float) and isinstance(other := b[name], float)
        else (type(value), value) == (type(b[name]), b[name])
        for name, value in a.items()
    )


def _space_problem(space: Space) -> str | None:
    """Why no method can have declared `space`; None if one can."""
    if len(space.ranges) > MAX_DIMENSIONS:
        return f"{len(space.ranges)} tuned hyperparameters, expected at most {MAX_DIMENSIONS}"
    for name, found in space.ranges.items():
        if isinstance(found, ChoiceRange):
            sound = 0 < len(found.options) <= MAX_OPTIONS
        else:
            sound = -MAX_WHOLE <= found.low <= found.high <= MAX_WHOLE
            sound = sound and (found.low > 0 or not found.log)
        if not sound or space.defaults.get(name) not in found:
            return f"the range of {name[:60]} is empty, absurd or excludes its default"
    return None


def _strays(bundle: Bundle) -> Findings:
    """Runs outside of the studies could be attempts that were not counted."""
    named = {run_id for study in bundle.studies for run_id in study.run_ids}
    strays = [run.id for run in bundle.runs if run.id not in named]
    if strays:
        yield _error("stray", f"{len(strays)} run(s) belong to no study of the bundle: {strays[0]}")


def _run(run: RunRecord, card: TaskCard) -> Iterator[tuple[str, str]]:
    if run.reproduce != reproduce_command(run.spec.method.slug, run.spec):
        yield "reproduce", "its command is not the one that repeats it"
    yield from run_problems(run, card)


def _isolation(runs: Sequence[RunRecord]) -> Findings:
    levels = {run.isolation.level for run in runs}
    if "L0" in levels:
        yield _error("isolation", "runs in the scorer's own process (L0) are not for publication")
    if "L1" in levels:
        yield _flag("isolation", "runs without a sandbox (L1): the method could reach its scores")
