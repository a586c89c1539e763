"""Build the site: a new folder takes the place of the old one, or everything stays as it was.

Three stages, each in as many processes as there are cores: the tasks; the families and the claims,
from what the tasks found; the pages and data of the whole board. The same records make the same
bytes, whatever the number of processes and whatever was kept from an earlier build.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay import paths
from assay.detectors.source import source_data
from assay.errors import AssayError
from assay.untrusted.text import plain_text

from assay_leaderboard.audit.tasks import Audit, Audited, audit
from assay_leaderboard.boards import translation
from assay_leaderboard.boards.board import assembled
from assay_leaderboard.claims.ledger import Ledger
from assay_leaderboard.processes import Workers, available_cores
from assay_leaderboard.schema.board import FamilySummary
from assay_leaderboard.schema.translation import Translation
from assay_leaderboard.site.build import board_part, claims_part, family_part, task_part
from assay_leaderboard.site.build.board_part import BoardResults
from assay_leaderboard.site.build.cache import MadePart, Model, PartCache
from assay_leaderboard.site.build.family_part import FamilyPart
from assay_leaderboard.site.build.inputs import read_inputs
from assay_leaderboard.site.build.plan import BuildPlan, BuildRequest, Built
from assay_leaderboard.site.build.task_part import TaskPart, TaskResults
from assay_leaderboard.site.exports import json_twins
from assay_leaderboard.site.output import OutputFile, staged, write
from assay_leaderboard.site.pages import BOARD_PAGES
from assay_leaderboard.site.reports import Parity
from assay_leaderboard.site.reports import read as read_reports
from assay_leaderboard.site.views import SiteView

Say = Callable[[str], None]
ADVICE = "try --jobs 1"
"""Where a process that makes pages was killed."""
_KINDS = {"task": "tasks", "family": "families", "claims": "claims"}
"""Kinds of parts in the words of the progress line."""


def build(request: BuildRequest, say: Say = lambda text: None) -> Built:
    """Build the site and put it in the place of the one before.

    Args:
        request: what to build.
        say: told what is being done.

    Raises:
        LogError: the published log is broken, so that nothing in it can be believed.
        AssayError: there is nothing to show, or `request.out` holds something else than a site.
        StorageError: the folder cannot be written.
    """
    results = request.results or paths.RESULTS
    folders = [results, *([request.local] if request.local else [])]
    reports = read_reports(results, request.scorecard, request.queue)
    inputs = read_inputs(folders, with_local=request.local is not None)
    if not inputs.site.tasks:
        raise AssayError(
            f"no results in {' or '.join(map(str, folders))}; make some with: assay run METHOD "
            "--tier lite --quick, and name their folder with --results"
        )
    plan = BuildPlan(inputs, reports, PartCache.of(results) if request.cache else None)
    if built := plan.unchanged(request.out):
        return built
    with staged(request.out) as root:
        built = _Build(plan, root, request.jobs or available_cores(), say).run(request.out)
    plan.finished(built)
    return built


class _Build:
    """One build under way, in the folder `root`."""

    def __init__(self, plan: BuildPlan, root: Path, jobs: int, say: Say) -> None:
        self.plan, self.root, self.jobs, self.say = plan, root, jobs, say
        self.files: list[OutputFile] = []
        self.n_kept: Counter[str] = Counter()
        """Parts taken over from an earlier build, by kind."""

    def run(self, out: Path) -> Built:
        parts = self.tasks()
        shown = {slug: part for slug, part in parts.items() if not part.empty}
        results = TaskResults(self.plan.inputs, shown, self.root)
        families, ledger = self.families(results), self.claims(results)
        problems = self.problems(parts.values())
        view = self.view(results, families, ledger.model_copy(update={"problems": problems}))
        self.say("drawing the board")
        self.write_board(BoardResults(results, families, view))
        path, text = json_twins.manifest(self.files, view.version, view.ruleset.version)
        self.files.append(write(self.root, path, text))
        return Built(
            out=out,
            n_tasks=len(shown),
            n_kept=self.n_kept["task"],
            n_runs=view.n_runs,
            n_files=len(self.files),
            n_bytes=sum(file.n_bytes for file in self.files),
            problems=problems,
        )

    def tasks(self) -> dict[str, TaskPart]:
        """The part of every task with results, by family and slug."""
        plan = self.plan
        items = {slug: (slug, self.root) for slug in plan.task_keys}
        return self.parts("task", TaskPart, task_part.make, plan.inputs, items, plan.task_keys)

    def families(self, results: TaskResults) -> dict[str, FamilyPart]:
        """The parts of all families and "overall", by name."""
        plan = self.plan
        families = plan.families(results.parts)
        items = {
            name: (name, slugs, plan.cache and plan.cache.memos / plan.memo_names[name])
            for name, slugs in families.items()
        }
        return self.parts("family", FamilyPart, family_part.make, results, items, plan.family_keys)

    def claims(self, results: TaskResults) -> Ledger:
        """The verdicts on all claims."""
        slugs = [slug for slug in self.plan.claimed if slug in results.parts]
        items, keys = {"all": (slugs,)}, {"all": self.plan.claims_key}
        return self.parts("claims", Ledger, claims_part.make, results, items, keys)["all"]

    def parts(
        self,
        kind: str,
        model: type[Model],
        make: Callable[..., MadePart],
        shared: object,
        items: Mapping[str, tuple[Any, ...]],
        keys: Mapping[str, str],
    ) -> dict[str, Model]:
        """The parts of one kind by name: kept by an earlier build, or made now and kept.

        Args:
            kind: "task", "family" or "claims".
            model: of these parts.
            make: make(shared, *items[name]) makes the part of a name.
            shared: the same for all parts.
            items: by name.
            keys: under which parts are kept, by name.
        """
        cache, found = self.plan.cache, {}
        for name in items:
            if cache and (kept := cache.restore(f"{kind}-{name}", keys[name], self.root, model)):
                found[name] = kept[0]
                self.files += kept[1]
        self.n_kept[kind] = len(found)
        missing = {name: item for name, item in items.items() if name not in found}
        with Workers(shared, min(self.jobs, len(missing)), ADVICE) as workers:
            for done, (name, part) in enumerate(workers.run(make, missing), 1):
                self.files += part.files
                if cache:
                    cache.keep(f"{kind}-{name}", keys[name], self.root, part)
                found[name] = model.model_validate_json(part.json)
                self.say(f"{_KINDS[kind]}: {done} of {len(missing)} ready")
        return {name: found[name] for name in items}

    def write_board(self, results: BoardResults) -> None:
        """Write everything that is not about one task or one family alone."""
        with Workers(results, self.jobs, ADVICE) as workers:
            written = [
                workers.run(board_part.write_runs, {"runs": ()}),
                workers.run(board_part.write_data, _by_name(board_part.BOARD_DATA)),
                workers.run(board_part.write_pages, _by_name(BOARD_PAGES)),
            ]
            for _, files in itertools.chain(*written):
                self.files += files

    def view(
        self, results: TaskResults, families: Mapping[str, FamilyPart], ledger: Ledger
    ) -> SiteView:
        """What the pages of the whole board are made from."""
        plan, inputs = self.plan, self.plan.inputs
        summaries = [family.summary for family in families.values()]
        tables = [part.table for part in results.parts.values()]
        return SiteView(
            board=assembled(tables, summaries, ledger.problems, inputs.ruleset, None, inputs.rules),
            budgets=[table for family in families.values() for table in family.budgets],
            standings={slug: part.standings for slug, part in results.parts.items()},
            ledger=ledger,
            translation=self.translation(results),
            methods={slug: plan.methods.get(slug) for slug in sorted(inputs.site.methods)},
            tasks=plan.cards,
            log=plan.log,
            scorecard=plan.reports.scorecard,
            audit=self.audit(results, summaries),
            data={
                ref.slug: source_data(inputs.flags.sources[ref.code])
                for _, ref in inputs.catalogue.methods.values()
            },
            parity=self.parity(),
            epochs=inputs.epochs,
            queue=plan.reports.queue,
            ruleset=inputs.ruleset,
            with_local=inputs.site.with_local,
            version=inputs.site.version,
            n_runs=sum(part.n_runs for part in results.parts.values()),
            problems=ledger.problems,
        )

    def parity(self) -> Parity:
        """The reported comparisons of methods whose code is still the one that was compared."""
        reported = self.plan.reports.parity
        hashes = {
            slug: ref.code_hash for slug, (_, ref) in self.plan.inputs.catalogue.methods.items()
        }
        kept = [one for one in reported.methods if hashes.get(one.slug) == one.code_hash]
        return reported.model_copy(update={"methods": kept})

    def audit(self, results: TaskResults, summaries: Sequence[FamilySummary]) -> Audit:
        """The audit of every task of the checkout, and what else `assay audit` says."""
        plan, ruleset = self.plan, self.plan.inputs.ruleset
        unseen = [Audited(card) for slug, card in plan.cards.items() if slug not in results.parts]
        made = audit(unseen, plan.methods, summaries, plan.reports.control, ruleset)
        tasks = {task.task: task for task in made.tasks}
        tasks |= {slug: part.audit for slug, part in results.parts.items()}
        return made.model_copy(update={"tasks": [tasks[slug] for slug in plan.cards]})

    def translation(self, results: TaskResults) -> Translation:
        """Best learning rates, and ranges whose ends win, of all tasks where something is tuned."""
        tasks = [part.ranges for part in results.parts.values() if part.ranges.methods]
        return translation.assembled(tasks, self.plan.inputs.ruleset, self.plan.inputs.rules.view)

    def problems(self, parts: Iterable[TaskPart]) -> list[str]:
        """What could not be read, without the paths of this machine's folders."""
        found = {problem for part in parts for problem in part.problems} | self.plan.unread
        for results in self.plan.inputs.results:
            found = {problem.replace(f"{results.folder}/", "") for problem in found}
        return sorted(plain_text(problem) for problem in found)


def _by_name(functions: Iterable[Callable[..., Any]]) -> dict[str, tuple[Any, ...]]:
    """Each function as an item for `Workers.run`."""
    return {function.__name__: (function,) for function in functions}
