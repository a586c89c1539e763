"""Cache keys: equal keys mean identical output.

A key is a hash of everything that the output depends on: code, cards, and the files of records.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import assay
from assay.identity import canonical_json, sha256
from pydantic import TypeAdapter

import assay_leaderboard
from assay_leaderboard.site.build.inputs import BuildInputs
from assay_leaderboard.site.reports import Reports


class CacheKeys:
    """The keys of one build."""

    def __init__(self, inputs: BuildInputs) -> None:
        self._inputs = inputs
        self.code = _code_hash()
        tasks, methods = inputs.catalogue.tasks, inputs.catalogue.methods
        self._cards = {slug: card.model_dump(mode="json") for slug, (card, _) in tasks.items()}
        common = {
            "code": self.code,
            "methods": {slug: [card.model_dump(mode="json"), ref.model_dump(mode="json")]
                        for slug, (card, ref) in methods.items()},
            "site": [sorted(inputs.site.tasks), sorted(inputs.site.methods),
                     inputs.site.version, inputs.site.with_local],
            "rules": [inputs.rules.published, dict(inputs.rules.revealed)],
            "epochs": [repr(epoch) for epoch in inputs.epochs],
            "ruleset": inputs.ruleset.model_dump(mode="json"),
            "mlflow": inputs.mlflow,
        }  # fmt: skip
        self._common = sha256(canonical_json(common))

    def task(self, slug: str) -> str:
        """The key of a task: its card, its code, its landscape, and the files of its records."""
        _, ref = self._inputs.catalogue.tasks[slug]
        files: list[tuple[str, list[int]]] = []
        for results in self._inputs.results:
            standings = results.standings.get(slug, ())
            files += [(repr(s), _file_state(results.folder / s.file)) for s in standings]
            tries = [(cell, own) for cell, own in results.tries.items() if cell[0] == slug]
            files.append((repr(sorted(tries)), []))
            for kind in ("runs", "studies", "diagnostics"):  # studies: of ruleset 1
                found = (results.folder / kind / slug).glob("*/*.json")
                files += [(ascii(str(path)), _file_state(path)) for path in sorted(found)]
        landscape = self._inputs.task_folders[slug] / "landscape.json"
        files.append(("landscape", _file_state(landscape)))
        own = [self._common, self._cards[slug], ref.model_dump(mode="json"), files]
        return sha256(canonical_json(own))

    def family(self, name: str, tasks: Mapping[str, str]) -> str:
        """The key of a family, from the keys of its tasks."""
        return sha256(canonical_json([self._common, "family", name, tasks]))

    def claims(self, tasks: Mapping[str, str]) -> str:
        """The key of the ledger of claims, from the keys of the tasks that claims name."""
        return sha256(canonical_json([self._common, "claims", tasks, self._cards]))

    def site(
        self, tasks: Mapping[str, str], head: str, reports: Reports, problems: Sequence[str]
    ) -> str:
        """The key of the whole site, from the keys of its tasks and the last hash of the log."""
        reported = TypeAdapter(Reports).dump_python(reports, mode="json")
        own = [self._common, "site", tasks, self._cards, head, reported, list(problems)]
        return sha256(canonical_json(own))


def _file_state(path: Path) -> list[int]:
    """Size, times and inode of a file: hashing hundreds of megabytes would take seconds."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _code_hash() -> str:
    """A hash of all code that shapes the output: Python, templates, styles, library versions."""
    digest = hashlib.sha256()
    for package in (assay_leaderboard, assay):
        root = Path(package.__path__[0])
        for path in sorted(_source_files(root)):
            if path.suffix in (".py", ".html", ".css", ".js", ".svg"):
                digest.update(f"{path.relative_to(root)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name in ("numpy", "scipy", "pydantic", "jinja2", "contourpy", "markupsafe", "pyarrow"):
        digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    return digest.hexdigest()


def _source_files(root: Path) -> Iterator[Path]:
    """All files of a package."""
    for path in root.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            yield from _source_files(path)
        elif path.is_file():
            yield path
