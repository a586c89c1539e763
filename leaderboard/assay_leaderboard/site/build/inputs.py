"""What a build starts from: cards, logs, links, and the key under which each part is kept."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import assay_leaderboard
import assay
from assay_leaderboard.evidence.cells import Catalogue
from assay_leaderboard.evidence.results_folder import Shelf, open_shelf
from assay_leaderboard.site.html.links import Links
from assay_leaderboard.site.reports import Reports
from assay_leaderboard.evidence.flags import Suspicions
from assay.records import log
from assay.plugins import registry
from assay.identity import canonical_json, sha256
from assay.ruleset import RULESET
from assay.records.store import Store

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from assay_leaderboard.boards.board import past, samples, table
from assay_leaderboard.boards.task_comparisons import Contest, pairs
from assay_leaderboard.boards.task_details import detail as task_detail
from assay_leaderboard.boards.task_records import Dossier, of_shelves
from assay_leaderboard.evidence.cells import Catalogue, Cell, Repetitions
from assay_leaderboard.schema.values import Part
from assay_leaderboard.evidence.results_folder import Shelf
from assay_leaderboard.site.exports import bibtex, csv_tables, json_twins
from assay_leaderboard.site.output import File, write
from assay_leaderboard.site.html.links import Links
from assay_leaderboard.site.pages import cell_pages, method_lines, score_cells, task_entries, task_pages
from assay_leaderboard.site.views import CellView, Landscape, TaskView
from assay_leaderboard.site.build.processes import Workers
from assay_leaderboard.evidence.flags import Suspicions
from assay_leaderboard.schema.board import TaskTable
from assay.cards import SubmissionCard, TaskCard
from assay.records.schema import RunRecord, StudyRecord
from assay.ruleset import Ruleset




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
    shelves = [open_shelf(folder) for folder in folders]
    tasks, methods = registry.task_entries(), registry.method_entries()
    refs = {slug: registry.method_ref(entry) for slug, entry in methods.items()}
    catalogue = Catalogue(
        tasks={slug: (entry.card, registry.task_ref(entry)) for slug, entry in tasks.items()},
        methods={slug: (entry.card, refs[slug]) for slug, entry in methods.items()},
    )
    return Context(
        catalogue=catalogue,
        suspicions=Suspicions(
            cards={slug: entry.card for slug, entry in tasks.items()},
            sources={refs[slug]: entry.contents for slug, entry in methods.items()},
            baselines=frozenset(slug for slug, entry in methods.items() if entry.card.is_baseline),
        ),
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


def _methods(shelf: Shelf) -> Iterator[str]:
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
    suspicions: Suspicions
    shelves: Sequence[Shelf]
    """What the first one says counts."""
    links: Links
    ruleset: Ruleset
    folders: Mapping[str, Path]
    """Of the tasks."""
    mlflow: Mapping[str, str] = field(default_factory=dict)
    """MLflow's run ids by record id."""
