"""The first page: which method to use, by kind of task and tuning budget."""

from __future__ import annotations

from collections.abc import Iterator

from assay_leaderboard.audit.tasks import Audit
from assay_leaderboard.format import NORMALISED, OTHER_DRAWS
from assay_leaderboard.site.html.links import SiteMap
from assay_leaderboard.site.html.templates import human, page
from assay_leaderboard.site.html.text import minus
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
        sentences=[*_sentences(view)],
        other_draws=OTHER_DRAWS,
        n_methods=len({row.method for row in rows}),
        n_tasks=len(view.board.tasks),
        n_runs=view.n_runs,
        counts=view.ledger.counts,
        ruleset=view.ruleset,
    )


def _sentences(view: SiteView) -> Iterator[str]:
    """What the audit of the suite found, in plain words."""
    unanchored = sorted({slug for family in view.board.families for slug in family.unanchored})
    if unanchored:
        yield f"{_tasks(unanchored)} no anchor yet and count in no summary: {_some(unanchored)}."
    if view.controls is None:
        yield (
            "The suite's audit of itself was not given to this build: neither whether its tasks "
            "tell methods apart, nor how well lite results predict standard ones, nor how often "
            "the tests call a method different from itself is known here."
        )
        return
    yield from _audited(view.controls)


def _audited(audit: Audit) -> Iterator[str]:
    bad = sorted(task.task for task in audit.tasks if task.verdict == "problem")
    unknown = sorted(task.task for task in audit.tasks if task.verdict == "not measured")
    sound = len(audit.tasks) - len(bad) - len(unknown)
    yield f"Of {len(audit.tasks)} tasks that were audited {sound} are sound." + (
        f" {len(bad)} fail the audit: {_some(bad)}." if bad else ""
    ) + (f" {len(unknown)} are not measured yet: {_some(unknown)}." if unknown else "")
    known = [found for found in audit.calibration if found.tau is not None]
    for found in known:
        tau = minus(NORMALISED.span(found.tau, found.interval, "+"))
        yield (
            f"Do lite ranks predict standard ranks? {human(found.family).capitalize()}: Kendall's "
            f"tau {tau} over {len(found.methods)} methods (1 = same order, 0 = unrelated)."
        )
    unmeasured = [human(f.family) for f in audit.calibration if f.tau is None]
    if unmeasured or not known:
        where = f" for {', '.join(unmeasured)}" if unmeasured else ""
        yield f"Whether lite ranks predict standard ranks is not measured yet{where}."
    if audit.control is None:
        yield "How often the tests call a method different from itself is not measured yet."


def _tasks(names: list[str]) -> str:
    return "1 task has" if len(names) == 1 else f"{len(names)} tasks have"


def _some(names: list[str], most: int = 12) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
