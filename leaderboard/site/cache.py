"""What a build keeps for the next one: finished parts under a key of everything they depend on.

    <cache>/<name>/<key>/part.json   what the part said, and its files with sizes and times
    <cache>/<name>/<key>/files/...   its files, hard links to those of the site

Only JSON is read back, and it is checked again. A part that is damaged, or whose files were
touched since, is as good as none. Of each name the newest key is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from leaderboard.site.folder import File
from suite.identity import sha256

Model = TypeVar("Model", bound=BaseModel)


class Cache:
    """A folder of finished parts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, results: Path) -> Cache | None:
        """The cache for a results folder, in the user's own; None where it cannot be written.

        Not beside the results, which belong to a repository.
        """
        own = Path(os.environ.get("ASSAY_CACHE") or "~/.cache/assay").expanduser()
        folder = own / "site" / sha256(str(results.resolve()))[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder):
                return cls(folder)
        except OSError:
            return None

    def restore(
        self, name: str, key: str, root: Path, model: type[Model]
    ) -> tuple[Model, list[File]] | None:
        """What the part said, and its files, now below `root` too; None if it cannot be used."""
        place = self._folder / name / key
        done: list[Path] = []
        try:
            kept = json.loads((place / "part.json").read_text(encoding="utf-8"))
            files = [File.model_validate(file) for file in kept["files"]]
            for file, time in zip(files, kept["times"], strict=True):
                target = root / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(place / "files" / file.path, target)
                done.append(target)
                found = target.stat()
                if (found.st_size, found.st_mtime_ns) != (file.n_bytes, time):
                    raise ValueError("was touched")
            return model.model_validate_json(kept["text"]), files
        except (OSError, ValueError, KeyError, TypeError):
            for target in done:
                target.unlink()
            return None

    def keep(self, name: str, key: str, root: Path, text: str, files: Iterable[File]) -> None:
        """Keep a part whose files lie below `root`; a cache that cannot be written is no error."""
        with contextlib.suppress(OSError):
            own = self._folder / name
            own.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=own, prefix=".writing-") as writing:
                self._write(Path(writing) / "part", root, text, list(files))
                for old in own.iterdir():
                    if old != Path(writing):
                        shutil.rmtree(old, ignore_errors=True)
                (Path(writing) / "part").rename(own / key)

    def _write(self, place: Path, root: Path, text: str, files: list[File]) -> None:
        times = []
        for file in files:
            target = place / "files" / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(root / file.path, target)
            times.append(target.stat().st_mtime_ns)
        kept = {"files": [file.model_dump() for file in files], "times": times, "text": text}
        place.mkdir(parents=True, exist_ok=True)
        (place / "part.json").write_text(json.dumps(kept), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there can be none."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
