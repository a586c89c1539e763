"""The promises of planning and resuming, with a pool that trains nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from assay.engine.cells import Cell, Extent, extent
from assay.engine.clients import UnusableMethod
from assay.engine.pipeline import MAX_WORKER_ERRORS, Pipeline, Progress
from assay.errors import DataError, PluginError, RecordError, RunHung, StorageError, WorkerError
from assay.records.selection import selected
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
    records = list(store.runs())
    kept = {record.id: record.model_dump(exclude={"created_at"}) for record in records}
    assert len(kept) == len(records)
    return kept


def test_every_repetition_tries_every_point_once(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    pool = fake_pool()
    progress = run(pool, store, cells)
    k, r = RULESET.quick_tuning_points, RULESET.quick_repetitions
    assert progress.done == progress.total == len(cells) * k * r == len(pool.ran)
    assert sum(progress.by_status.values()) == progress.done
    assert set(pool.ran) == {record.id for record in store.runs()}
    for cell, known in zip(cells, progress.cells, strict=True):
        runs = list(store.runs(None, cell.task_ref.slug, cell.method_ref.slug))
        found = {(run.spec.repetition, run.spec.point): run for run in runs}
        assert sorted(found) == [(number, point) for number in range(r) for point in range(k)]
        for (number, point), made in found.items():
            assert made.spec.hyperparameters == cell.points(number)[point]
            assert made.space == cell.space
        for number in range(r):
            best = selected([found[number, point] for point in range(k)], cell.task.card.metric)
            assert known.selected[number].id == best.id
            assert known.defaults[number].id == found[number, 0].id


def test_runs_of_a_repetition_follow_each_other_and_methods_take_turns(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    pool = fake_pool()
    run(pool, store, cells)
    specs = {record.id: record.spec for record in store.runs()}
    order = [specs[run_id] for run_id in pool.ran]
    assert [spec.point for spec in order[:2]] == [0, 0]
    tasks = [spec.task.slug for spec in order]
    n = len(order) // 2
    assert sum(slug == "one" for slug in tasks[:n]) >= n - 2  # a worker waits for no defaults
    places = [
        (s.repetition, s.point, s.method.slug == "adam") for s in order if s.task.slug == "one"
    ]
    assert places[4:] == sorted(places)[4:]


@pytest.mark.parametrize("more", [{"preset": "full"}, {"n_repetitions": 9}])
def test_more_points_or_repetitions_only_add_runs(
    fake_pool: Any, store: Store, cells: list[Cell], make_cell: Callable[..., Cell],
    more: dict[str, Any],
) -> None:  # fmt: skip
    run(fake_pool(), store, cells[:1])
    before = contents(store)
    larger = make_cell(cells[0].task, cells[0].method, **more)
    assert before.keys() < larger.specs.keys()
    progress = run(fake_pool(), store, [larger])
    assert (progress.reused, progress.done) == (len(before), len(larger.specs) - len(before))
    assert before.items() <= contents(store).items()


def test_the_control_is_a_cell_of_its_own_that_shares_no_run(
    cells: list[Cell], fake_pool: Any, store: Store
) -> None:
    second = replace(cells[0], extent=extent(cells[0].task.card, arm="second"))
    numbers = {spec.repetition for spec in second.specs.values()}
    assert numbers == set(range(100, 100 + RULESET.r("lite")))
    assert second.specs.keys().isdisjoint(cells[0].specs)
    assert second.points(100) != cells[0].points(0)
    assert run(fake_pool(), store, [cells[0], second]).problems == []


def test_an_epoch_has_the_public_points_and_runs_of_its_own(cells: list[Cell]) -> None:
    hidden = replace(cells[0], epoch="autumn")
    public = list(cells[0].specs.values())
    for spec, own in zip(public, hidden.specs.values(), strict=True):
        assert own.epoch == "autumn"
        assert own.id != spec.id
        assert own.model_copy(update={"epoch": None}) == spec


@pytest.mark.parametrize("n_workers", [1, 3])
def test_stopped_after_any_run_the_same_command_finishes(
    fake_pool: Any, tmp_path: Path, cells: list[Cell], n_workers: int
) -> None:
    whole = Store(tmp_path / "whole")
    cells = [replace(cell, extent=Extent(range(2), 4)) for cell in cells[1:3]]
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
    assert all(cell.missing(store) == {} for cell in cells)


def test_missing_runs_are_counted_before_and_while(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    assert cells[0].missing(store) == cells[0].specs
    run(fake_pool(), store, cells[:1], stop_after=5)
    assert len(cells[0].missing(store)) == 24 - 5


def test_a_method_that_changed_shares_no_record(
    fake_pool: Any, store: Store, cells: list[Cell], make_cell: Callable[..., Cell]
) -> None:
    run(fake_pool(), store, cells[:1])
    cells[0].method.source.write_text("a = 3\n")
    changed = make_cell(cells[0].task, cells[0].method)
    progress = run(fake_pool(), store, [changed])
    assert progress.reused == 0
    assert len(list(store.runs())) == 2 * progress.done


def test_defaults_that_fail_in_three_repetitions_stop_the_cell_and_no_other(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    pool = fake_pool(broken={"sgd": "ValueError: no"})
    progress = run(pool, store, cells)
    failed = [record.spec for record in store.runs() if record.status == "failed"]
    tried = [(task, number, 0) for task in ("one", "other") for number in range(3)]
    assert sorted((spec.task.slug, spec.repetition, spec.point) for spec in failed) == tried
    assert progress.failures == {"sgd": "sgd failed on one: ValueError: no"}
    assert progress.problems == [
        f"sgd on {task}: the defaults failed in 3 repetitions (ValueError: no); "
        "no other point was tried"
        for task in ("one", "other")
    ]
    assert progress.done == progress.total == 6 + 48
    again = fake_pool()
    resumed = run(again, store, cells)
    assert (again.ran, resumed.problems) == ([], progress.problems)
    assert (resumed.reused, resumed.total) == (54, 54)


@pytest.mark.parametrize("fails_in", [range(1), range(2), range(3, 6)])
def test_defaults_that_fail_in_some_repetitions_stop_nothing(
    fake_pool: Any, store: Store, cells: list[Cell], fails_in: range
) -> None:
    pool = fake_pool(broken={"sgd": "no"}, broken_in=fails_in)
    progress = run(pool, store, cells[:1])
    assert (progress.done, progress.problems) == (24, [])


def test_a_deterministic_task_has_one_run_and_its_failure_is_told(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    cell = replace(cells[0], extent=Extent(range(1), 1))
    progress = run(fake_pool(broken={"sgd": "no"}), store, [cell])
    assert progress.problems == ["sgd on one: every run failed"]


def test_diverging_defaults_stop_nothing(fake_pool: Any, store: Store, cells: list[Cell]) -> None:
    progress = run(fake_pool(share_diverged=1.0), store, cells[:1])
    assert (progress.done, progress.problems, progress.failures) == (24, [], {})


@pytest.mark.parametrize("which", [0, 6])
def test_a_run_that_hangs_has_no_record_and_is_tried_again(
    fake_pool: Any, store: Store, cells: list[Cell], which: int
) -> None:
    hangs = list(cells[0].specs)[which]

    class Hanging(fake_pool):  # type: ignore[misc]
        def run(self, job: Any, reproduce: str, tell: Any = None) -> Any:
            if job.spec.id == hangs:
                raise RunHung("sgd on one (repetition 0, point 0): stopped as it did not end")
            return super().run(job, reproduce)

    progress = run(Hanging(), store, cells[:2])
    (problem,) = progress.problems
    assert "stopped as it did not end" in problem
    kept = {record.id for record in store.runs()}
    assert hangs not in kept
    assert progress.done == len(kept) == 24 + (23 if which else 0)
    resumed = run(fake_pool(), store, cells[:2])
    assert (resumed.problems, resumed.done + resumed.reused) == ([], 48)


@pytest.mark.parametrize("error", [DataError("no data"), PluginError("no task")])
def test_a_task_that_cannot_run_is_one_problem_and_takes_no_other_with_it(
    fake_pool: Any, store: Store, cells: list[Cell], error: Exception
) -> None:
    pool = fake_pool(2, fails={"one": error})
    progress = run(pool, store, cells)
    assert progress.problems == [f"one: {error}"]
    assert {record.spec.task.slug for record in store.runs()} == {"other"}
    assert progress.done == 48
    resumed = run(fake_pool(), store, cells)
    assert (resumed.done, resumed.reused, resumed.problems) == (48, 48, [])


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
        assert words[words.index("--repetition") + 1] == str(record.spec.repetition)
        assert words[words.index("--point") + 1] == str(record.spec.point)


def test_a_method_that_cannot_be_handed_over_stops_its_own_cells_alone(
    fake_pool: Any, store: Store, cells: list[Cell]
) -> None:
    class Refusing(fake_pool):  # type: ignore[misc]
        def run(self, job: Any, reproduce: str, tell: Any = None) -> Any:
            if job.spec.method.slug == "sgd":
                raise UnusableMethod("half a character in a name")
            tell("adam on one: tried once more")
            return super().run(job, reproduce)

    progress = run(Refusing(), store, cells)
    assert {record.spec.method.slug for record in store.runs()} == {"adam"}
    assert progress.done == progress.total - 2 == 48  # one run of each cell was tried
    assert set(progress.notes) == {"adam on one: tried once more"}
    assert sorted(problem[:20] for problem in progress.problems) == [
        "sgd on one: half a c", "sgd on other: half a",
    ]  # fmt: skip
