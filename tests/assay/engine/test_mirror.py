"""MLflow and Optuna say what the records say, once each."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from assay.commands import run_many
from assay.engine.cells import Cell
from assay.engine.mirror import Draw, Mirror, default_uris
from assay.engine.pipeline import Pipeline
from assay.engine.planning import RunRequest
from assay.records.schema import RunRecord
from assay.records.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, at import and at exit


class World:
    """Records of two methods on two tasks, made without training, and their mirror."""

    def __init__(self, root: Path, cells: list[Cell]) -> None:
        self.store, self.cells = Store(root), cells
        self.mlflow_uri, self.optuna_url = default_uris(root)
        self.draw: Draw | None = None

    def mirror(self) -> Mirror:
        return Mirror(self.store, draw=self.draw)

    def run(self, pool: Any, stop_after: int | None = None) -> None:
        def observe(progress: Any) -> None:
            if stop_after is not None and progress.done >= stop_after:
                raise KeyboardInterrupt

        mirror = self.mirror()
        Pipeline(pool, self.store, mirror, observe).run(self.cells)
        mirror.close()
        assert mirror.warnings() == []

    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(tracking_uri=self.mlflow_uri)

    def mirrored(self) -> dict[str, list[Any]]:
        """All MLflow runs by experiment."""
        client = self.client()
        return {
            experiment.name: list(client.search_runs([experiment.experiment_id], max_results=1000))
            for experiment in client.search_experiments()
        }


@pytest.fixture
def world(
    tmp_path: Path,
    make_task: Callable[..., Any],
    make_method: Callable[..., Any],
    make_cell: Callable[..., Cell],
    empty_mirror: Path,
) -> World:
    root = tmp_path / "results"
    shutil.copytree(empty_mirror, root)
    methods = [make_method("sgd", "a = 1\n"), make_method("adam", "a = 2\n")]
    tasks = [make_task("one"), make_task("other", direction="minimize")]
    pairs = [(tasks[0], methods[0]), (tasks[0], methods[1]), (tasks[1], methods[0])]
    return World(root, [make_cell(task, method) for task, method in pairs])


def check_run(client: Any, run: Any, record: RunRecord) -> None:
    data = run.data
    assert data.params == {k: str(v) for k, v in record.spec.hyperparameters.items()}
    assert run.info.status == ("FINISHED" if record.status == "completed" else "FAILED")
    tags = data.tags
    assert tags["assay.status"] == record.status
    assert tags["assay.weights_sha256"] == record.weights_sha256
    assert tags["assay.task_hash"] == record.spec.task.code_hash
    assert tags["assay.run_method_hash"] == record.spec.method.code_hash
    assert tags["assay.reproduce"] == record.reproduce
    assert data.metrics["usage.wall_seconds"] == record.usage.wall_seconds
    if record.result is None:
        assert "test" not in data.metrics
        return
    for split in ("val", "test", "test_last", "test_oracle"):
        assert data.metrics[split] == getattr(record.result, split)
    for split in ("val", "test", "train_loss"):
        history = client.get_metric_history(run.info.run_id, f"curve.{split}")
        shown = sorted((metric.step, metric.value) for metric in history)
        assert shown == [(point.batch, getattr(point, split)) for point in record.curve]


def leave_begun(world: World) -> None:
    """Make one mirrored run what a kill between creating and filling it leaves."""
    client = world.client()
    run = next(r for r in world.mirrored()["assay/one"] if "assay.record_id" in r.data.tags)
    client.delete_run(run.info.run_id)
    begun = client.create_run(run.info.experiment_id, tags=dict(run.data.tags))
    assert begun.info.end_time is None


def test_the_mirror_says_what_the_records_say_once_after_any_stop(
    world: World,
    fake_pool: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        out_of_reach(world, fake_pool, patch)
    said = capsys.readouterr()
    assert "warning: MLflow mirror incomplete" in said.err
    assert "the next command catches up" in said.err
    assert len(list(world.store.runs())) == 24
    world.run(fake_pool(), stop_after=5)
    leave_begun(world)
    world.run(fake_pool())
    world.run(fake_pool())

    client = world.client()
    records = {record.id: record for record in world.store.runs()}
    mirrored = world.mirrored()
    assert {name for name, runs in mirrored.items() if runs} == {"assay/one", "assay/other"}
    seen = set()
    for name, runs in mirrored.items():
        parents = {r.info.run_id: r for r in runs if "assay.method" in r.data.tags}
        if runs:
            methods = [r.data.tags["assay.method"] for r in parents.values()]
            assert sorted(methods) == (["adam", "sgd"] if name == "assay/one" else ["sgd"])
        for run in runs:
            if run.info.run_id in parents:
                continue
            record = records[run.data.tags["assay.record_id"]]
            assert record.id not in seen
            seen.add(record.id)
            assert name == f"assay/{record.spec.task.slug}"
            parent = parents[run.data.tags["mlflow.parentRunId"]]
            assert parent.data.tags["assay.method"] == record.spec.method.slug
            check_run(client, run, record)
    assert seen == set(records)
    check_index(world, client, set(records))
    check_studies(world, records)
    check_parents(world, records)


def check_index(world: World, client: Any, records: set[str]) -> None:
    """From a record to its MLflow run and back."""
    index = world.store.mlflow_runs()
    assert set(index) == records
    for record, run in index.items():
        assert client.get_run(run).data.tags["assay.record_id"] == record


def test_pictures_of_a_cell_are_artifacts_of_its_parent_run(world: World, fake_pool: Any) -> None:
    world.draw = lambda run: {"curve.svg": f"<svg><title>{run.spec.method.slug}</title></svg>"}
    world.run(fake_pool())
    client = world.client()
    parents = [r for runs in world.mirrored().values() for r in runs if "assay.cell" in r.data.tags]
    assert len(parents) == 3
    for run in parents:
        (found,) = client.list_artifacts(run.info.run_id, "pictures")
        assert found.path == "pictures/curve.svg"
        local = client.download_artifacts(run.info.run_id, found.path, str(world.store.root))
        assert run.data.tags["assay.method"] in Path(local).read_text()
    assert (world.store.root / "mlflow-artifacts").is_dir()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', "\xff"])
def test_a_damaged_index_of_mlflow_runs_is_none(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    (tmp_path / "mlflow-runs.json").write_bytes(text.encode("latin-1"))
    assert store.mlflow_runs() == {}
    store.keep_mlflow_runs({"a": "1"})
    store.keep_mlflow_runs({"b": "2"})
    assert store.mlflow_runs() == {"a": "1", "b": "2"}


def selected_runs(world: World, records: dict[str, RunRecord]) -> dict[tuple[str, str], set[str]]:
    """By task and method, the run of each repetition with the best validation score."""
    found: dict[tuple[str, str], set[str]] = {}
    for cell in world.cells:
        sign = 1 if cell.task.card.metric.direction == "maximize" else -1
        own = [records[run_id] for run_id in cell.specs]
        for repetition in cell.extent.repetitions:
            runs = [run for run in own if run.result and run.spec.repetition == repetition]
            best = max(runs, key=lambda run: sign * run.result.val)  # type: ignore[union-attr]
            found.setdefault((cell.task_ref.slug, cell.method_ref.slug), set()).add(best.id)
    return found


def check_parents(world: World, records: dict[str, RunRecord]) -> None:
    """Selected runs are marked, and a parent run has their mean."""
    chosen = selected_runs(world, records)
    mirrored = [run for runs in world.mirrored().values() for run in runs]
    marked = {
        run.data.tags["assay.record_id"]
        for run in mirrored
        if run.data.tags.get("assay.selected") == "true"
    }
    assert marked == set().union(*chosen.values())
    parents = [run for run in mirrored if "assay.cell" in run.data.tags]
    assert len(parents) == len(chosen) == 3
    for run in parents:
        tags = run.data.tags
        own = [records[i].result for i in chosen[tags["assay.task"], tags["assay.method"]]]
        tests = [result.test for result in own if result]
        assert run.data.metrics["test.n"] == len(tests) == 6
        assert run.data.metrics["test.mean"] == pytest.approx(np.mean(tests))
        assert run.data.metrics["test.sd"] == pytest.approx(np.std(tests, ddof=1))


def check_studies(world: World, records: dict[str, RunRecord]) -> None:
    """One Optuna study a repetition, whose best trial is the selected run."""
    names = optuna.get_all_study_names(world.optuna_url)
    assert len(names) == 3 * 6
    best, seen = set(), set()
    for name in names:
        kept = optuna.load_study(study_name=name, storage=world.optuna_url)
        for trial in kept.trials:
            record = records[trial.user_attrs["run_id"]]
            seen.add(record.id)
            assert trial.params == {"lr": record.spec.hyperparameters["lr"]}
            assert trial.value == (record.result.val if record.result else None)
        best.add(kept.best_trial.user_attrs["run_id"])
    assert seen == set(records)
    assert best == set().union(*selected_runs(world, records).values())


def test_a_mark_moves_when_a_better_point_is_tried(world: World, fake_pool: Any) -> None:
    cell = world.cells[0]
    pool, specs = fake_pool(), [s for s in cell.specs.values() if s.repetition == 0]
    runs = [pool.run(cell.job(spec), cell.reproduce(spec)) for spec in specs]
    done = sorted((run for run in runs if run.result), key=lambda run: run.result.val)
    for upto in (1, len(done)):
        mirror = world.mirror()
        for run in done[:upto]:
            mirror.put(run, "maximize")
        mirror.close()
        assert mirror.warnings() == []
        marked = [
            run.data.tags["assay.record_id"]
            for run in world.mirrored()["assay/one"]
            if run.data.tags.get("assay.selected") == "true"
        ]
        assert marked == [done[upto - 1].id]


def test_runs_made_by_hand_and_controls_are_in_no_mean(world: World, fake_pool: Any) -> None:
    cell, pool = world.cells[0], fake_pool(share_diverged=0.0)
    point = cell.points(0)[0]
    mirror = world.mirror()
    for repetition, number in ((0, 0), (0, None), (100, 0)):
        spec = cell.spec(repetition, number, point)
        mirror.put(pool.run(cell.job(spec), cell.reproduce(spec)), "maximize")
    mirror.close()
    assert mirror.warnings() == []
    runs = world.mirrored()["assay/one"]
    assert sum("assay.record_id" in run.data.tags for run in runs) == 3
    (parent,) = (run for run in runs if "assay.cell" in run.data.tags)
    assert parent.data.metrics["test.n"] == 1
    assert sum(run.data.tags.get("assay.selected") == "true" for run in runs) == 1


def out_of_reach(world: World, fake_pool: Any, patch: pytest.MonkeyPatch) -> None:
    """A command whose tracking server does not answer: it succeeds all the same."""
    patch.setattr(run_many, "Pool", lambda **_: contextlib.nullcontext(fake_pool()))
    patch.setattr(run_many, "make_cells", lambda *_, **__: world.cells[:1])
    request = RunRequest(
        methods=["sgd"],
        tasks=[world.cells[0].task],
        results=world.store.root,
        preset="quick",
        workers=1,
        mlflow="http://127.0.0.1:9",
    )
    assert run_many.run(request) == 0
