"""What a build keeps for the next one: finished parts under a key of everything they depend on.

    <cache>/<name>/<key>/part.json    what the part said
    <cache>/<name>/<key>/files.json   its files, with sizes and times
    <cache>/<name>/<key>/files/...    these files, hard links to those of the site

Only JSON and arrays of plain values are read back, and they are checked again. A part that is
damaged, or whose files were touched since, is as good as none. Of each name the newest key is kept.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from assay.identity import sha256
from pydantic import BaseModel

from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.output import OutputFile

Model = TypeVar("Model", bound=BaseModel)
_SAID, _FILES = "part.json", "files.json"


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

    def holds(self, name: str, key: str) -> bool:
        """There is such a part, perhaps a damaged one."""
        return (self._folder / name / key).is_dir()

    def restore(
        self, name: str, key: str, root: Path, model: type[Model]
    ) -> tuple[Model, list[OutputFile]] | None:
        """What the part said, and its files, now below `root` too; None if it cannot be used."""
        place = self._folder / name / key
        done: list[str] = []
        try:
            kept = _CacheEntry.read(place)
            link = _Links(place / "files", root)
            for file, time in zip(kept.files, kept.times, strict=True):
                done.append(link(file.path))
                if _state(done[-1]) != (file.n_bytes, time):
                    raise ValueError("was touched")
            return model.model_validate_json((place / _SAID).read_bytes()), kept.files
        except (OSError, ValueError):
            for path in done:
                os.unlink(path)
            return None

    def newest(self, name: str, path: str) -> Path | None:
        """A file of a part, whatever the part's key; None if there is none or it was touched."""
        for place in (self._folder / name).glob("*"):
            with contextlib.suppress(OSError, ValueError):
                kept = _CacheEntry.read(place)
                for file, time in zip(kept.files, kept.times, strict=True):
                    found = place / "files" / file.path
                    if file.path == path and _state(found) == (file.n_bytes, time):
                        return found
        return None

    def keep(self, name: str, key: str, root: Path, text: str, files: Iterable[OutputFile]) -> None:
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

    def _write(self, place: Path, root: Path, text: str, files: list[OutputFile]) -> None:
        link = _Links(root, place / "files")
        times = [_state(link(file.path))[1] for file in files]
        place.mkdir(parents=True, exist_ok=True)
        kept = _CacheEntry(files=files, times=times)
        (place / _FILES).write_text(kept.model_dump_json(), encoding="utf-8")
        (place / _SAID).write_text(text, encoding="utf-8")


class _CacheEntry(Part):
    """files.json."""

    files: list[OutputFile]
    times: list[int]
    """Of their last changes, ns."""

    @classmethod
    def read(cls, place: Path) -> _CacheEntry:
        """That of a folder; OSError or ValueError where there is none."""
        return cls.model_validate_json((place / _FILES).read_bytes())


def _state(path: str | Path) -> tuple[int, int]:
    """Size and time of the last change."""
    found = os.lstat(path)
    return found.st_size, found.st_mtime_ns


class _Links:
    """Links files of one folder into another, thousands of them: no folder is looked at twice."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = str(source), str(target)
        self._folders: set[str] = set()

    def __call__(self, path: str) -> str:
        """Link one file; where it is now."""
        linked = f"{self._target}/{path}"
        folder = linked.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)
        _link(f"{self._source}/{path}", linked)
        return linked


def _link(source: str, target: str) -> None:
    """A hard link, or a copy where there can be none."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
