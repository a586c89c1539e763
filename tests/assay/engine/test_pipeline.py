"""The promises of planning and resuming, with a pool that trains nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.engine.cells import Cell, missing_runs
from assay.engine.pipeline import MAX_WORKER_ERRORS, Pipeline, Progress
from assay.errors import DataError, PluginError, RecordError, RunHung, StorageError, WorkerError
from assay.records.store import Store
from assay.ruleset import RULESET


@pytest.fixture
def cells(
    make_task: Callable[..., Any], make_method: Callable[..., Any], make_cell: Callable[..., Cell]
) -> list[Cell]:
    tasks = [make_task("one"), make_task("other", batches=12)]
    methods = [make_method("sgd", "a = 1\n"), make_method("adam", "a = 2\n")]
    return [make_cell(task, method) for task in tasks for method in methods]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def run(pool: Any, store: Store, cells: list[Cell], stop_after: int | None = None) -> Progress:
    def observe(progress: Progress) -> None:
        if stop_after is not None and progress.done >= stop_after:
            raise KeyboardInterrupt

    return Pipeline(pool, store, None, observe).run(cells)


def contents(store: Store) -> dict[str, Any]:
    """Everything recorded, without the time it was recorded."""
    records = [*store.runs(), *store.studies()]
    kept = {record.id: record.model_dump(exclude={"created_at"}) for record in records}
    assert len(kept) == len(records)
    return kept


def test_the_defaults_can_be_repeated_alone(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    pool = fake_pool()
    pipeline = Pipeline(pool, store, None, lambda progress: None)
    progress = pipeline.repeat(cells, [100, 101])
    assert progress.done == progress.total == 2 * len(cells) == len(pool.ran)
    specs = [record.spec for record in store.runs()]
    assert {spec.repetition for spec in specs} == {100, 101}
    assert all(spec.purpose == "repetition" for spec in specs)
    assert all(spec.hyperparameters == cells[0].points[0] for spec in specs)
    assert list(store.studies()) == []
    again = pipeline.repeat(cells, [100, 101, 102])
    assert (again.reused, again.done) == (2 * len(cells), len(cells))


def test_a_cell_is_tuned_then_repeated(fake_pool: Any, store: Store, cells: list[Cell]) -> None:
    pool = fake_pool()
    progress = run(pool, store, cells)
    k, r = RULESET.quick_tuning_points, RULESET.quick_repetitions
    assert progress.done == progress.total == len(cells) * (k + r) == len(pool.ran)
    assert sum(progress.by_status.values()) == progress.done
    assert set(pool.ran) == {record.id for record in store.runs()}
    for cell in cells:
        study = store.study(cell.task_ref.slug, cell.method_ref.slug, cell.study_id)
        assert study is not None
        runs = [store.run(cell.task_ref.slug, cell.method_ref.slug, t.run_id) for t in study.trials]
        assert [run.spec.hyperparameters for run in runs if run] == cell.points
        assert all(run is not None and run.spec.purpose == "tuning" for run in runs)
        for trial, made in zip(study.trials, runs, strict=True):
            assert made is not None
            assert trial.val == (made.result.val if made.result else cell.task.card.metric.chance)
        assert study.trials[study.selected].val == max(trial.val for trial in study.trials)
        best = study.trials[study.selected].hyperparameters
        for number, run_id in enumerate(study.selected_runs):
            made = store.run(cell.task_ref.slug, cell.method_ref.slug, run_id)
            assert made is not None
            assert (made.spec.hyperparameters, made.spec.repetition) == (best, number)
            assert made.spec.purpose == "repetition"
        assert len(study.selected_runs) == r
        assert study.default_runs == []


def test_the_full_preset_repeats_the_defaults_too(
    fake_pool: Any, store: Store, cells: list[Cell], make_cell: Callable[..., Cell]
) -> None:
    cell = make_cell(cells[0].task, cells[0].method, "full")
    progress = run(fake_pool(), store, [cell])
    (study,) = store.studies()
    assert len(study.trials) == RULESET.k("lite")
    assert len(study.selected_runs) == len(study.default_runs) == RULESET.repetitions
    shared = study.selected == 0
    assert set(study.selected_runs).isdisjoint(study.default_runs) != shared
    assert progress.done == progress.total


def test_quick_points_are_the_first_of_the_full_ones(
    cells: list[Cell], make_cell: Callable[..., Cell]
) -> None:
    full = make_cell(cells[0].task, cells[0].method, "full")
    assert full.points[: len(cells[0].points)] == cells[0].points
    assert full.points[0] == full.space.defaults
    assert [spec.id for spec in full.tuning][:4] == [spec.id for spec in cells[0].tuning]


@pytest.mark.parametrize("n_workers", [1, 3])
def test_stopped_after_any_run_the_same_command_finishes(
    fake_pool: Any, tmp_path: Path, cells: list[Cell], n_workers: int
) -> None:
    whole = Store(tmp_path / "whole")
    run(fake_pool(), whole, cells)
    total = len(list(whole.runs()))
    for stop_after in range(0, total + 1, 3):
        store = Store(tmp_path / f"stopped{stop_after}")
        first, second = fake_pool(n_workers), fake_pool(n_workers)
        progress = run(first, store, cells, stop_after)
        assert progress.interrupted
        assert first.aborted
        kept = {record.id for record in store.runs()}
        assert len(kept) == stop_after
        resumed = run(second, store, cells)
        assert not resumed.interrupted
        assert set(second.ran).isdisjoint(kept)
        assert len(set(second.ran)) == len(second.ran) == resumed.done
        assert resumed.done + resumed.reused == total == resumed.total
        assert contents(store) == contents(whole)


def test_a_finished_command_runs_and_writes_nothing(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    run(fake_pool(), store, cells)
    stamps = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")}
    again = fake_pool()
    progress = run(again, store, cells)
    assert again.ran == []
    assert (progress.done, progress.reused) == (0, len(list(store.runs())))
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")} == stamps
    assert all(missing == 0 for _, missing in missing_runs(cells, store))


def test_missing_runs_are_counted_before_and_while(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    assert [missing for _, missing in missing_runs(cells[:1], store)] == [12]
    run(fake_pool(), store, cells[:1], stop_after=5)
    assert [missing for _, missing in missing_runs(cells[:1], store)] == [7]


def test_a_method_that_changed_shares_no_record(
    fake_pool: Any, store: Store, cells: list[Cell], make_cell: Callable[..., Cell]
) -> None:
    run(fake_pool(), store, cells[:1])
    cells[0].method.source.write_text("a = 3\n")
    changed = make_cell(cells[0].task, cells[0].method)
    progress = run(fake_pool(), store, [changed])
    assert progress.reused == 0
    assert len(list(store.runs())) == 2 * progress.done


def test_failing_defaults_stop_the_cell_and_no_other(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    pool = fake_pool(broken={"sgd": "ValueError: no"})
    progress = run(pool, store, cells)
    failed = [record for record in store.runs() if record.status == "failed"]
    assert len(failed) == 2  # one a task: the defaults
    assert all(record.spec.hyperparameters == cells[0].points[0] for record in failed)
    assert progress.failures == {"sgd": "sgd failed on one: ValueError: no"}
    assert progress.problems == [
        f"sgd on {task}: the defaults failed (ValueError: no); no other point was tried"
        for task in ("one", "other")
    ]
    assert [study.method.slug for study in store.studies()] == ["adam", "adam"]
    assert progress.done == progress.total == 2 + 24
    again = fake_pool()
    resumed = run(again, store, cells)
    assert (again.ran, resumed.problems) == ([], progress.problems)
    assert (resumed.reused, resumed.total) == (26, 26)


def test_diverging_defaults_stop_nothing(fake_pool: Any, store: Store, cells: list[Cell]) -> None:
    progress = run(fake_pool(share_diverged=1.0), store, cells[:1])
    assert (progress.done, progress.problems, progress.failures) == (12, [], {})


def test_a_method_whose_repeated_defaults_all_fail_is_a_problem(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    pipeline = Pipeline(fake_pool(broken={"adam": "no"}), store, None, lambda progress: None)
    progress = pipeline.repeat(cells[:2], [0, 1])
    assert progress.problems == ["adam on one: every run failed"]


@pytest.mark.parametrize("which", [0, 2])
def test_a_run_that_hangs_has_no_record_and_is_tried_again(
    fake_pool: Any, store: Store, cells: list[Cell], which: int
) -> None:
    hangs = cells[0].tuning[which].id

    class Hanging(fake_pool):  # type: ignore[misc]
        def run(self, job: Any, reproduce: str) -> Any:
            if job.spec.id == hangs:
                raise RunHung("sgd on one (tuning, repetition 0): stopped as it did not end")
            return super().run(job, reproduce)

    progress = run(Hanging(), store, cells[:2])
    (problem,) = progress.problems
    assert "stopped as it did not end" in problem
    kept = {record.id for record in store.runs()}
    assert hangs not in kept
    assert progress.done == len(kept) == 12 + (3 if which else 0)
    assert [study.method.slug for study in store.studies()] == ["adam"]
    resumed = run(fake_pool(), store, cells[:2])
    assert (resumed.problems, resumed.done + resumed.reused) == ([], 24)


@pytest.mark.parametrize("error", [DataError("no data"), PluginError("no task")])
def test_a_task_that_cannot_run_is_one_problem_and_takes_no_other_with_it(
    fake_pool: Any, store: Store, cells: list[Cell], error: Exception
) -> None:
    pool = fake_pool(2, fails={"one": error})
    progress = run(pool, store, cells)
    assert progress.problems == [f"one: {error}"]
    assert {record.spec.task.slug for record in store.runs()} == {"other"}
    assert progress.done == 24
    assert [record.task.slug for record in store.studies()] == ["other", "other"]
    resumed = run(fake_pool(), store, cells)
    assert (resumed.done, resumed.reused, resumed.problems) == (24, 24, [])


def test_workers_that_keep_dying_end_the_command(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    pool = fake_pool(fails={"one": WorkerError("died")})
    pipeline = Pipeline(pool, store, None, lambda progress: None)
    with pytest.raises(WorkerError, match="died"):
        pipeline.run(cells)
    assert pipeline.progress.problems == ["died"] * MAX_WORKER_ERRORS
    assert pool.aborted
    assert list(store.runs()) == []


def test_a_full_disk_ends_the_command_and_the_next_one_continues(
    fake_pool: Any, store: Store, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    link, calls = os.link, []

    def filling(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        link(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", filling)
        pool = fake_pool()
        with pytest.raises(StorageError, match=r"the disk is full.*finished runs are kept"):
            run(pool, store, cells)
    assert pool.aborted
    n_kept = len(list(store.runs()))
    assert 0 < n_kept <= 7
    resumed = run(fake_pool(), store, cells)
    assert resumed.reused == n_kept
    assert resumed.done + resumed.reused == resumed.total


def test_a_damaged_record_is_named_and_nothing_is_run_over_it(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    run(fake_pool(), store, cells)
    damaged = store.path_of(next(store.runs()))
    damaged.write_text(damaged.read_text()[:-20])
    before = damaged.read_bytes()
    with pytest.raises(RecordError, match=damaged.name):
        run(fake_pool(), store, cells)
    assert damaged.read_bytes() == before


def test_every_record_says_how_to_repeat_it(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    run(fake_pool(), store, cells[:1])
    for record in store.runs():
        words = record.reproduce.split()
        assert words[:2] == ["assay", "run"]
        assert words[-1] == "--again"
        assert f"lr={record.spec.hyperparameters['lr']!r}" in words
        assert words[words.index("--repetition") + 1] == str(record.spec.repetition)
        assert words[words.index("--purpose") + 1] == record.spec.purpose
