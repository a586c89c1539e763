"""What to build, and under which keys the parts are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.cards import FAMILIES
from assay.untrusted.text import plain_text

from assay_leaderboard.boards.board import groups
from assay_leaderboard.claims.one_task import named_tasks
from assay_leaderboard.evidence.results_folder import unread
from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.build.cache import MadePart, PartCache
from assay_leaderboard.site.build.inputs import BuildInputs
from assay_leaderboard.site.build.keys import CacheKeys
from assay_leaderboard.site.output import FolderState, folder_state
from assay_leaderboard.site.reports import Reports


@dataclass(frozen=True)
class BuildRequest:
    """What to build, and how."""

    out: Path = Path("site")
    results: Path | None = None
    """Folder of results; None: the published ones."""
    local: Path | None = None
    """The user's own records, shown beside the others."""
    scorecard: Path | None = None
    """What `assay sandbox --json` printed; None: sandbox.json of the results, if there is one."""
    queue: Path | None = None
    """What `assay queue --json` printed; None: queue.json of the results, if there is one."""
    jobs: int | None = None
    """Processes; None: one a core."""
    cache: bool = True
    """Take unchanged parts from earlier builds, and keep parts for later ones."""


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


class _LastBuild(Part):
    """The last build of a site, as kept in the cache."""

    built: Built
    state: FolderState
    """Of its folder."""


class BuildPlan:
    """Which parts a site has, and their cache keys."""

    def __init__(self, inputs: BuildInputs, reports: Reports, cache: PartCache | None) -> None:
        self.inputs, self.reports, self.cache = inputs, reports, cache
        self.cards = {slug: card for slug, (card, _) in inputs.catalogue.tasks.items()}
        self.methods = {slug: card for slug, (card, _) in inputs.catalogue.methods.items()}
        keys = CacheKeys(inputs)
        order = sorted(
            inputs.site.tasks, key=lambda slug: (FAMILIES.index(self.cards[slug].family), slug)
        )
        self.task_keys = {slug: keys.task(slug) for slug in order}
        self.family_keys = {
            name: keys.family(name, self._keys_of(slugs))
            for name, slugs in self.families(order).items()
        }
        self.claimed = sorted({slug for card in self.methods.values() for claim in card.claims
                               for slug in named_tasks(claim, self.task_keys)})  # fmt: skip
        """Tasks that claims name."""
        self.claims_key = keys.claims(self._keys_of(self.claimed))
        self.memo_names = {name: f"{name}-{keys.code[:16]}.memo" for name in self.family_keys}
        """By family: other code may compute other bootstraps."""
        self.log = inputs.results[0].log
        self.unread = {
            plain_text(p) for results in inputs.results for p in unread(results, self.cards)
        }
        head = self.log[-1].hash if self.log else ""
        self._site_key = keys.site(self.task_keys, head, reports, sorted(self.unread))

    def families(self, slugs: Iterable[str]) -> dict[str, list[str]]:
        """Slugs of the tasks of each family and of "overall", by name."""
        found = groups([self.cards[slug] for slug in slugs], lambda card: card)
        return {name: [card.slug for card in cards] for name, cards in found.items()}

    def _keys_of(self, slugs: Iterable[str]) -> dict[str, str]:
        return {slug: self.task_keys[slug] for slug in slugs}

    def unchanged(self, out: Path) -> Built | None:
        """The last build, if the site at `out` is the one that would be built now."""
        if self.cache is None:
            return None
        kept = self.cache.restore("site", self._site_key, out, _LastBuild)
        if not kept or kept[0].state != folder_state(out):
            return None
        return kept[0].built.model_copy(update={"out": out, "n_kept": len(self.task_keys)})

    def finished(self, built: Built) -> None:
        """Remember what was built."""
        if self.cache:
            last = _LastBuild(built=built, state=folder_state(built.out))
            part = MadePart(last.model_dump_json(), [])
            self.cache.keep("site", self._site_key, built.out, part)
