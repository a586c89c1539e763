"""Checks of a bundle that need no run (tier T1).

Every number is compared with the cards, the ruleset and the other records. That the source really
gives these scores is for a replay to show. The submission's code is read as text and never
imported; tasks are those of this checkout.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from assay.cards import SubmissionCard, TaskCard
from assay.detectors import detect, is_one_of
from assay.epochs import EpochStatus, epochs, epochs_folder
from assay.errors import BundleError, EpochError, FormerBundle
from assay.identity import source_hash
from assay.plugins.files import EQUATIONS, is_data, size_problems
from assay.plugins.registry import illegal, method_entries, method_ref, task_entries, task_ref
from assay.publication.cell_checks import by_cell, cell_problems
from assay.publication.origin_checks import origin_problems
from assay.publication.record_checks import run_problems
from assay.records import former
from assay.records.bundle import Bundle, read_bundle
from assay.records.schema import RunRecord
from assay.records.selection import results
from assay.records.staleness import stale
from assay.ruleset import SCORER_VERSION
from assay.syntax import NotParsed, parse_toml
from assay.untrusted import text as texts

CARD, METHOD = "card.toml", "method.py"
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
    found, card = _checked(bundle, published)
    return found if card is None else [*found, *_suspicions(bundle, card, published)]


def errors(bundle: Bundle, published: Sequence[Bundle] = ()) -> list[str]:
    """The messages of the errors among all problems, without the detectors' work."""
    return [found.message for found in _checked(bundle, published)[0] if found.severity == "error"]


def _checked(
    bundle: Bundle, published: Sequence[Bundle]
) -> tuple[list[BundleProblem], TaskCard | None]:
    """All problems but what detectors flag; the task's card if its numbers could be checked."""
    found = [*_source(bundle), *_cell(bundle), *_texts(bundle), *_duplicates(bundle, published)]
    entry = task_entries().get(bundle.manifest.task.slug)
    if entry is None:
        reason = f"this checkout has no task {bundle.manifest.task.slug} to check the numbers with"
        return [*found, _error("task", reason)], None
    task = task_ref(entry)
    reasons = [stale(run.spec, task) for run in bundle.runs]
    if reason := next(filter(None, reasons), ""):
        if not all(reasons):  # the current ones would count, and be checked by nobody
            n = sum(map(bool, reasons))
            mixed = f"{n} of {len(reasons)} runs are stale ({reason}); publish the others alone"
            return [*found, _error("stale", mixed)], None
        # Stale records may be sound, but the checks below hold them against the code of now.
        return [*found, _flag("stale", f"{reason}; its numbers were not checked")], None
    found += _entered(bundle, entry.card)
    for runs in by_cell(bundle.runs):
        found += _cell_as_a_whole(runs, entry.card)
    kept = {run.id for run in results(bundle.runs, entry.card.metric)}
    known = _epochs()
    for run in bundle.runs:
        drawn = run.spec.point == 0 or run.id in kept
        problems = [
            *run_problems(run, entry.card, has_curve=drawn),
            *origin_problems(run, known),
        ]
        found += [_error(code, f"run {run.id}: {said}") for code, said in problems]
    return [*found, *_older(bundle.runs)], entry.card


def check_file(path: Path, published: Sequence[Bundle] = ()) -> list[BundleProblem]:
    """All problems of the bundle in a file; one of ruleset 1 is read and not checked further.

    Args:
        path: the file.
        published: see verify.
    """
    try:
        return verify(read_bundle(path), published)
    except FormerBundle:
        pass
    except BundleError as error:
        return [_error("unreadable", str(error))]
    try:
        former.read_bundle(path)
    except BundleError as error:
        return [_error("unreadable", str(error))]
    reason = "made under ruleset 1 and kept for reference; its numbers were not checked"
    return [_flag("former", reason)]


def readable(folder: Path, task: str = "*") -> list[Bundle]:
    """The bundles of this ruleset in a folder (of one task) that can be read.

    records.log.check reports the others.
    """
    bundles = []
    for path in sorted(folder.glob(f"{task}--*.zip")):
        with contextlib.suppress(BundleError):
            bundles.append(read_bundle(path))
    return bundles


def _suspicions(bundle: Bundle, card: TaskCard, published: Sequence[Bundle]) -> Findings:
    """Flags of the detectors, given the baselines' published runs and this checkout's methods."""
    own, entries = bundle.manifest.method.slug, method_entries()
    baselines = [method_ref(entry) for entry in entries.values() if entry.card.is_baseline]
    baseline = [
        run
        for other in published
        if other.manifest.task == bundle.manifest.task
        and is_one_of(other.manifest.method, baselines)
        for run in other.runs
    ]
    others = {slug: entry.contents for slug, entry in entries.items() if slug != own}
    flags = detect(bundle.runs, bundle.source, card, baseline, others=others)
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
        if not is_data(name):
            yield from (_error(*found) for found in text_problems(f"source/{name}", data))
    if source_hash(files.items()) != method.code_hash:
        yield _error("source", "the source is not the one the records were made with (its hash)")


def text_problems(name: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Code and message of each reason why a file of code is no text that all readers see alike."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        yield "source", f"{name} is not UTF-8 text"
        return
    if reason := texts.unsafe(text, lines=True):
        yield "text", f"{name} {reason}"
    for line in text.splitlines()[:2] if name.endswith(".py") else ():
        cookie = _COOKIE.match(line)
        if cookie and cookie[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
            yield "source", (f"{name} declares the encoding {cookie[1][:40]}: Python would read "
                             "another text than a reader sees")  # fmt: skip


def _data(bundle: Bundle) -> Findings:
    """The files that are no code are those that the card lists; all are within bounds."""
    files = bundle.source
    card = _card(bundle)
    listed = card.data if isinstance(card, SubmissionCard) else []
    for name in sorted({*filter(is_data, files), *listed}):
        if name not in files:
            yield _error("source", f"source/{name} is missing, which the card lists under `data`")
        elif name not in listed:
            yield _error("source", f"source/{name}: only Python files, card.toml and the data "
                         "files that it lists are published")  # fmt: skip
    if EQUATIONS in files:
        yield _error("source", f"source/{EQUATIONS} is no part of what ran: pack it again")
    yield from (_error("source", problem) for problem in size_problems(files))


def _card(bundle: Bundle) -> SubmissionCard | str:
    """The submission's card, or what is wrong with it."""
    try:
        return SubmissionCard(**parse_toml(bundle.source.get(CARD, b"")))
    except ValidationError as error:
        first = error.errors()[0]
        return f"source/{CARD}: {'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}"
    except (NotParsed, TypeError) as error:
        return f"source/{CARD}: {str(error)[:200]}"


def _cell(bundle: Bundle) -> Findings:
    """Manifest, card and records are all of one task and one method, and no record is twice."""
    manifest = bundle.manifest
    own = (manifest.task, manifest.method)
    for run in bundle.runs:
        if (run.spec.task, run.spec.method) != own:
            name = f"run {run.id}"
            yield _error("cell", f"{name} is of another task, method or version than the manifest")
    if len({run.spec.epoch for run in bundle.runs}) > 1:
        yield _error("epoch", "its runs have the seeds of several epochs; expected one bundle for "
                     "the public seeds and one for each epoch")  # fmt: skip
    for run_id, n in Counter(run.id for run in bundle.runs).items():
        if n > 1:
            yield _error("cell", f"run {run_id} stands there {n} times")
    card = _card(bundle)
    if isinstance(card, str):
        yield _error("card", card)
    elif (card.slug, card.version) != (manifest.method.slug, manifest.method.version):
        yield _error("card", f"the card is of {card.slug[:50]} version {card.version}, not of this")


def _texts(bundle: Bundle) -> Findings:
    """No text could steer a terminal, a page or a spreadsheet, or holds private data."""
    for run in bundle.runs:
        name = f"run {run.id}"
        for where, text in texts.strings(run.model_dump(mode="json")):
            derived = where == "reproduce"  # from the spec, when the bundle is read
            if reason := _bad_text(text):
                yield _error("text", f"{name}: {where[:100]} {reason}")
            elif not derived and (private := texts.private(text)):
                yield _error("private", f"{name}: {where[:100]} holds {private}")
            elif where == "message" and texts.formula(text):
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


def _training(run: RunRecord) -> tuple[int, str]:
    """Equal for runs that would end alike if their methods were the same."""
    return run.spec.repetition, repr(sorted(run.spec.hyperparameters.items()))


def _outcome(run: RunRecord) -> tuple[object, ...]:
    return run.status, run.result, run.weights_sha256


def _entered(bundle: Bundle, card: TaskCard) -> Findings:
    own = _card(bundle)
    if isinstance(own, SubmissionCard) and (reason := illegal(own, card)):
        yield _error("entry", reason)
    for run in bundle.runs:
        if (run.family, run.tier) != (card.family, card.tier):
            yield _error("cell", f"run {run.id}: family or tier is not the task's")


def _cell_as_a_whole(runs: Sequence[RunRecord], card: TaskCard) -> Findings:
    """Every planned run of a cell is there, at the planned hyperparameters, and no other."""
    spec = runs[0].spec
    parts = (spec.compute.accelerator, f"{spec.compute.threads} threads", spec.epoch or "")
    name = ", ".join(part for part in parts if part)
    for code, said in cell_problems(runs, card):
        yield _error(code, f"cell ({name}): {said}")
    if len({run.environment.machine_key for run in runs}) > 1:
        yield _flag("machines", f"cell ({name}): its runs are of several kinds of machines, whose "
                    "seconds cannot be compared")  # fmt: skip


def _epochs() -> dict[str, EpochStatus]:
    """The epochs with a commitment in this checkout; none if their files are malformed."""
    with contextlib.suppress(EpochError):
        return {status.name: status for status in epochs(epochs_folder())}
    return {}


def _older(runs: Sequence[RunRecord]) -> Findings:
    """Runs of an earlier scorer, which cannot be replayed any more."""
    if n := sum(1 <= run.scorer_version < SCORER_VERSION for run in runs):
        yield _flag("stale", f"{n} runs were scored by an earlier version of the scorer")
