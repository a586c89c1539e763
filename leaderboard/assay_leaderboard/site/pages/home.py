"""The first page: which method to use, by kind of task and tuning budget."""

from __future__ import annotations

from collections.abc import Iterator

from assay_leaderboard.audit.false_positives import ControlReport
from assay_leaderboard.audit.tasks import Audit
from assay_leaderboard.format import OTHER_DRAWS
from assay_leaderboard.site.html.links import SiteMap
from assay_leaderboard.site.html.templates import page
from assay_leaderboard.site.pages import recommendation
from assay_leaderboard.site.pages.notices import notices
from assay_leaderboard.site.views import SiteView


def home_page(view: SiteView, site: SiteMap) -> dict[str, str]:
    """/index.html."""
    answers = recommendation.by_budget(view)
    rows = [row for table in view.board.tasks for row in table.rows]
    return page(
        site,
        "",
        "home.html",
        answers=answers,
        largest=max(answers, default=0),
        budget_name=recommendation.budget_name,
        notices=notices(view.board.tasks),
        view=view.board.view,
        hidden={t.task: t.seeds.epoch for t in view.board.tasks if t.seeds.epoch},
        sentences=[*_sentences(view)],
        other_draws=OTHER_DRAWS,
        n_methods=len({row.method for row in rows}),
        n_tasks=len(view.board.tasks),
        n_runs=view.n_runs,
        counts=view.ledger.counts,
        n_unchecked=sum(view.ledger.counts_unchecked.values()),
        ruleset=view.ruleset,
    )


def _sentences(view: SiteView) -> Iterator[str]:
    """What the audit of the suite found, in plain words."""
    unanchored = sorted({slug for family in view.board.families for slug in family.unanchored})
    if unanchored:
        yield f"{_tasks(unanchored)} no anchor yet and count in no summary: {_some(unanchored)}."
    audit = view.audit
    judged = [task for task in audit.tasks if not view.tasks[task.task].deterministic]
    bad = sorted(task.task for task in judged if task.verdict == "problem")
    unknown = sorted(task.task for task in judged if task.verdict == "not measured")
    sound = len(judged) - len(bad) - len(unknown)
    if len(unknown) > 1 and len(unknown) == len(judged):
        yield f"None of the {len(judged)} tasks is measured by the audit of the suite yet."
        yield from _of_suite(audit)
        return
    yield (
        f"{sound} of {len(judged)} tasks pass the audit of the suite, which asks whether a task "
        "can tell methods apart."
        + (f" {len(bad)} fail it: {_some(bad)}." if bad else "")
        + (f" {len(unknown)} have too few results to be judged yet." if unknown else "")
    )
    yield from _of_suite(audit)


def _of_suite(audit: Audit) -> Iterator[str]:
    """What was found of the tiers and of the tests."""
    yield audit.lite_predicts or (
        "Whether ranks on the cheap lite tier predict those on the standard tier is not measured "
        "yet."
    )
    yield _control(audit.control)


def _control(control: ControlReport | None) -> str:
    """How often the tests call a method different from itself."""
    if control is None:
        return "Not measured yet: how often the tests call a method different from itself."
    rejected, covered = control.pairs.rejected, control.pairs.covered
    low, high = 100 * rejected.interval.low, 100 * rejected.interval.high
    return (
        f"Methods against themselves, tuned anew under other seeds ({control.n_methods} on "
        f"{control.n_tasks} tasks): {rejected.count} of {rejected.n} pairs were called different "
        f"at {100 * control.alpha:g} % (interval {low:.0f} to {high:.0f} %), and {covered.count} "
        f"of {covered.n} intervals hold the true difference, 0."
    )


def _tasks(names: list[str]) -> str:
    return "1 task has" if len(names) == 1 else f"{len(names)} tasks have"


def _some(names: list[str], most: int = 12) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
