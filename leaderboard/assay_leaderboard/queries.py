"""What can be asked of a folder of results: the library calls behind commands and Python's API."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from assay import paths
from assay.cards import SubmissionCard, TaskCard
from assay.errors import AssayError, UnknownName
from assay.plugins import registry
from assay.records.staleness import stale
from assay.records.store import Store
from assay.ruleset import RULESET

from assay_leaderboard.audit import false_positives
from assay_leaderboard.audit import tasks as task_audit
from assay_leaderboard.boards import board as boards
from assay_leaderboard.boards import search_spaces, translation, two_methods
from assay_leaderboard.boards.task_comparisons import TaskComparisons, all_comparisons
from assay_leaderboard.boards.task_details import detail
from assay_leaderboard.boards.task_records import TaskEvidence, from_folders
from assay_leaderboard.claims import ledger
from assay_leaderboard.claims.one_task import named_tasks
from assay_leaderboard.evidence import checkout
from assay_leaderboard.evidence.cells import CellEvidence
from assay_leaderboard.evidence.results_folder import (
    load_folder,
    open_folder,
    rules_of,
    together,
)
from assay_leaderboard.evidence.runs import Catalogue, Evidence
from assay_leaderboard.processes import cores_at_hand
from assay_leaderboard.schema.board import Board
from assay_leaderboard.schema.translation import Translation


def board(
    names: Collection[str],
    results: Path,
    *,
    published: bool = False,
    methods: Collection[str] = (),
    budget: int | None = None,
    epoch: str | None = None,
) -> Board:
    """The board of the selected tasks.

    Args:
        names: tasks, families, tiers or patterns; all tasks if there are none.
        results: folder of the user's results.
        published: add the published results; a run that both have is the published one.
        methods: show only these and the references; all if there are none.
        budget: points that each repetition's score is selected from, 1 for the defaults alone;
            None for all of the task's tier.
        epoch: take the repetitions that used this epoch's hidden seeds.

    Raises:
        UnknownName: there is no such task, method or epoch.
        AssayError: there is no record to show, `budget` is out of range, or the published log is
            broken.
    """
    _check_budget(budget)
    catalogue, evidence = read(names, results, published=published, flagged=True)
    _check_epoch(epoch, evidence)
    evidence = replace(evidence, epoch=epoch)
    _check_methods(methods, evidence, names, results)
    made = boards.build(evidence, catalogue, list(catalogue.tasks), RULESET, budget)
    return boards.only(made, list(methods)) if methods else made


def compare(
    a: str,
    b: str,
    names: Collection[str],
    results: Path,
    *,
    published: bool = False,
    budget: int | None = None,
) -> two_methods.ComparisonReport:
    """Two methods compared task by task. Arguments and errors are those of `board`."""
    _check_budget(budget)
    catalogue, evidence = read(names, results, published=published)
    _check_methods([a, b], evidence, names, results)
    return two_methods.compare(evidence, catalogue, (a, b), list(catalogue.tasks), RULESET, budget)


def judge(methods: Collection[str], results: Path, *, published: bool = False) -> ledger.Ledger:
    """The claims of `methods`, or of all submissions, held against the records.

    Raises:
        UnknownName: there is no such submission.
        AssayError: none of the cards claims anything, or there is no record.
    """
    cards = _claiming(methods)
    known = {slug: entry.card for slug, entry in registry.task_entries().items()}
    named = {
        slug
        for card in cards.values()
        for claim in card.claims
        for slug in named_tasks(claim, known)
    }
    catalogue, evidence = read(sorted(named), results, published=published)
    tasks, problems = all_comparisons(evidence, catalogue, RULESET)
    return ledger.evaluate(tasks, cards, known, RULESET, problems, evidence.rules.view)


def audit(names: Collection[str], results: Path, *, published: bool = False) -> task_audit.Audit:
    """How well tasks tell methods apart, and how often tests err. Arguments as of `board`."""
    catalogue, evidence = read(names, results, published=published, empty=True)
    folders = [open_folder(folder) for folder in [paths.RESULTS] * published + [results]]
    cards = {slug: card for slug, (card, _) in catalogue.tasks.items()}
    tasks: list[task_audit.Audited] = []
    compared: list[TaskComparisons] = []
    problems: list[str] = []
    arms: dict[false_positives.CellName, false_positives.Arms] = {}
    for slug in cards:
        found = from_folders(slug, folders, catalogue, RULESET, rules=evidence.rules)
        problems += found.problems
        own = found.comparisons()
        tasks.append(_audited(found, own))
        if own.cells:
            compared.append(own)
            for cell in own.cells:
                if found_arms := _arms(own.card, cell, Store(results), catalogue, problems):
                    arms[slug, cell.method] = found_arms
    return task_audit.audit(
        tasks,
        {slug: entry.card for slug, entry in registry.method_entries().items()},
        boards.summaries(compared, catalogue),
        false_positives.control(arms, cards, RULESET),
        RULESET,
        problems,
    )


def translate(names: Collection[str], results: Path, *, published: bool = False) -> Translation:
    """Best learning rates beside the reference's, and ranges whose ends win.

    Arguments and errors are those of `board`.
    """
    catalogue, evidence = read(names, results, published=published)
    folders = [open_folder(folder) for folder in [paths.RESULTS] * published + [results]]
    tasks, problems = [], set[str]()
    for slug, (card, _) in catalogue.tasks.items():
        found = from_folders(slug, folders, catalogue, RULESET, rules=evidence.rules)
        problems.update(found.problems)
        ranges = {c.method: search_spaces.range_uses(c, found.runs) for c in found.cells}
        if any(ranges.values()):
            tasks.append(translation.of_task(card, found.cells, ranges))
    return translation.assembled(tasks, RULESET, evidence.rules.view, sorted(problems))


def _audited(found: TaskEvidence, compared: TaskComparisons) -> task_audit.Audited:
    """What the audit reads of one task."""
    if not found.cells:
        return task_audit.Audited(found.card)
    reference = compared.reference
    return task_audit.Audited(
        found.card,
        boards.table(compared),
        detail(found, compared),
        reference.values() if reference and reference.state == "ranked" else None,
    )


def _arms(
    card: TaskCard, cell: CellEvidence, store: Store, catalogue: Catalogue, problems: list[str]
) -> false_positives.Arms | None:
    """The two arms of the A/A control of a method on a task; None if it was not run.

    Arms have the repetitions of which both have every point.
    """
    if cell.state != "ranked" or cell.local:
        return None
    refs = catalogue.tasks[card.slug][1], catalogue.methods[cell.method][1]
    runs = (run for run in store.runs(problems, card.slug, cell.method))
    current = [run for run in runs if not stale(run.spec, *refs, RULESET)]
    control = false_positives.control_scores(current, card, RULESET)
    ordinary = cell.scores()
    both = [r for r in control if r < len(ordinary) and cell.counted[r]]
    if not both:
        return None
    second = np.array([control[r] for r in both])
    return false_positives.Arms(ordinary[both], second)


def read(
    names: Collection[str],
    results: Path,
    *,
    published: bool = False,
    flagged: bool = False,
    empty: bool = False,
) -> tuple[Catalogue, Evidence]:
    """The cards and code hashes of the selected tasks, and the evidence on them.

    The rules of the published board apply to a published folder alone, without `published`.

    Args:
        names: tasks, families, tiers or patterns; all tasks if there are none.
        results: folder of the user's results.
        published: add the published results; a run that both have is the published one.
        flagged: flag suspicious results.
        empty: there may be no record at all.

    Raises:
        UnknownName: a name matches no task.
        AssayError: there is no record and `empty` is not set, or the published log is broken.
    """
    known = registry.task_entries()
    selected = registry.select_tasks(names or known)
    slugs = {entry.card.slug for entry in selected}
    methods = registry.method_entries()
    finder = checkout.flag_finder(selected, methods.values()) if flagged else None
    evidence = load_folder(results, slugs, {*known, *slugs}, finder, cores_at_hand())
    if published:
        theirs = load_folder(paths.RESULTS, slugs, {*known, *slugs}, finder, cores_at_hand())
        evidence = together([theirs, evidence])
    rules = rules_of(open_folder(results), with_local=published)
    if not any((evidence.runs, evidence.past, evidence.former, empty)):
        asked = " ".join(names) if len(names) <= 3 else f"any of {len(selected)} tasks"
        what = f" for {asked}" if asked else ""
        unread = "".join(f"\nnot shown: {problem}" for problem in evidence.problems)
        others = "" if published else "; --with-local shows the published ones"
        raise AssayError(
            f"no results{what} in {results}; make some with: assay run METHOD --tier lite --quick, "
            f"or point --results or ASSAY_RESULTS at a folder that has some{others}{unread}"
        )
    seen = _recorded(evidence)
    seen |= {entry.card.reference for entry in selected}
    shown = [entry for slug, entry in methods.items() if slug in seen]
    return checkout.catalogue(selected, shown), replace(evidence, rules=rules)


def _claiming(names: Collection[str]) -> dict[str, SubmissionCard]:
    """The cards of the named submissions, or of all, that claim something.

    Raises:
        UnknownName: there is no such submission.
        AssayError: none of their cards claims anything.
    """
    known = {slug: entry.card for slug, entry in registry.method_entries().items()}
    for name in names:
        if name not in known:
            raise UnknownName("method", name, known)
    found = {slug: known[slug] for slug in sorted(names or known) if known[slug].claims}
    if not found:
        raise AssayError(
            f"nothing is claimed on the card of {', '.join(names) or 'any method'}; "
            "expected [[claims]] in its card.toml"
        )
    return found


def _recorded(evidence: Evidence) -> set[str]:
    """The methods that have a run of the current record format."""
    return {run.method.slug for run in evidence.runs.values()}


def _check_budget(budget: int | None) -> None:
    """Check that a tuning budget, if one is given, is one.

    Raises:
        AssayError: it is out of range.
    """
    most = max(RULESET.tuning_points.values())
    if budget is not None and not 1 <= budget <= most:
        raise AssayError(f"expected a budget of 1 (the defaults) to {most} points, got {budget}")


def _check_epoch(epoch: str | None, evidence: Evidence) -> None:
    """Check that there are results of this epoch, if one is given.

    Raises:
        UnknownName: there are none.
    """
    known = {run.epoch for run in evidence.runs.values() if run.epoch is not None}
    if epoch is not None and epoch not in known:
        raise UnknownName("epoch with results here", epoch, known)


def _check_methods(
    methods: Collection[str], evidence: Evidence, tasks: Collection[str], results: Path
) -> None:
    """Check that every method has a record here; `tasks` and `results` are those asked for.

    Raises:
        UnknownName: there is no method of that name.
        AssayError: it has no record on the selected tasks.
    """
    recorded = _recorded(evidence)
    for name in methods:
        if name in recorded:
            continue
        known = {*registry.method_entries(), *recorded}
        if name not in known:
            raise UnknownName("method", name, known)
        chosen = [word for task in tasks for word in ("--task", task)] or ["--tier", "lite"]
        command = ["assay", "run", name, *chosen, "--quick", "--results", str(results)]
        raise AssayError(f"no results of {name} here; make some with: {shlex.join(command)}")
