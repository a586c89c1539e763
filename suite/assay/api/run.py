"""`assay.run`: what `assay run` does, as a function."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from assay.api.class_source import write_method
from assay.api.questions import Names, listed, results_folder
from assay.api.results import Results
from assay.errors import UnknownName
from assay.method import Method
from assay.ruleset import Preset

PRESETS = ("quick", "full")
METHODS = "methods"
"""Folder, in that of the results, of the files made of classes."""
AnyMethod: TypeAlias = str | Path | type[Method]


def run(
    methods: AnyMethod | Sequence[AnyMethod],
    tasks: Names,
    *,
    preset: Preset = "full",
    repetitions: int | None = None,
    results: str | Path | None = None,
    workers: int | None = None,
    threads: int = 1,
    accelerator: str = "auto",
    isa: str = "avx2",
    executor: str = "local",
    address: str | None = None,
    gpus_per_run: float | None = None,
    allow_weaker: bool = False,
    mlflow: str | None = None,
    optuna_storage: str | None = None,
    progress: bool = True,
) -> Results:
    """Train, score and record methods on tasks, as `assay run` does.

    In each repetition a method is trained at its defaults and at further hyperparameter points;
    the best on validation counts.
    What is recorded is not run again, so a call that was interrupted continues when repeated.

    Args:
        methods: slugs, paths, or subclasses of `assay.Method`. A class becomes a file in
            `methods/` of the results folder, with whatever of its cell or module it needs; its slug
            is its name in snake case.
        tasks: slugs, globs, families, tiers, or paths of folders.
        preset: "quick" (fewer points and repetitions; preliminary) or "full".
        repetitions: how many, instead of the tier's; at most 16.
        results: folder of the records; default: `$ASSAY_RESULTS`, or `assay-results` here.
        workers: parallel runs; default: one a core, or a GPU.
        threads: threads of each worker.
        accelerator: "auto" (a GPU for tiers above lite), "cpu" or "gpu".
        isa: cap on the instruction set, "avx2" or "native".
        executor: where runs are done: "local", or "ray" (the extra `trainassay[ray]`).
        address: with "ray": "auto" or host:port; default: a Ray that is started on this machine.
        gpus_per_run: with "ray": GPUs that a run holds; 0.5 shares one.
        allow_weaker: run methods without a sandbox where none works here.
        mlflow: a tracking server, a PostgreSQL database, or "off"; default: `$ASSAY_MLFLOW`, or
            SQLite in the results folder.
        optuna_storage: a PostgreSQL database; default: `$ASSAY_OPTUNA_STORAGE`, or SQLite in the
            results folder.
        progress: show headline, warnings and progress.

    Returns:
        The runs of these methods on these tasks, also those recorded before.

    Raises:
        AssayError: a name is not known, a class cannot be copied, nothing can be run, or our own
            processes keep failing.
        KeyboardInterrupt: Ctrl-C; what was finished is recorded.
    """
    from assay.commands import run_many
    from assay.commands.clusters import ray_options
    from assay.engine.planning import RunRequest
    from assay.plugins.registry import select_tasks

    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    folder = results_folder(results)
    request = RunRequest(
        methods=names_of(methods, folder),
        tasks=select_tasks(listed(tasks)),
        preset=preset,
        repetitions=repetitions,
        workers=workers,
        threads=threads,
        accelerator=accelerator,
        isa=isa,
        ray=ray_options(executor, address, gpus_per_run, accelerator),
        allow_weaker=allow_weaker,
        results=folder,
        mlflow=mlflow or os.environ.get("ASSAY_MLFLOW") or None,
        optuna_storage=optuna_storage or os.environ.get("ASSAY_OPTUNA_STORAGE") or None,
        as_json=not progress,
    )

    def say(text: str) -> None:
        if progress:
            run_many.say(text)

    finished = run_many.execute(request, say)
    for line in finished.mirror_warnings:
        say(f"warning: {line}")
    if finished.progress.interrupted:
        raise KeyboardInterrupt(
            f"what was finished is recorded in {folder}; the same call continues"
        )
    return Results(folder, pairs=finished.pairs, problems=finished.progress.problems)


def names_of(methods: AnyMethod | Sequence[AnyMethod], results: Path) -> list[str]:
    """Methods as the registry finds them: slugs or paths; classes become files in `results`."""
    chosen = [methods] if isinstance(methods, str | Path | type) else methods
    return [_name_of(method, results) for method in chosen]


def _name_of(method: AnyMethod, results: Path) -> str:
    if isinstance(method, Path):
        return str(method.expanduser().resolve())
    return method if isinstance(method, str) else str(write_method(method, results / METHODS))
