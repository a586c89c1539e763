"""`assay.diagnose`: what `assay diagnose` does, as a function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.api.answers import Answer
from assay.api.questions import listed, results_folder
from assay.api.run import AnyMethod, names_of
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.records.solutions import Solutions


def diagnose(
    methods: AnyMethod | Sequence[AnyMethod],
    task: str | Path,
    *,
    repetitions: int = 3,
    results: str | Path | None = None,
    allow_weaker: bool = False,
    progress: bool = True,
) -> Answer[Solutions]:
    """How the networks that methods find differ, as `assay diagnose` shows it.

    Args:
        methods: slugs, paths, or subclasses of `assay.Method`, as `assay.run` takes them.
        task: slug or path of a labelled task.
        repetitions: how many, of those that all methods have.
        results: folder of the records; default: `$ASSAY_RESULTS`, or `assay-results` here.
        allow_weaker: run methods without a sandbox where none works here.
        progress: show what is being done.

    Raises:
        AssayError: not one task is given, a name is not known, there is no record, or a run cannot
            be done again.
        KeyboardInterrupt: Ctrl-C; what was finished is kept.
    """
    from assay.commands.diagnose import DiagnosisRequest, execute
    from assay.commands.solutions_text import show_solutions

    folder = results_folder(results)
    tasks = listed(task)
    if len(tasks) != 1:
        raise AssayError(f"expected one task, got {len(tasks)}")
    request = DiagnosisRequest(
        methods=names_of(methods, folder),
        task=tasks[0],
        results=folder,
        repetitions=repetitions,
        allow_weaker=allow_weaker,
        quiet=not progress,
    )
    return Answer(execute(request), show_solutions)
