"""Finished parts of a site, kept for the next build under a key of all that they depend on.

    <cache>/<name>/<key>/part.json    what the part says (TaskPart, FamilyPart, Ledger)
    <cache>/<name>/<key>/files.json   its files, with their sizes and times
    <cache>/<name>/<key>/files/...    these files, as hard links to those of the site
    <cache>/memos/...                 bootstraps of families (family_part)

Of each name only the newest key is kept. A part that is damaged, or whose files were changed since,
is not used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple, TypeVar

from assay.identity import sha256
from pydantic import BaseModel

from assay_leaderboard.schema.values import Part
from assay_leaderboard.site.output import OutputFile

Model = TypeVar("Model", bound=BaseModel)
_PART, _FILES = "part.json", "files.json"


class MadePart(NamedTuple):
    """A part of a site as a worker process hands it over.

    It is read back from its JSON whether it was made now or kept, so both are equal to the last
    digit.
    """

    json: str
    files: list[OutputFile]


class PartCache:
    """A folder of finished parts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.memos = folder / "memos"

    @classmethod
    def of(cls, results: Path) -> PartCache | None:
        """The cache for a folder of results; None where it cannot be written.

        It lies in the user's cache folder (or ASSAY_CACHE) and not beside the results, which belong
        to a repository.
        """
        base = Path(os.environ.get("ASSAY_CACHE") or "~/.cache/assay").expanduser()
        folder = base / "site" / sha256(str(results.resolve()))[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder):
                return cls(folder)
        except OSError:
            return None

    def restore(
        self, name: str, key: str, root: Path, model: type[Model]
    ) -> tuple[Model, list[OutputFile]] | None:
        """The part kept under this key, and its files, which are linked into `root`.

        None if there is none that can be used.
        """
        folder = self._folder / name / key
        linked: list[Path] = []
        try:
            entry = _CacheEntry.model_validate_json((folder / _FILES).read_bytes())
            for file, time in zip(entry.files, entry.times, strict=True):
                target = root / file.path
                _link(folder / "files" / file.path, target)
                linked.append(target)
                found = target.lstat()
                if (found.st_size, found.st_mtime_ns) != (file.n_bytes, time):
                    raise ValueError(f"{file.path} was changed")
            return model.model_validate_json((folder / _PART).read_bytes()), entry.files
        except (OSError, ValueError):
            for path in linked:
                path.unlink()
            return None

    def keep(self, name: str, key: str, root: Path, part: MadePart) -> None:
        """Keep a part whose files lie below `root`; do nothing where that is not possible."""
        with contextlib.suppress(OSError):
            folder = self._folder / name
            folder.mkdir(parents=True, exist_ok=True)
            writing = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
            try:
                _write(writing, root, part)
                for old in folder.iterdir():
                    if old != writing:
                        shutil.rmtree(old, ignore_errors=True)
                writing.rename(folder / key)
            except BaseException:
                shutil.rmtree(writing, ignore_errors=True)
                raise


class _CacheEntry(Part):
    """files.json."""

    files: list[OutputFile]
    times: list[int]
    """When each was last changed, in ns."""


def _write(folder: Path, root: Path, part: MadePart) -> None:
    for file in part.files:
        _link(root / file.path, folder / "files" / file.path)
    times = [(root / file.path).lstat().st_mtime_ns for file in part.files]
    entry = _CacheEntry(files=part.files, times=times)
    (folder / _FILES).write_text(entry.model_dump_json(), encoding="utf-8")
    (folder / _PART).write_text(part.json, encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy where there can be none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
