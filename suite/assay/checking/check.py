"""`assay check`: everything that is wrong with methods and tasks, in one report.

Cards are checked in this process. Code is imported only by child processes of a worker, in which
assay.worker.probe_method tries a method out and assay.worker.probe_task examines a task. Authors
and CI run the same checks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from assay.checking.method_check import check_method
from assay.checking.report import CheckReport, CheckResult, failed
from assay.checking.task_check import check_task
from assay.engine.pool import Pool
from assay.errors import AssayError, PluginError, StorageError, UnknownName
from assay.plugins.registry import TaskEntry, folders, installed_entries, resolved
from assay.records.schema import Compute

Kind = Literal["method", "task"]
N_WORKERS = 1
"""A second one would cost more CPU time to start than an ordinary method takes to try out."""


def check_all(
    paths: list[str],
    as_json: bool,
    *,
    allow_weaker: bool = False,
    tasks: Sequence[TaskEntry] | None = None,
) -> bool:
    """Check methods and tasks, given by slug or path; False if anything failed.

    Args:
        paths: slugs or paths.
        as_json: print one JSON document at the end instead of lines.
        allow_weaker: check without a sandbox where none works.
        tasks: try methods out on these; default: every lite task that a method may enter.
    """
    report = CheckReport(as_json=as_json)
    subjects: list[tuple[Kind, str, Path]] = []
    for name in paths:
        try:
            subjects += [(kind, name, path) for kind, path in _resolve(name)]
        except AssayError as error:
            report.show("", name, [failed("name", str(error))])
    if subjects:
        with Pool(n_workers=N_WORKERS, compute=Compute(), allow_weaker=allow_weaker) as pool:
            for kind, name, path in subjects:
                if kind == "method":
                    report.show(kind, name, _contained(check_method(pool, path, tasks)))
                else:
                    report.show(kind, name, _contained(check_task(pool, path)))
    report.close()
    return report.passed


def _contained(results: Iterator[CheckResult]) -> Iterator[CheckResult]:
    """`results`, with an error of theirs as a failure: the checks of others go on.

    Raises:
        StorageError: there is no space for anything.
    """
    try:
        yield from results
    except StorageError:
        raise
    except AssayError as error:
        yield failed("check", str(error))


def _resolve(name: str) -> list[tuple[Kind, Path]]:
    """The method, the task or both that a name stands for: a slug, a folder or a file.

    Raises:
        AssayError: it stands for neither.
    """
    plain = "/" not in name and os.sep not in name and not name.endswith(".py")
    if plain:
        kinds: tuple[tuple[Kind, str], ...] = (("method", "submissions"), ("task", "tasks"))
        known = {kind: {path.name: path for path in folders(where)} for kind, where in kinds}
        found = [(kind, paths[name]) for kind, paths in known.items() if name in paths]
        if not found and any(name in part for part in installed_entries({})):
            found = [("method", Path(name))]
        if found:
            return found
        if not Path(name).is_dir():
            raise UnknownName(
                "method or task", name, {n for paths in known.values() for n in paths}
            )
    path = resolved(name)
    if path.is_file():
        if path.name in ("task.py", "method.py", "card.toml"):
            path = path.parent
        elif path.suffix == ".py":
            return [("method", path)]
    for kind in get_args(Kind):
        if (path / f"{kind}.py").is_file():
            return [(kind, path)]
    raise PluginError(
        f"{path}: expected a folder with card.toml and method.py or task.py, or a .py file"
    )
