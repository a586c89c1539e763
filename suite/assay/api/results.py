"""A folder of results, or what one call of `assay.run` made of it."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.api.questions import board, compare, judge, results_folder
from assay.errors import AssayError
from assay.identity import canonical_json
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_ref
from assay.records.schema import MethodRef, RunRecord, StudyRecord, TaskRef
from assay.records.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from assay_leaderboard.boards.two_methods import ComparisonReport
    from assay_leaderboard.claims.ledger import Ledger
    from assay_leaderboard.schema.board import Board

    from assay.api.answers import Answer

COLUMNS = (
    "task", "family", "tier", "method", "purpose", "repetition", "point", "hyperparameters",
    "status", "val", "test", "example_passes", "seconds", "level", "epoch", "method_hash", "id",
)  # fmt: skip
Refs = tuple[TaskRef, MethodRef]


class Results:
    """Records of runs, and the questions they answer.

    `assay.run` returns one that holds the runs of its methods on its tasks;
    `assay.Results("folder")` holds all runs of a folder.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pairs: Sequence[tuple[TaskEntry, MethodEntry]] | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        self.folder = results_folder(folder)
        self.problems = list(problems)
        """What kept runs of the call from being recorded, a line each."""
        self._pairs: dict[tuple[str, str], Refs] | None = None
        self._task_names: Mapping[str, str] = {}
        if pairs is not None:
            self._pairs = {
                (task.card.slug, method.card.slug): (task_ref(task), method_ref(method))
                for task, method in pairs
            }
            self._task_names = {task.card.slug: _task_name(task) for task, _ in pairs}

    @property
    def tasks(self) -> list[str]:
        """The slugs of the tasks that have runs here."""
        return sorted({record.spec.task.slug for record in self.runs()})

    @property
    def methods(self) -> list[str]:
        """The slugs of the methods that have runs here."""
        return sorted({record.spec.method.slug for record in self.runs()})

    def runs(self) -> Iterator[RunRecord]:
        """The record of every run, by task and method."""
        return (record for record in self._records(RunRecord) if isinstance(record, RunRecord))

    def _records(self, kind: type[RunRecord] | type[StudyRecord]) -> Iterator[Any]:
        store = Store(self.folder)
        if self._pairs is None:
            yield from store.runs([]) if kind is RunRecord else store.studies([])
            return
        name, read = ("runs", store.run) if kind is RunRecord else ("studies", store.study)
        for (task, method), refs in sorted(self._pairs.items()):
            for path in sorted((self.folder / name / task / method).glob("*.json")):
                record: Any = read(task, method, path.stem)
                named = record.spec if kind is RunRecord else record
                if (named.task, named.method) == refs:  # not what older code left
                    yield record

    def board(
        self,
        task_or_family: str | Sequence[str] | None = None,
        *,
        defaults: bool = False,
        published: bool = False,
    ) -> Answer[Board]:
        """The board of these tasks and methods; see `assay.board`."""
        methods = sorted({method for _, method in self._pairs}) if self._pairs else []
        return board(
            self._names(task_or_family),
            results=self.folder,
            methods=methods,
            defaults=defaults,
            published=published,
        )

    def compare(
        self,
        a: str | type,
        b: str | type,
        task_or_family: str | Sequence[str] | None = None,
        *,
        defaults: bool = False,
    ) -> Answer[ComparisonReport]:
        """Two methods, task by task; see `assay.compare`."""
        names = self._names(task_or_family)
        return compare(a, b, names, results=self.folder, defaults=defaults)

    def judge(self, *methods: str, published: bool = False) -> Answer[Ledger]:
        """What cards claim, held against these records; see `assay.judge`."""
        return judge(*methods, results=self.folder, published=published)

    def _names(self, given: str | Sequence[str] | None) -> list[str]:
        """Names as the registry knows them: a task outside the checkout by its folder."""
        if given is None:
            return sorted(self._task_names.values())
        names = [given] if isinstance(given, str) else given
        return [self._task_names.get(name, name) for name in names]

    def frame(self) -> pd.DataFrame:
        """One row a run.

        Columns:
            task, family, tier, method: slugs, the family and the tier of the task.
            purpose, repetition: "tuning" or "repetition", and which repetition.
            point: number of the hyperparameter point in its tuning, 0 is the defaults; missing
                where the run belongs to no tuning.
            hyperparameters: a dictionary, all values.
            status: completed, diverged, out_of_budget or failed.
            val, test: scores in the task's metric; missing unless completed.
            example_passes: what was spent of the budget.
            seconds: wall time of the run.
            level: of isolation, L1 or L2.
            epoch: whose hidden seeds it used; missing for the public ones.
            method_hash: which version of the method's code, its first 8 digits.
            id: of the run.
        """
        import pandas as pd

        points = {
            (study.task, study.method, canonical_json(trial.hyperparameters)): trial.number
            for study in self._records(StudyRecord)
            for trial in study.trials
        }
        rows = [_row(record, points) for record in self.runs()]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"point": "Int64"})

    def _headline(self) -> str:
        counts: Counter[str] = Counter()
        tasks, methods = set(), set()
        for record in self.runs():
            counts[record.status] += 1
            tasks.add(record.spec.task.slug)
            methods.add(record.spec.method.slug)
        told = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items()))
        return (
            f"{_count(counts.total(), 'run')} of {_count(len(methods), 'method')} on "
            f"{_count(len(tasks), 'task')} in {self.folder}" + (f": {told}" if told else "")
        )

    def __repr__(self) -> str:
        parts = [self._headline(), *self.problems]
        try:
            parts += ["", repr(self.board())]
        except AssayError as error:
            parts.append(str(error))
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [f"<div>{html.escape(line)}</div>" for line in (self._headline(), *self.problems)]
        try:
            parts.append(self.board()._repr_html_())
        except AssayError as error:
            parts.append(f"<div>{html.escape(str(error))}</div>")
        return "".join(parts)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _task_name(task: TaskEntry) -> str:
    from assay.plugins.registry import task_entries

    return task.card.slug if task.card.slug in task_entries() else str(task.folder)


def _row(record: RunRecord, points: Mapping[tuple[TaskRef, MethodRef, str], int]) -> list[Any]:
    spec, result = record.spec, record.result
    key = (spec.task, spec.method, canonical_json(spec.hyperparameters))
    return [
        spec.task.slug,
        record.family,
        record.tier,
        spec.method.slug,
        spec.purpose,
        spec.repetition,
        points.get(key),
        dict(spec.hyperparameters),
        record.status,
        result.val if result else float("nan"),
        result.test if result else float("nan"),
        record.usage.example_passes,
        record.usage.wall_seconds,
        record.isolation.level,
        spec.epoch,
        spec.method.code_hash[:8],
        record.id,
    ]
