"""Records to a folder of static files: all of it, or nothing.

Tasks are read, computed and drawn in worker processes; then the families, each from what its tasks
said; then the pages that need all of them. The same records make the same bytes, in however many
processes, and whether parts were kept from an earlier build or made now.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from leaderboard.board import assembled, groups
from leaderboard.claims import Ledger
from leaderboard.hearing import named_tasks
from leaderboard.paired import Part
from leaderboard.published import unread
from leaderboard.site import jobs, twins
from leaderboard.site.cache import Cache, Model
from leaderboard.site.folder import File, State, staged, state, write
from leaderboard.site.gathering import Keys, gather
from leaderboard.site.jobs import MEMOS, Group, Made
from leaderboard.site.pages import BOARD_PAGES
from leaderboard.site.parts import COMPARED, LONG_TABLE, Context, TaskPart
from leaderboard.site.rendering import prepare
from leaderboard.site.reports import Reports
from leaderboard.site.reports import read as read_reports
from leaderboard.site.summaries import GroupPart, Member
from leaderboard.site.views import Method, SiteView
from leaderboard.site.workers import Workers, cores, spare, uncollected
from leaderboard.tables import Basis, Board
from suite import registry
from suite.cards import FAMILIES, SubmissionCard
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
        plan = _Plan(context, reports, cache)
        if built := plan.unchanged(request.out):
            return built
        with staged(request.out) as root:
            built = _Build(plan, root, request.jobs or cores(), say).build(request.out)
        plan.finished(built)
    return built


_KINDS = {"task": "tasks", "group": "families", "claims": "claims"}
"""Parts as the user is told of them."""


class _Plan:
    """What is to be built, and under which keys its parts are kept."""

    def __init__(self, context: Context, reports: Reports, cache: Cache | None) -> None:
        self.context, self.reports, self.cache = context, reports, cache
        self.cards = {slug: card for slug, (card, _) in context.catalogue.tasks.items()}
        self.methods = {slug: card for slug, (card, _) in context.catalogue.methods.items()}
        self.keys = Keys(context)
        order = sorted(
            context.links.tasks, key=lambda slug: (FAMILIES.index(self.cards[slug].family), slug)
        )
        self.task_keys = {slug: self.keys.task(slug) for slug in order}
        named = groups([self.cards[slug] for slug in order], lambda card: card)
        self.group_keys = {
            name: self.keys.together(name, self._some(card.slug for card in cards))
            for name, cards in named.items()
        }
        self.claimed = sorted({slug for card in self.methods.values() for claim in card.claims
                               for slug in named_tasks(claim, self.task_keys)})  # fmt: skip
        self.claims_key = {"all": self.keys.claims(self._some(self.claimed))}
        self.log = context.shelves[0].log
        self.unread = {p for shelf in context.shelves for p in unread(shelf, self.cards)}
        self.key = self.keys.site(
            self.task_keys, self.log[-1].hash if self.log else "", reports, sorted(self.unread)
        )

    def _some(self, slugs: Iterable[str]) -> dict[str, str]:
        return {slug: self.task_keys[slug] for slug in slugs}

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


class _Build:
    """One build under way, below `root`."""

    def __init__(self, plan: _Plan, root: Path, jobs: int, say: Say) -> None:
        self.plan, self.root, self.jobs, self.say = plan, root, jobs, say
        self.context, self.cache, self.keys = plan.context, plan.cache, plan.keys
        self.files: list[File] = []
        self.n_kept = 0
        self.ranked: dict[str, GroupPart] = {}
        self.judged: dict[str, Ledger] = {}
        self.members: dict[str, Member] = {}
        self.held: list[object] = []

    def build(self, out: Path) -> Built:
        parts = self.tasks()
        shown = {slug: part for slug, part in parts.items() if not part.empty}
        problems = self.problems(parts)
        groups, ledger = self.together(shown)
        self.say("drawing the board")
        view = self.view(shown, groups, ledger.model_copy(update={"problems": problems}))
        self.draw(view, {name: part.compared for name, part in groups.items()}, list(shown))
        # A cycle, for the collector: to free them one by one takes longer than to swap the sites,
        # and a command ends before it needs their memory.
        self.held = [self, parts, groups, view]
        for aside in (LONG_TABLE, COMPARED, MEMOS):
            shutil.rmtree(self.root / aside, ignore_errors=True)
            self.files = [file for file in self.files if not file.path.startswith(f"{aside}/")]
        path, text = twins.manifest(self.files, view.version, view.ruleset.version)
        self.files.append(write(self.root, path, text))
        return Built(
            out=out,
            n_tasks=len(shown),
            n_kept=self.n_kept,
            n_runs=view.n_runs,
            n_files=len(self.files),
            n_bytes=sum(file.n_bytes for file in self.files),
            problems=problems,
        )

    def tasks(self) -> dict[str, TaskPart]:
        """The part of every task with results, by family and slug."""
        keys = self.plan.task_keys
        new = [slug for slug, key in keys.items() if not self.holds(f"task-{slug}", key)]
        with Workers(self.context, self.jobs) as workers:

            def make(slugs: Collection[str]) -> Iterator[tuple[str, Made]]:
                each = spare(self.jobs, len(slugs))
                work = {s: (s, self.root, each) for s in slugs}
                return workers.run(jobs.task, work)

            under_way = make(new)
            # Meanwhile: what else is known, and what processes of later stages need.
            found = self.kept("task", TaskPart, {s: k for s, k in keys.items() if s not in new})
            self.n_kept = len(found)
            self.ranked = self.kept("group", GroupPart, self.plan.group_keys)
            self.judged = self.kept("claims", Ledger, self.plan.claims_key)
            prepare()
            self.lay_out(found)
            self.files += jobs.beforehand(self.context, self.root)
            damaged = [slug for slug in keys if slug not in found and slug not in new]
            made = itertools.chain(under_way, make(damaged))
            found |= self.made("task", TaskPart, keys, made, len(new) + len(damaged))
        return {slug: found[slug] for slug in keys}

    def lay_out(self, parts: Mapping[str, TaskPart]) -> None:
        """Prepare what groups need of tasks, once for all of them."""
        for slug, part in parts.items():
            if slug not in self.members:
                card = self.plan.cards[slug]
                self.members[slug] = Member.of(card, part, self.context.ruleset)

    def together(self, parts: Mapping[str, TaskPart]) -> tuple[dict[str, GroupPart], Ledger]:
        """What tasks say together, by family and "overall"; and of claims.

        Args:
            parts: of the tasks with something to show.
        """
        plan, context = self.plan, self.context
        named = groups([plan.cards[slug] for slug in parts], lambda card: card)
        members = {name: [card.slug for card in cards] for name, cards in named.items()}
        missing = sorted(members.keys() - self.ranked.keys(), key=lambda name: -len(members[name]))
        claimed = [slug for slug in plan.claimed if slug in parts]
        self.lay_out(parts)
        known = {slug: self.members[slug] for slug in parts}
        read = jobs.Read(plan.cards, plan.methods, known, context.links, context.ruleset, self.root)
        with Workers(read, self.jobs) as workers:
            judged = workers.run(jobs.ledger, {} if self.judged else {"all": (claimed,)})
            ranked = workers.run(
                jobs.group,
                {name: (Group(name, members[name], *self.memo(name)),) for name in missing},
            )
            listed = workers.run(jobs.long_table, {"": ()})
            found = self.ranked | self.made(
                "group", GroupPart, plan.group_keys, ranked, len(missing)
            )
            ledger = self.judged | self.made("claims", Ledger, plan.claims_key, judged, 1)
            for _, files in listed:
                self.files += files
        return {name: found[name] for name in members}, ledger["all"]

    def holds(self, name: str, key: str) -> bool:
        """An earlier build kept something under this key."""
        return self.cache is not None and self.cache.holds(name, key)

    def kept(self, kind: str, model: type[Model], keys: Mapping[str, str]) -> dict[str, Model]:
        """The parts of a kind that an earlier build has kept, by name.

        Args:
            kind: of these parts.
            model: of what each says.
            keys: of each, by name: everything it depends on.
        """
        found: dict[str, Model] = {}
        for name, key in keys.items():
            if self.cache and (kept := self.cache.restore(f"{kind}-{name}", key, self.root, model)):
                found[name] = kept[0]
                self.files += kept[1]
        return found

    def made(
        self,
        kind: str,
        model: type[Model],
        keys: Mapping[str, str],
        under_way: Iterator[tuple[str, Made]],
        n: int,
    ) -> dict[str, Model]:
        """The n parts of a kind that are being made, each kept for the next build."""
        found: dict[str, Model] = {}
        for done, (name, (text, files)) in enumerate(under_way, 1):
            self.files += files
            if self.cache:
                self.cache.keep(f"{kind}-{name}", keys[name], self.root, text, files)
            found[name] = model.model_validate_json(text)
            self.say(f"{_KINDS[kind]}: {done} of {n} ready")
        return found

    def memo(self, group: str) -> tuple[Path | None, str]:
        """Most of a group's bootstraps are those of the last time: where they are, and will be."""
        # Other code may compute something else.
        path = f"{MEMOS}/{group}-{self.keys.code}.memo"
        return self.cache.newest(f"group-{group}", path) if self.cache else None, path

    def draw(
        self, view: SiteView, together: Mapping[str, Mapping[str, str]], shown: Sequence[str]
    ) -> None:
        """Everything that is not about one task alone."""
        drawing = jobs.Drawing(view, self.context.links, shown, together, self.root)
        with Workers(drawing, self.jobs) as workers:
            drawn = (
                workers.run(jobs.other, {make.__name__: (make,) for make in jobs.OTHERS}),
                workers.run(jobs.pages, {draw.__name__: (draw,) for draw in BOARD_PAGES}),
            )
            for _, files in itertools.chain(*drawn):
                self.files += files

    def view(
        self,
        parts: Mapping[str, TaskPart],
        groups: Mapping[str, GroupPart],
        ledger: Ledger,
    ) -> SiteView:
        """Everything that pages beyond single tasks are made from."""
        context, reports = self.context, self.plan.reports
        return SiteView(
            board=self.board("tuned", parts, groups, ledger.problems),
            defaults=self.board("defaults", parts, groups, ledger.problems),
            budgets=[table for group in groups.values() for table in group.budgets],
            ledger=ledger,
            methods=_methods(context.links.methods, self.plan.methods, parts),
            tasks=self.plan.cards,
            log=self.plan.log,
            scorecard=reports.scorecard,
            controls=reports.controls,
            queue=reports.queue,
            ruleset=context.ruleset,
            with_local=context.links.with_local,
            version=context.links.version,
            n_runs=sum(part.n_runs for part in parts.values()),
            problems=ledger.problems,
        )

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
        found |= self.plan.unread
        for shelf in self.context.shelves:
            found = {problem.replace(f"{shelf.folder}/", "") for problem in found}
        return sorted(found)


def _methods(
    slugs: Iterable[str], cards: Mapping[str, SubmissionCard], parts: Mapping[str, TaskPart]
) -> dict[str, Method]:
    lines: dict[str, dict[str, Markup]] = {slug: {} for slug in sorted(slugs)}
    for task, part in parts.items():
        for method, line in part.lines.items():
            lines[method][task] = Markup(line)
    return {slug: Method(slug, cards.get(slug), own) for slug, own in lines.items()}
