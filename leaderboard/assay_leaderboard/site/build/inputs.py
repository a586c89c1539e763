"""What a build starts from: cards, logs, links, and the key under which each part is kept."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.plugins import registry
from assay.records import log
from assay.records.store import Store
from assay.ruleset import RULESET, Ruleset

from assay_leaderboard.evidence import checkout
from assay_leaderboard.evidence.cells import Catalogue
from assay_leaderboard.evidence.flags import FlagFinder
from assay_leaderboard.evidence.results_folder import ResultsFolder, open_folder
from assay_leaderboard.site.html.links import Links

_SLUG = re.compile(r"[a-z0-9_]{1,48}")


def gather(folders: Iterable[Path], *, with_local: bool) -> Context:
    """Everything that the tasks have in common.

    Args:
        folders: of results; what the first one says counts.
        with_local: the last one is the user's own.

    Raises:
        LogError: the log of a folder is broken.
        CardError: a card of the checkout is malformed.
        PluginError: the files of a task or a method cannot be read.
    """
    shelves = [open_folder(folder) for folder in folders]
    tasks, methods = registry.task_entries(), registry.method_entries()
    return Context(
        catalogue=checkout.catalogue(tasks.values(), methods.values()),
        suspicions=checkout.flag_finder(tasks.values(), methods.values()),
        shelves=shelves,
        links=Links(
            tasks=frozenset(task for shelf in shelves for task in shelf.tasks if task in tasks),
            methods=frozenset({*methods, *(slug for shelf in shelves for slug in _methods(shelf))}),
            version=importlib.metadata.version("trainassay"),
            ruleset=RULESET.version,
            with_local=with_local,
        ),
        ruleset=RULESET,
        folders={slug: entry.folder for slug, entry in tasks.items()},
        mlflow={
            record: run
            for shelf in reversed(shelves)
            for record, run in Store(shelf.folder).mlflow_runs().items()
        },
    )


def _methods(shelf: ResultsFolder) -> Iterator[str]:
    """Methods with something in a folder of results, by name alone."""
    for standings in shelf.standings.values():
        yield from (log.cell_of(standing.file)[1] for standing in standings)
    for path in (shelf.folder / "studies").glob("*/*/"):
        if _SLUG.fullmatch(path.name):  # anything else holds no record that could be read
            yield path.name


@dataclass(frozen=True)
class Context:
    """What every task needs to know; sent to each worker once."""

    catalogue: Catalogue
    suspicions: FlagFinder
    shelves: Sequence[ResultsFolder]
    """What the first one says counts."""
    links: Links
    ruleset: Ruleset
    folders: Mapping[str, Path]
    """Of the tasks."""
    mlflow: Mapping[str, str] = field(default_factory=dict)
    """MLflow's run ids by record id."""
