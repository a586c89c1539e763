"""Results of ruleset 1, kept for reference: small summaries of records that nothing else reads.

Ruleset 1 tuned once (a study of K trials) and repeated the selected point R times. Its records lie
in bundles of format 1 (`runs.jsonl`, `studies.jsonl`) and in results folders under `runs/` and
`studies/`. They are shown apart, never compared with others and never replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.cards import Slug
from assay.errors import BundleError, RecordError
from assay.identity import sha256
from assay.records.formats import is_former
from assay.records.schema import Id
from assay.records.store import read_text
from assay.untrusted.files import read_regular
from assay.untrusted.zip_archive import MAX_ARCHIVE_BYTES, read_archive

MAX_TRIALS, MAX_REPETITIONS = 1_000, 1_000
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class FormerResult:
    """One method on one task under an earlier ruleset."""

    task: str
    method: str
    version: int
    """Of the method."""
    ruleset: int
    k: int
    """Points tried before the repetitions."""
    tests: tuple[float | None, ...]
    """Test score of each tuned repetition with a record; None for one that did not complete."""

    @property
    def n(self) -> int:
        """Tuned repetitions that have a record."""
        return len(self.tests)

    def mean(self, chance: float) -> float | None:
        """Their mean test score; the `chance` level stands for one that did not complete."""
        scores = [chance if test is None else test for test in self.tests]
        return fmean(scores) if scores else None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Ref(_Part):
    slug: Slug
    version: int


class _Study(_Part):
    schema_version: Literal[1]
    id: Id
    ruleset: Literal[1]
    preset: Literal["full", "quick"]
    task: _Ref
    method: _Ref
    trials: Annotated[list[object], Field(max_length=MAX_TRIALS)]
    selected_runs: Annotated[list[Id], Field(max_length=MAX_REPETITIONS)]
    epoch: Slug | None = None
    created_at: str

    @property
    def weight(self) -> tuple[object, ...]:
        """Sort key: the largest of a cell's studies is the one that counted."""
        size = self.preset == "full", len(self.trials), len(self.selected_runs)
        return self.epoch is None, *size, self.created_at, self.id


class _Result(_Part):
    test: Annotated[float, Field(ge=-1e100, le=1e100)]


class _Run(_Part):
    schema_version: Literal[1]
    id: Id
    result: _Result | None


def read_bundle(path: Path) -> FormerResult | None:
    """The result in a bundle of format 1; None if the bundle is of a later format.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        data = read_regular(path, MAX_ARCHIVE_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{path}: cannot be read: {reason}; expected a bundle file") from error
    return parse_bundle(data, path) if is_former(data) else None


def parse_bundle(data: bytes, path: Path) -> FormerResult:
    """The result in the file of a bundle of format 1.

    Raises:
        BundleError: it is damaged, or not of format 1.
    """
    try:
        members = read_archive(data)
        runs = {run.id: run for run in _lines(members, "runs.jsonl", _Run)}
        studies = _lines(members, "studies.jsonl", _Study)
        result = _summary(max(studies, key=lambda study: study.weight), runs.get)
    except (BundleError, RecordError) as error:
        said = "".join(c if c.isprintable() else "?" for c in str(error)[:600])
        raise BundleError(f"{path}: {said}") from error
    wanted = f"{result.task}--{result.method}-v{result.version}--{sha256(data)[:16]}.zip"
    if path.name != wanted:
        raise BundleError(f"{path}: the content belongs to a file called {wanted}: it was changed "
                          "or renamed")  # fmt: skip
    return result


def read_store(root: Path, task: str, problems: list[str] | None = None) -> list[FormerResult]:
    """The results on a task in a results folder, one a method, in the order of slugs.

    Args:
        root: the results folder.
        task: the task's slug.
        problems: what cannot be read is named here.
    """
    found: dict[str, _Study] = {}
    for path in sorted((root / "studies" / task).glob("*/*.json")):
        study = _of_file(path, _Study, problems)
        if study is None or (study.task.slug, study.method.slug) != (task, path.parent.name):
            continue
        known = found.get(study.method.slug, study)
        found[study.method.slug] = max(known, study, key=lambda study: study.weight)
    return [
        _summary(study, _run_reader(root / "runs" / task / method, problems))
        for method, study in sorted(found.items())
    ]


def _run_reader(folder: Path, problems: list[str] | None) -> Callable[[str], _Run | None]:
    return lambda run_id: _of_file(folder / f"{run_id}.json", _Run, problems)


def _summary(study: _Study, run_of: Callable[[str], _Run | None]) -> FormerResult:
    runs = [run for run_id in study.selected_runs if (run := run_of(run_id)) is not None]
    return FormerResult(
        task=study.task.slug,
        method=study.method.slug,
        version=study.method.version,
        ruleset=study.ruleset,
        k=len(study.trials),
        tests=tuple(run.result.test if run.result else None for run in runs),
    )


def _lines(members: Mapping[str, bytes], name: str, model: type[Model]) -> list[Model]:
    """The records of a member of a bundle; there is one at least.

    Raises:
        BundleError: there is none.
        RecordError: one is malformed.
    """
    lines = members.get(name, b"").splitlines()
    if not lines:
        raise BundleError(f"{name} is missing or empty")
    return [_record(line, f"{name}, line {n}", model) for n, line in enumerate(lines, 1)]


def _record(data: bytes, where: str, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{where}: {key[:100]}: {first['msg'][:300]}") from error


def _of_file(path: Path, model: type[Model], problems: list[str] | None) -> Model | None:
    """The record in a file; None if there is none, or it cannot be read."""
    try:
        return _record(read_text(path).encode(), str(path), model)
    except FileNotFoundError:
        return None
    except RecordError as error:
        if problems is not None:
            problems.append(str(error))
        return None
