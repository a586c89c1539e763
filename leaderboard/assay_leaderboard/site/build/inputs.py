"""What a build starts from: the cards of the checkout, the logs of results, and the site map."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.plugins import registry
from assay.records import log
from assay.records.store import Store
from assay.ruleset import RULESET, Ruleset

from assay_leaderboard.evidence import checkout
from assay_leaderboard.evidence.flags import FlagFinder
from assay_leaderboard.evidence.results_folder import ResultsFolder, open_folder, rules_of
from assay_leaderboard.evidence.runs import Catalogue, Rules
from assay_leaderboard.site.html.links import SiteMap

_SLUG = re.compile(r"[a-z0-9_]{1,48}")


@dataclass(frozen=True)
class BuildInputs:
    """What the tasks have in common; every worker process has it."""

    catalogue: Catalogue
    flags: FlagFinder
    results: Sequence[ResultsFolder]
    """Where folders speak of the same run, the first one counts."""
    rules: Rules
    site: SiteMap
    ruleset: Ruleset
    task_folders: Mapping[str, Path]
    """By slug."""
    mlflow: Mapping[str, str]
    """MLflow's run ids by record id."""


def read_inputs(folders: Iterable[Path], *, with_local: bool) -> BuildInputs:
    """Read cards and logs, but no records.

    Args:
        folders: of results; where they speak of the same run, the first one counts.
        with_local: the last folder is the user's own.

    Raises:
        LogError: the log of a folder is broken.
        CardError: a card of the checkout is malformed.
        PluginError: the files of a task or a method cannot be read.
    """
    results = [open_folder(folder) for folder in folders]
    tasks, methods = registry.task_entries(), registry.method_entries()
    return BuildInputs(
        catalogue=checkout.catalogue(tasks.values(), methods.values()),
        flags=checkout.flag_finder(tasks.values(), methods.values()),
        results=results,
        rules=rules_of(results[0], with_local=with_local),
        site=SiteMap(
            tasks=frozenset(task for found in results for task in found.tasks if task in tasks),
            methods=frozenset({*methods, *(slug for found in results for slug in _methods(found))}),
            version=importlib.metadata.version("trainassay"),
            ruleset=RULESET.version,
            with_local=with_local,
        ),
        ruleset=RULESET,
        task_folders={slug: entry.folder for slug, entry in tasks.items()},
        mlflow={
            record: run
            for found in reversed(results)
            for record, run in Store(found.folder).mlflow_runs().items()
        },
    )


def _methods(results: ResultsFolder) -> Iterator[str]:
    """Slugs of the methods with results in a folder, from the names of files alone."""
    for standings in results.standings.values():
        yield from (log.cell_of(standing.file)[1] for standing in standings)
    for path in (results.folder / "runs").glob("*/*/"):
        if _SLUG.fullmatch(path.name):  # records in other folders cannot be read
            yield path.name
