"""Records to a folder of static files: all of it, or nothing.

Tasks are read, computed and drawn in worker processes; then the families, each from what its tasks
said; then the pages that need all of them. The same records make the same bytes, in however many
processes, and whether parts were kept from an earlier build or made now.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from assay import paths
from assay.cards import SubmissionCard
from assay.errors import AssayError
from markupsafe import Markup

from assay_leaderboard.boards.board import assembled, groups
from assay_leaderboard.claims.ledger import Ledger
from assay_leaderboard.schema.board import Basis, Board
from assay_leaderboard.site.build import jobs
from assay_leaderboard.site.build.cache import Cache, Model
from assay_leaderboard.site.build.family_part import GroupPart, Member
from assay_leaderboard.site.build.inputs import gather
from assay_leaderboard.site.build.jobs import MEMOS, Made, TaskGroup
from assay_leaderboard.site.build.plan import BuildPlan, BuildRequest, Built, Say
from assay_leaderboard.site.build.processes import Workers, cores, spare, uncollected
from assay_leaderboard.site.build.task_part import COMPARED, LONG_TABLE, TaskPart
from assay_leaderboard.site.exports import json_twins
from assay_leaderboard.site.html.templates import prepare
from assay_leaderboard.site.output import OutputFile, staged, write
from assay_leaderboard.site.pages import BOARD_PAGES
from assay_leaderboard.site.reports import read as read_reports
from assay_leaderboard.site.views import MethodView, SiteView


def build(request: BuildRequest, say: Say = lambda text: None) -> Built:
    """Build the site and put it in the place of the one before.

    Args:
        request: what to build.
        say: told what is being done.

    Raises:
        LogError: the published log is broken, so that nothing in it can be believed.
        AssayError: there is nothing to show, or the folder is not the build's to replace.
        StorageError: the folder cannot be written.
    """
    results = request.results or paths.RESULTS
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
        plan = BuildPlan(context, reports, cache)
        if built := plan.unchanged(request.out):
            return built
        with staged(request.out) as root:
            built = _Build(plan, root, request.jobs or cores(), say).build(request.out)
        plan.finished(built)
    return built


_KINDS = {"task": "tasks", "group": "families", "claims": "claims"}
"""Parts as the user is told of them."""


class _Build:
    """One build under way, below `root`."""

    def __init__(self, plan: BuildPlan, root: Path, jobs: int, say: Say) -> None:
        self.plan, self.root, self.jobs, self.say = plan, root, jobs, say
        self.context, self.cache, self.keys = plan.context, plan.cache, plan.keys
        self.files: list[OutputFile] = []
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
        path, text = json_twins.manifest(self.files, view.version, view.ruleset.version)
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
                {name: (TaskGroup(name, members[name], *self.memo(name)),) for name in missing},
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
) -> dict[str, MethodView]:
    lines: dict[str, dict[str, Markup]] = {slug: {} for slug in sorted(slugs)}
    for task, part in parts.items():
        for method, line in part.lines.items():
            lines[method][task] = Markup(line)
    return {slug: MethodView(slug, cards.get(slug), own) for slug, own in lines.items()}
