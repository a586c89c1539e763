"""Records to a folder of static files: all of it, or nothing.

Tasks are read, computed and drawn in worker processes; then the families, each from what its tasks
said; then the pages that need all of them. The same records make the same bytes, in however many
processes, and whether parts were kept from an earlier build or made now.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from markupsafe import Markup

from leaderboard import claims
from leaderboard.board import assembled, groups
from leaderboard.claims import Ledger
from leaderboard.contest import Contest
from leaderboard.hearing import named_tasks
from leaderboard.paired import Part
from leaderboard.published import unread
from leaderboard.site import citing, feeds, sheets, twins
from leaderboard.site.cache import Cache, Model
from leaderboard.site.folder import File, State, described, staged, state, write
from leaderboard.site.gathering import Keys, gather
from leaderboard.site.links import DATA, STATIC
from leaderboard.site.pages import board_pages, compare_data
from leaderboard.site.parts import LONG_TABLE, Context, TaskPart
from leaderboard.site.reports import Reports
from leaderboard.site.reports import read as read_reports
from leaderboard.site.summaries import MEMOS, GroupPart, Member
from leaderboard.site.views import Method, SiteView
from leaderboard.site.workers import Group, Workers, cores, uncollected
from leaderboard.tables import Basis, Board
from suite import registry
from suite.cards import FAMILIES, SubmissionCard, TaskCard
from suite.errors import AssayError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to build, and how."""

    out: Path = Path("site")
    results: Path | None = None
    """Folder of results; None: what is published."""
    local: Path | None = None
    """The user's own records, shown beside."""
    scorecard: Path | None = None
    """What `assay sandbox --json` printed, if it is not among the results."""
    queue: Path | None = None
    """The same of `assay queue --json`."""
    jobs: int | None = None
    """Processes; None: one a core."""
    cache: bool = True


class Built(Part):
    """What a build did."""

    out: Path
    n_tasks: int
    n_kept: int
    """Tasks that were taken over from an earlier build."""
    n_runs: int
    n_files: int
    n_bytes: int
    problems: list[str]
    """What could not be read or is not shown."""


class _Finished(Part):
    """The site that was built last."""

    built: Built
    files: State
    """Its folder."""


def build(request: Request, say: Say = lambda text: None) -> Built:
    """Build the site and put it in the place of the one before.

    Args:
        request: what to build.
        say: told what is being done.

    Raises:
        LogError: the published log is broken, so that nothing in it can be believed.
        AssayError: there is nothing to show, or the folder is not the build's to replace.
        StorageError: the folder cannot be written.
    """
    results = request.results or registry.RESULTS
    folders = [results, *([request.local] if request.local else [])]
    context = gather(folders, with_local=request.local is not None)
    if not context.links.tasks:
        raise AssayError(
            f"no results in {' or '.join(map(str, folders))}; make some with: assay run METHOD "
            "--tier lite --quick, and name their folder with --results"
        )
    reports = read_reports(results, request.scorecard, request.queue)
    cache = Cache.of(results) if request.cache else None
    with uncollected():
        work = _Build(context, reports, cache, request.jobs or cores(), say)
        if built := work.unchanged(request.out):
            return built
        with staged(request.out) as root:
            built = work.build(request.out, root)
        work.finished(built)
    return built


class _Build:
    """One build under way."""

    def __init__(
        self, context: Context, reports: Reports, cache: Cache | None, jobs: int, say: Say
    ) -> None:
        self.context, self.reports, self.cache, self.say = context, reports, cache, say
        self.keys = Keys(context)
        self.workers = Workers(context, jobs)
        cards = {slug: card for slug, (card, _) in context.catalogue.tasks.items()}
        order = sorted(
            context.links.tasks, key=lambda slug: (FAMILIES.index(cards[slug].family), slug)
        )
        self.task_keys = {slug: self.keys.task(slug) for slug in order}
        self.log = context.shelves[0].log
        self.unread = {p for shelf in context.shelves for p in unread(shelf, cards)}
        self.key = self.keys.site(
            self.task_keys, self.log[-1].hash if self.log else "", reports, sorted(self.unread)
        )
        self.files: list[File] = []
        self.n_kept = 0

    def unchanged(self, out: Path) -> Built | None:
        """What to say of the site at `out` if it is the one that would be built."""
        kept = self.cache and self.cache.restore("site", self.key, out, _Finished)
        if not kept or kept[0].files != state(out):
            return None
        return kept[0].built.model_copy(update={"out": out, "n_kept": len(self.task_keys)})

    def finished(self, built: Built) -> None:
        """Remember what was built."""
        if self.cache:
            done = _Finished(built=built, files=state(built.out))
            self.cache.keep("site", self.key, built.out, done.model_dump_json(), [])

    def build(self, out: Path, root: Path) -> Built:
        self.root = root
        with self.workers:
            parts = self.tasks()
            shown = {slug: part for slug, part in parts.items() if not part.empty}
            groups = self.groups(shown)
        self.say("writing the long table")
        n_runs = self.long_table(list(parts))
        self.say("drawing the board")
        problems = self.problems(parts)
        view = self.view(shown, groups, problems, n_runs)
        self.write(board_pages(view, self.context.links).items())
        compared = {slug: part.compared for slug, part in shown.items()}
        summaries = [s.name for s in (*view.board.families, view.board.overall) if s]
        together = {name: groups[name].compared for name in summaries}
        self.write(compare_data(view, compared, together))
        self.write(twins.of_board(view))
        self.write(self.feeds(view, parts))
        self.write(_static())
        self.write([twins.manifest(self.files, view.version, view.ruleset.version)])
        n_bytes = sum(file.n_bytes for file in self.files)
        return Built(
            out=out,
            n_tasks=len(shown),
            n_kept=self.n_kept,
            n_runs=n_runs,
            n_files=len(self.files),
            n_bytes=n_bytes,
            problems=problems,
        )

    def write(self, content: Iterable[tuple[str, str | bytes]]) -> None:
        """Write files by their paths."""
        self.files += [write(self.root, path, text) for path, text in content]

    def tasks(self) -> dict[str, TaskPart]:
        """The part of every task with results, by family and slug."""
        found: dict[str, TaskPart] = {}
        for slug, key in self.task_keys.items():
            if kept := self.kept(f"task-{slug}", key, TaskPart):
                found[slug] = kept
        self.n_kept = len(found)
        missing = [slug for slug in self.task_keys if slug not in found]
        for done, (slug, text, files) in enumerate(self.workers.tasks(missing, self.root)):
            found[slug] = TaskPart.model_validate_json(text)
            self.files += files
            if self.cache:
                self.cache.keep(f"task-{slug}", self.task_keys[slug], self.root, text, files)
            self.say(f"read and drawn: {done + 1} of {len(missing)} tasks")
        return {slug: found[slug] for slug in self.task_keys}

    def kept(self, name: str, key: str, model: type[Model]) -> Model | None:
        """A part of an earlier build, if nothing it depends on has changed."""
        kept = self.cache.restore(name, key, self.root, model) if self.cache else None
        if kept is None:
            return None
        self.files += kept[1]
        return kept[0]

    def groups(self, parts: Mapping[str, TaskPart]) -> dict[str, GroupPart]:
        """What tasks say together, by family and "overall"."""
        cards = {slug: self.context.catalogue.tasks[slug][0] for slug in parts}
        named = groups(list(cards.values()), lambda card: card)
        members = {name: [card.slug for card in found] for name, found in named.items()}
        keys = {
            name: self.keys.together(name, {slug: self.task_keys[slug] for slug in slugs})
            for name, slugs in members.items()
        }
        found: dict[str, GroupPart] = {}
        for name, key in keys.items():
            if kept := self.kept(f"group-{name}", key, GroupPart):
                found[name] = kept
        missing = [
            (name, self.group(name, [Member.of(cards[slug], parts[slug]) for slug in slugs]))
            for name, slugs in sorted(members.items(), key=lambda item: -len(item[1]))
            if name not in found
        ]
        if missing:
            self.say(f"ranking {len(missing)} groups of tasks")
        for name, text, files in self.workers.groups(missing):
            found[name] = GroupPart.model_validate_json(text)
            self.files += files
            if self.cache:
                self.cache.keep(f"group-{name}", keys[name], self.root, text, files)
        return {name: found[name] for name in members}

    def group(self, name: str, members: Sequence[Member]) -> Group:
        """What a group is made from; most of its bootstraps are those of the last time."""
        memo = self.memo(name)
        known = self.cache.newest(f"group-{name}", memo) if self.cache else None
        return Group(members, known, self.root, memo)

    def memo(self, name: str) -> str:
        """The path of what a group computes: other code may compute something else."""
        return f"{MEMOS}/{name}-{self.keys.code}.memo"

    def view(
        self,
        parts: Mapping[str, TaskPart],
        groups: Mapping[str, GroupPart],
        problems: list[str],
        n_runs: int,
    ) -> SiteView:
        """Everything that pages beyond single tasks are made from."""
        context, catalogue = self.context, self.context.catalogue
        tasks = {slug: found[0] for slug, found in catalogue.tasks.items()}
        cards = {slug: found[0] for slug, found in catalogue.methods.items()}
        reports = self.reports
        return SiteView(
            board=self.board("tuned", parts, groups, problems),
            defaults=self.board("defaults", parts, groups, problems),
            budgets=[table for group in groups.values() for table in group.budgets],
            ledger=self.ledger(parts, cards, tasks, problems),
            methods=_methods(context.links.methods, cards, parts),
            tasks=tasks,
            log=self.log,
            scorecard=reports.scorecard,
            controls=reports.controls,
            queue=reports.queue,
            ruleset=context.ruleset,
            with_local=context.links.with_local,
            version=context.links.version,
            n_runs=n_runs,
            problems=problems,
        )

    def ledger(
        self,
        parts: Mapping[str, TaskPart],
        methods: Mapping[str, SubmissionCard],
        tasks: Mapping[str, TaskCard],
        problems: list[str],
    ) -> Ledger:
        """What `assay claims` says."""
        named = {slug for card in methods.values() for claim in card.claims
                 for slug in named_tasks(claim, parts)}  # fmt: skip
        key = self.keys.claims({slug: self.task_keys[slug] for slug in named})
        ledger = self.kept("claims", key, Ledger)
        if ledger is None:
            ruleset = self.context.ruleset
            contests = [
                Contest(tasks[slug], parts[slug].cells, "tuned", ruleset) for slug in sorted(named)
            ]
            ledger = claims.evaluate(contests, methods, tasks, ruleset)
            if self.cache:
                self.cache.keep("claims", key, self.root, ledger.model_dump_json(), [])
        return ledger.model_copy(update={"problems": problems})

    def board(
        self,
        basis: Basis,
        parts: Mapping[str, TaskPart],
        groups: Mapping[str, GroupPart],
        problems: Sequence[str],
    ) -> Board:
        """What `assay board` says."""
        tables = [part.tuned if basis == "tuned" else part.defaults for part in parts.values()]
        summaries = [
            group.tuned if basis == "tuned" else group.defaults for group in groups.values()
        ]
        return assembled(tables, summaries, problems, self.context.ruleset, basis)

    def problems(self, parts: Mapping[str, TaskPart]) -> list[str]:
        """What could not be read, without the folders of this machine."""
        found = {problem for part in parts.values() for problem in part.problems}
        found |= self.unread
        for shelf in self.context.shelves:
            found = {problem.replace(f"{shelf.folder}/", "") for problem in found}
        return sorted(found)

    def feeds(self, view: SiteView, parts: Mapping[str, TaskPart]) -> Iterator[tuple[str, str]]:
        """Feeds and citations of the board, tasks and methods."""
        titles = {slug: view.tasks[slug].title for slug in parts}
        methods = {slug: m.card.title if m.card else slug for slug, m in view.methods.items()}
        yield from feeds.feeds(view.log, titles, methods).items()
        for slug, method in view.methods.items():
            yield f"method/{slug}/cite.bib", citing.of_method(slug, method.card)

    def long_table(self, slugs: Sequence[str]) -> int:
        """Put the long table together from what the tasks left; the number of runs in it."""
        folder = self.root / LONG_TABLE
        lines = [folder / f"{slug}.csv" for slug in slugs]
        names = [f"{DATA}/results.csv", f"{DATA}/results.parquet"]
        n_runs = sheets.write_long(lines, *(self.root / name for name in names))
        for aside in (LONG_TABLE, MEMOS):
            shutil.rmtree(self.root / aside, ignore_errors=True)
            self.files = [file for file in self.files if not file.path.startswith(f"{aside}/")]
        self.files += [described(self.root, name) for name in names]
        return n_runs


def _methods(
    slugs: Iterable[str], cards: Mapping[str, SubmissionCard], parts: Mapping[str, TaskPart]
) -> dict[str, Method]:
    lines: dict[str, dict[str, Markup]] = {slug: {} for slug in sorted(slugs)}
    for task, part in parts.items():
        for method, line in part.lines.items():
            lines[method][task] = Markup(line)
    return {slug: Method(slug, cards.get(slug), own) for slug, own in lines.items()}


def _static() -> Iterator[tuple[str, bytes]]:
    """Styles and scripts."""
    for path in sorted(
        resources.files("leaderboard.site").joinpath("static").iterdir(), key=lambda p: p.name
    ):
        yield f"{STATIC}/{path.name}", path.read_bytes()
