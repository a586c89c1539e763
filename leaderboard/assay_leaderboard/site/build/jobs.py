"""What the processes of a build do: each job writes files of its own, and says which.

What a job is given beside its arguments is shared by all jobs of its stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from assay.cards import SubmissionCard, TaskCard
from assay.ruleset import Ruleset

from assay_leaderboard.claims import ledger as claims
from assay_leaderboard.site.build import family_part, task_part
from assay_leaderboard.site.build.family_part import Member
from assay_leaderboard.site.build.inputs import Context
from assay_leaderboard.site.build.task_part import LONG_TABLE
from assay_leaderboard.site.exports import atom, bibtex, csv_tables, json_twins
from assay_leaderboard.site.html.links import DATA, STATIC, Links
from assay_leaderboard.site.output import OutputFile, described, write
from assay_leaderboard.site.pages import compare_data
from assay_leaderboard.site.views import SiteView
from assay_leaderboard.statistics.result_cache import ResultCache

MEMOS = "memos"
"""Where what groups computed lies until it is kept; not part of the site."""

Content = Iterable[tuple[str, str | bytes]]
"""Paths and what to write there."""
Made = tuple[str, list[OutputFile]]
"""A part as JSON, which is also what a cache keeps, and its files."""


def task(context: Context, slug: str, root: Path, processes: int) -> Made:
    """A task's part (parts.TaskPart as JSON) and its files."""
    part, files = task_part.make(context, slug, root, processes)
    return part.model_dump_json(), files


@dataclass(frozen=True)
class Read:
    """What the tasks said."""

    tasks: Mapping[str, TaskCard]
    """Every task of the checkout."""
    methods: Mapping[str, SubmissionCard]
    members: Mapping[str, Member]
    """By task: those with something to show."""
    links: Links
    ruleset: Ruleset
    root: Path


@dataclass(frozen=True)
class TaskGroup:
    """Which tasks to rank together."""

    name: str
    slugs: Sequence[str]
    known: Path | None
    """What was computed for it the last time, if that is known."""
    memo: str
    """The path of what is computed now."""


def group(read: Read, own: TaskGroup) -> Made:
    """A group's part (summaries.GroupPart as JSON), its page, and what is known the next time."""
    members = [read.members[slug] for slug in own.slugs]
    memo = ResultCache.load(own.known)
    part = family_part.make(own.name, members, read.ruleset, memo)
    memo.save(read.root / own.memo)
    pages = family_part.pages(part, members, read.methods, read.links)
    files = [described(read.root, own.memo), *_written(read.root, pages.items())]
    return part.model_dump_json(), files


def ledger(read: Read, slugs: Sequence[str]) -> Made:
    """What the claims on all cards come to (claims.Ledger as JSON), given the tasks they name."""
    contests = [read.members[slug].contests["tuned"] for slug in slugs]
    found = claims.evaluate(contests, read.methods, read.tasks, read.ruleset)
    return found.model_dump_json(), []


def long_table(read: Read) -> list[OutputFile]:
    """The long table, put together from what the tasks left."""
    folder = read.root / LONG_TABLE
    left = [(folder / f"{slug}.csv", folder / f"{slug}.arrow") for slug in read.members]
    names = [f"{DATA}/results.csv", f"{DATA}/results.parquet"]
    csv_tables.write_long(left, *(read.root / name for name in names))
    return [described(read.root, name) for name in names]


def beforehand(context: Context, root: Path) -> list[OutputFile]:
    """What rests on cards and the log alone: feeds, citations of methods, schemas, styles."""
    return _written(root, _beforehand(context))


def _beforehand(context: Context) -> Content:
    links, (tasks, methods) = context.links, (context.catalogue.tasks, context.catalogue.methods)
    titles = {slug: tasks[slug][0].title for slug in links.tasks}
    cards = {slug: methods[slug][0] if slug in methods else None for slug in links.methods}
    named = {slug: card.title if card else slug for slug, card in cards.items()}
    yield from atom.feeds(context.shelves[0].log, titles, named).items()
    for slug, card in cards.items():
        yield f"method/{slug}/cite.bib", bibtex.of_method(slug, card)
    yield from json_twins.schemas()
    folder = resources.files("assay_leaderboard.site").joinpath("static")
    for path in folder.iterdir():
        yield f"{STATIC}/{path.name}", path.read_bytes()


@dataclass(frozen=True)
class Drawing:
    """What pages beyond single tasks are drawn from."""

    view: SiteView
    links: Links
    shown: Sequence[str]
    """Tasks with something to show."""
    together: Mapping[str, Mapping[str, str]]
    """What the compare page says of the methods of each group."""
    root: Path


def pages(
    drawing: Drawing, draw: Callable[[SiteView, Links], Mapping[str, str]]
) -> list[OutputFile]:
    """Pages of one kind (pages.BOARD_PAGES)."""
    return _written(drawing.root, draw(drawing.view, drawing.links).items())


def other(drawing: Drawing, make: Callable[[Drawing], Content]) -> list[OutputFile]:
    """Other files of one kind (OTHERS)."""
    return _written(drawing.root, make(drawing))


def _written(root: Path, content: Content) -> list[OutputFile]:
    return [write(root, path, text) for path, text in content]


def _board(drawing: Drawing) -> Content:
    return json_twins.of_board("board", drawing.view.board)


def _defaults(drawing: Drawing) -> Content:
    return json_twins.of_board("defaults", drawing.view.defaults)


def _twins(drawing: Drawing) -> Content:
    return json_twins.of_site(drawing.view)


def _compared(drawing: Drawing) -> Content:
    tasks = {slug: task_part.compared(drawing.root, slug) for slug in drawing.shown}
    return compare_data(drawing.view, tasks, drawing.together)


OTHERS = (_compared, _board, _defaults, _twins)
"""What is not a page, the longest work first."""
