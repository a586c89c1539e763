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

import leaderboard
import suite
from leaderboard.evidence import Catalogue
from leaderboard.published import Shelf, open_shelf
from leaderboard.site.links import Links
from leaderboard.site.parts import Context
from leaderboard.site.reports import Reports
from leaderboard.suspicions import Suspicions
from suite import publog, registry
from suite.identity import canonical_json, sha256
from suite.ruleset import RULESET
from suite.store import Store

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
            version=importlib.metadata.version("assay-bench"),
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
        yield from (publog.cell_of(standing.file)[1] for standing in standings)
    for path in (shelf.folder / "studies").glob("*/*/"):
        if _SLUG.fullmatch(path.name):  # anything else holds no record that could be read
            yield path.name


class Keys:
    """Names for states: two builds that give a task the same key would write the same of it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.code = _code()
        methods = context.catalogue.methods
        common = {
            "code": self.code,
            "methods": {slug: [card.model_dump(mode="json"), ref.model_dump(mode="json")]
                        for slug, (card, ref) in methods.items()},
            "links": [sorted(context.links.tasks), sorted(context.links.methods),
                      context.links.version, context.links.with_local],
            "ruleset": context.ruleset.model_dump(mode="json"),
            "mlflow": context.mlflow,
        }  # fmt: skip
        self._common = sha256(canonical_json(common))

    def task(self, slug: str) -> str:
        """Of one task: its card, its code, its landscape, and every file of its records."""
        card, ref = self._context.catalogue.tasks[slug]
        files: list[tuple[str, list[int]]] = []
        for shelf in self._context.shelves:
            standings = shelf.standings.get(slug, ())
            place = str(shelf.folder)
            files += [(repr(s), _state(f"{place}/{s.file}")) for s in standings]
            for kind in ("studies", "runs"):
                found = (shelf.folder / kind / slug).glob("*/*.json")
                files += [(str(path), _state(path)) for path in sorted(found)]
        files.append(("landscape", _state(self._context.folders[slug] / "landscape.json")))
        own = [self._common, card.model_dump(mode="json"), ref.model_dump(mode="json"), files]
        return sha256(json.dumps(own, sort_keys=True))

    def together(self, name: str, parts: Mapping[str, str]) -> str:
        """Of several tasks, given the key of each."""
        return sha256(canonical_json([self._common, name, sorted(parts.items())]))

    def claims(self, parts: Mapping[str, str]) -> str:
        """Of the claims, given the key of each task that one names."""
        return sha256(canonical_json([self.together("claims", parts), self._cards]))

    def site(
        self, parts: Mapping[str, str], head: str, reports: Reports, problems: Sequence[str]
    ) -> str:
        """Of everything, given the key of each task and the last hash of the log."""
        said = TypeAdapter(Reports).dump_python(reports, mode="json")
        own = [self.together("site", parts), self._cards, head, said, list(problems)]
        return sha256(canonical_json(own))

    @property
    def _cards(self) -> dict[str, Any]:
        """Those of all tasks of the checkout."""
        tasks = self._context.catalogue.tasks
        return {slug: card.model_dump(mode="json") for slug, (card, _) in tasks.items()}


def _state(path: Path | str) -> list[int]:
    """What changes whenever a file is written; reading hundreds of megabytes would take seconds."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


@functools.cache
def _code() -> str:
    """Of everything that reads, computes or draws: Python, templates, styles."""
    digest = hashlib.sha256()
    for package in (leaderboard, suite):
        root = Path(package.__path__[0])
        for path in sorted(_sources(root)):
            if path.suffix in (".py", ".html", ".css", ".js", ".svg"):
                digest.update(f"{path.relative_to(root)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name in ("numpy", "scipy", "pydantic", "jinja2", "contourpy", "markupsafe", "pyarrow"):
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    """Files of a package; results may lie in it, by the thousand."""
    for path in root.iterdir():
        if path.is_dir() and path.name not in ("results", "__pycache__"):
            yield from _sources(path)
        elif path.is_file():
            yield path
