"""A folder of results, or what one call of `assay.run` made of it."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.api.questions import board, compare, judge, results_folder
from assay.errors import AssayError
from assay.plugins.registry import MethodEntry, TaskEntry, method_ref, task_entries, task_ref
from assay.records.schema import MethodRef, RunRecord, TaskRef
from assay.records.selection import results
from assay.records.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from assay_leaderboard.boards.two_methods import ComparisonReport
    from assay_leaderboard.claims.ledger import Ledger
    from assay_leaderboard.schema.board import Board

    from assay.api.answers import Answer

COLUMNS = (
    "task", "family", "tier", "method", "repetition", "point", "selected", "hyperparameters",
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
            self._cards = {task.card.slug: task.card for task, _ in pairs}
        else:
            self._cards = {slug: task.card for slug, task in task_entries().items()}

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
        store = Store(self.folder)
        if self._pairs is None:
            yield from store.runs([])
            return
        for (task, method), refs in sorted(self._pairs.items()):
            for record in store.runs([], task, method):
                if (record.spec.task, record.spec.method) == refs:  # not what older code left
                    yield record

    def board(
        self,
        task_or_family: str | Sequence[str] | None = None,
        *,
        budget: int | None = None,
        published: bool = False,
    ) -> Answer[Board]:
        """The board of these tasks and methods; see `assay.board`."""
        methods = sorted({method for _, method in self._pairs}) if self._pairs else []
        return board(
            self._names(task_or_family),
            results=self.folder,
            methods=methods,
            budget=budget,
            published=published,
        )

    def compare(
        self,
        a: str | type,
        b: str | type,
        task_or_family: str | Sequence[str] | None = None,
        *,
        budget: int | None = None,
    ) -> Answer[ComparisonReport]:
        """Two methods, task by task; see `assay.compare`."""
        names = self._names(task_or_family)
        return compare(a, b, names, results=self.folder, budget=budget)

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
            repetition: which experiment; its number seeds all that is random.
            point: number of the hyperparameter point, 0 is the defaults; missing where the
                hyperparameters were chosen by hand.
            selected: whether this point is its repetition's result, being the best on validation;
                missing where the task is not known here.
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

        records = list(self.runs())
        chosen = self._selected(records)
        rows = [_row(record, chosen) for record in records]
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        return frame.astype({"point": "Int64", "selected": "boolean"})

    def _selected(self, records: Sequence[RunRecord]) -> dict[str, set[str]]:
        """Ids of the runs that are their repetition's result, by task, where that is known."""
        by_task: dict[str, list[RunRecord]] = {}
        for record in records:
            by_task.setdefault(record.spec.task.slug, []).append(record)
        return {
            task: {run.id for run in results(by_task[task], card.metric)}
            for task, card in self._cards.items()
            if task in by_task
        }

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
    return task.card.slug if task.card.slug in task_entries() else str(task.folder)


def _row(record: RunRecord, chosen: Mapping[str, set[str]]) -> list[Any]:
    spec, result = record.spec, record.result
    known = chosen.get(spec.task.slug)
    return [
        spec.task.slug,
        record.family,
        record.tier,
        spec.method.slug,
        spec.repetition,
        spec.point,
        None if known is None else record.id in known,
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
