"""The queue: submissions on their way to the board, as git and the results log show them.

Until it is merged, a submission is a branch `submission/<slug>`, local or fetched from a remote.
After that it is the bundles that it added, until they are replayed.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.publication.git import Checkout
from assay.publication.submit import BRANCH, PUBLISHED
from assay.records import log
from assay.records.formats import is_former

State = Literal["incomplete", "prepared", "open", "merged", "published"]


@dataclass(frozen=True)
class Waiting:
    """One submission in the queue."""

    slug: str
    state: State
    tasks: list[str]
    """Tasks whose bundles it adds or, once it is merged, whose bundles wait."""
    since: str
    """When it got this state: UTC, ISO 8601."""
    age_days: float
    next_action: str


def queue(checkout: Checkout, base: str | None = None) -> list[Waiting]:
    """Every open submission, the oldest first.

    Raises:
        SubmissionError: there is no main branch.
        LogError: the results log is broken.
    """
    start = checkout.base(base)
    found = [*_branches(checkout, start), *_published(checkout, start)]
    return sorted(found, key=lambda waiting: (-waiting.age_days, waiting.slug))


def _branches(checkout: Checkout, base: str) -> Iterator[Waiting]:
    """Branches that are not merged; one that is pushed counts as open."""
    listed = checkout.git(
        "for-each-ref", f"--no-merged={base}", "--format=%(refname)", "refs/heads", "refs/remotes"
    )
    refs: dict[str, list[str]] = {}
    for ref in listed.splitlines():
        _, found, slug = ref.partition(f"/{BRANCH}")
        if found and "/" not in slug:
            refs.setdefault(slug, []).append(ref)
    for slug, names in refs.items():
        pushed = [name for name in names if name.startswith("refs/remotes/")]
        yield _branch(checkout, base, slug, (pushed or names)[0], bool(pushed))


def _branch(checkout: Checkout, base: str, slug: str, ref: str, pushed: bool) -> Waiting:
    added = set(checkout.files(ref, PUBLISHED)) - set(checkout.files(base, PUBLISHED))
    bundles = sorted(path for path in added if f"--{slug}-v" in path and path.endswith(".zip"))
    has_card = checkout.file(ref, f"submissions/{slug}/card.toml") is not None
    since = checkout.git("log", "-1", "--format=%cI", ref)
    name = ref.removeprefix("refs/heads/").removeprefix("refs/remotes/")
    state: State = "open" if pushed else "prepared"
    action = f"git push origin {name}, and open a pull request"
    if pushed:
        action = f"ci/gate-verify {base}...{name}, ci/gate-run {base}...{name}, then merge"
    if not bundles or not has_card:
        state = "incomplete"
        lacking = "no bundle" if has_card else "no card"
        action = f"{lacking}: assay pack {slug}, then: assay submit {slug}"
    return _waiting(slug, state, bundles, since, action)


def _published(checkout: Checkout, base: str) -> Iterator[Waiting]:
    """Bundles on the main branch that are not logged, or logged and not replayed."""
    names = [Path(path).name for path in checkout.files(base, PUBLISHED) if path.endswith(".zip")]
    standings = {found.file: found for found in _log(checkout, base)}
    unlogged: dict[str, list[str]] = {}
    unplayed: dict[str, list[str]] = {}
    for name in names:
        slug = name.split("--")[1].rsplit("-v", 1)[0] if name.count("--") >= 2 else name
        standing = standings.get(name)
        if standing is None:
            unlogged.setdefault(slug, []).append(name)
        elif _unplayed(standing, checkout, base):
            unplayed.setdefault(slug, []).append(name)
    for slug, bundles in unlogged.items():
        since = checkout.git("log", "-1", "--format=%cI", base, "--", f"{PUBLISHED}/{bundles[0]}")
        action = f"assay log add publish {PUBLISHED}/{bundles[0]}"
        yield _waiting(slug, "merged", bundles, since, action + _more(bundles))
    for slug, bundles in unplayed.items():
        since = min(standings[name].since for name in bundles)
        action = f"assay replay {PUBLISHED}/{bundles[0]}"
        yield _waiting(slug, "published", bundles, since, action + _more(bundles))


def _unplayed(standing: log.Standing, checkout: Checkout, base: str) -> bool:
    """Whether a bundle waits for its replay; those of ruleset 1 are not replayed any more."""
    if standing.state != "current" or standing.tier not in ("T0", "T1"):
        return False
    return not is_former(checkout.file(base, f"{PUBLISHED}/{standing.file}") or b"")


def _more(bundles: list[str]) -> str:
    return f", and {len(bundles) - 1} more" if len(bundles) > 1 else ""


def _log(checkout: Checkout, base: str) -> list[log.Standing]:
    """Standings by the log on the main branch, from which the working tree's may differ."""
    text = checkout.file(base, f"{PUBLISHED}/{log.LOG}")
    if text is None:
        return []
    with tempfile.TemporaryDirectory(prefix="assay-queue-") as name:
        (Path(name) / log.LOG).write_bytes(text)
        return list(log.standings(log.read(Path(name))).values())


def _waiting(slug: str, state: State, bundles: list[str], since: str, action: str) -> Waiting:
    now = datetime.datetime.now(datetime.UTC)
    age = (now - datetime.datetime.fromisoformat(since)).total_seconds() / 86_400
    tasks = sorted({Path(bundle).name.split("--")[0] for bundle in bundles})
    return Waiting(slug, state, tasks, since, round(max(0.0, age), 2), action)
