"""TODO: plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.cards import FAMILIES

from assay_leaderboard.boards.board import groups
from assay_leaderboard.claims.one_task import named_tasks
from assay_leaderboard.evidence.results_folder import unread
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.build.cache import Cache
from assay_leaderboard.site.build.inputs import Context
from assay_leaderboard.site.build.keys import Keys
from assay_leaderboard.site.output import State, state
from assay_leaderboard.site.reports import Reports

Say = Callable[[str], None]


@dataclass(frozen=True)
class BuildRequest:
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


class BuildPlan:
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
