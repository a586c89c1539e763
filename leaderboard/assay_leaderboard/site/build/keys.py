"""TODO: keys."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import assay
from assay.identity import canonical_json, sha256
from pydantic import TypeAdapter

import assay_leaderboard
from assay_leaderboard.site.build.inputs import Context
from assay_leaderboard.site.reports import Reports


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
        return sha256(canonical_json(own))

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
    for package in (assay_leaderboard, assay):
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
