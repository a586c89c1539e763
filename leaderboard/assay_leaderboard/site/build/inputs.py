"""What a build starts from: the cards of the checkout, the logs of results, and the site map."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay import epochs
from assay.errors import EpochError
from assay.plugins import registry
from assay.records import log
from assay.records.store import Store
from assay.ruleset import RULESET, Ruleset

from assay_leaderboard.evidence import checkout
from assay_leaderboard.evidence.flags import FlagFinder
from assay_leaderboard.evidence.results_folder import ResultsFolder, open_folder, rules_of
from assay_leaderboard.evidence.runs import Catalogue, Rules
from assay_leaderboard.site.html.links import SiteMap
from assay_leaderboard.site.views import Epoch

_SLUG = re.compile(r"[a-z0-9_]{1,48}")


@dataclass(frozen=True)
class BuildInputs:
    """What the tasks have in common; every worker process has it."""

    catalogue: Catalogue
    flags: FlagFinder
    results: Sequence[ResultsFolder]
    """Where folders speak of the same run, the first one counts."""
    rules: Rules
    epochs: Sequence[Epoch]
    """Of the first folder."""
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
    rules = rules_of(results[0], with_local=with_local)
    tasks, methods = registry.task_entries(), registry.method_entries()
    return BuildInputs(
        catalogue=checkout.catalogue(tasks.values(), methods.values()),
        flags=checkout.flag_finder(tasks.values(), methods.values()),
        results=results,
        rules=rules,
        epochs=[*_epochs(results[0])],
        site=SiteMap(
            tasks=frozenset(task for found in results for task in found.tasks if task in tasks),
            methods=frozenset({*methods, *(slug for found in results for slug in _methods(found))}),
            version=importlib.metadata.version("trainassay"),
            ruleset=RULESET.version,
            with_local=with_local,
            published=rules.published,
        ),
        ruleset=RULESET,
        task_folders={slug: entry.folder for slug, entry in tasks.items()},
        mlflow={
            record: run
            for found in reversed(results)
            for record, run in Store(found.folder).mlflow_runs().items()
        },
    )


def _epochs(results: ResultsFolder) -> Iterator[Epoch]:
    """Every epoch that the log knows, with the commitment from its file."""
    commitments: dict[str, str] = {}
    with contextlib.suppress(EpochError):  # the log's check names a file that is wrong
        folder = results.folder / log.EPOCHS
        commitments = {status.name: status.commitment for status in epochs.epochs(folder)}
    for epoch in log.epochs(results.log):
        yield Epoch(
            name=epoch.name,
            committed=epoch.committed.at,
            commitment=commitments.get(epoch.name),
            entry=epoch.committed.n,
            revealed=epoch.revealed.at if epoch.revealed else None,
        )


def _methods(results: ResultsFolder) -> Iterator[str]:
    """Slugs of the methods with results in a folder, from the names of files alone."""
    for standings in results.standings.values():
        yield from (log.cell_of(standing.file)[1] for standing in standings)
    for path in (results.folder / "runs").glob("*/*/"):
        if _SLUG.fullmatch(path.name):  # records in other folders cannot be read
            yield path.name
