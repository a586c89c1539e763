"""What MLflow or Optuna refuse is named and left out; what could not be done is done next time."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from assay.engine import databases
from assay.engine.cells import Cell
from assay.engine.databases import Unavailable, database_url
from assay.engine.metric_names import legal_names
from assay.engine.mirror import Mirror, default_uris
from assay.engine.tracked_fields import cell_id
from assay.engine.tracking import KIND_TAG
from assay.records.schema import RunRecord
from assay.records.store import Store

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, at import and at exit


class Desk:
    """A few records of a toy task and the mirror of their folder."""

    def __init__(self, root: Path, records: list[RunRecord]) -> None:
        self.store, self.records = Store(root), records

    def mirror(self, *records: RunRecord, uri: str | None = None, draw: Any = None) -> list[str]:
        """Record and mirror; return the warnings."""
        mirror = Mirror(self.store, mlflow_uri=uri, draw=draw)
        for record in records:
            self.store.write(record)
            mirror.put(record, "maximize")
        mirror.close()
        return mirror.warnings()

    def client(self) -> Any:
        return mlflow.MlflowClient(tracking_uri=default_uris(self.store.root)[0])

    def runs(self, task: str = "toy", root: Path | None = None) -> list[Any]:
        client = mlflow.MlflowClient(tracking_uri=default_uris(root or self.store.root)[0])
        found = client.get_experiment_by_name(f"assay/{task}")
        return list(client.search_runs([found.experiment_id])) if found else []

    def mirrored(self, task: str = "toy", root: Path | None = None) -> set[str]:
        """Ids of the records that MLflow has."""
        tags = [run.data.tags for run in self.runs(task, root)]
        return {found["assay.record_id"] for found in tags if "assay.record_id" in found}

    def studied(self) -> set[str]:
        """Ids of the records that Optuna has."""
        studies = optuna.get_all_study_names(url := default_uris(self.store.root)[1])
        return {
            trial.user_attrs["run_id"]
            for name in studies
            for trial in optuna.load_study(study_name=name, storage=url).trials
        }


def records_of(cell: Cell, pool: Any) -> list[RunRecord]:
    return [pool.run(cell.job(spec), cell.reproduce(spec)) for spec in cell.specs.values()][:3]


@pytest.fixture
def desk(
    empty_mirror: Path,
    tmp_path: Path,
    make_task: Any,
    make_method: Any,
    make_cell: Any,
    fake_pool: Any,
) -> Desk:
    root = tmp_path / "results"
    shutil.copytree(empty_mirror, root)
    cell = make_cell(make_task(), make_method("sgd", "a = 1\n"))
    return Desk(root, records_of(cell, fake_pool(share_diverged=0)))


def changed(record: RunRecord, **changes: Any) -> RunRecord:
    """The record with other hyperparameters or secondary metrics, under an id of its own."""
    secondary = changes.pop("secondary", {})
    spec = record.spec.model_copy(update=changes)
    result = record.result.model_copy(update={"secondary": secondary}) if record.result else None
    return record.model_copy(update={"id": spec.id, "spec": spec, "result": result})


def ids(*records: RunRecord) -> set[str]:
    return {record.id for record in records}


def test_names_that_mlflow_does_not_take_are_changed(desk: Desk) -> None:
    names = ["acc@3", "acc_3", "..", "a//b", "", "é", "x" * 300, "x" * 299 + "y", "test", "a\n"]
    odd = changed(desk.records[0], secondary=dict.fromkeys(names, 0.5))
    assert desk.mirror(odd, desk.records[1]) == []
    assert desk.mirrored() == ids(odd, desk.records[1])
    (run,) = (r for r in desk.runs() if r.data.tags.get("assay.record_id") == odd.id)
    assert run.data.metrics["test"] == odd.result.test  # type: ignore[union-attr]
    assert sum(value == 0.5 for value in run.data.metrics.values()) >= len(names)
    assert len(set(legal_names(names).values())) == len(names)
    assert legal_names(["val", "acc@3"]) == {"val": "val", "acc@3": "acc_3"}


def test_one_record_that_is_refused_is_named_and_the_others_go_on(desk: Desk) -> None:
    one, two, three = desk.records
    bad = changed(two, hyperparameters={"lr": 99.0, "nesterov": True})  # outside its range
    old = one.model_copy(update={"created_at": "yesterday"})
    said = desk.mirror(bad, old, three)
    assert len(said) == 2
    assert "left out of the mirror: sgd on toy, repetition 0, point 1: ValueError" in said[0]
    assert "left out of the mirror: sgd on toy, repetition 0, point 0: ValueError" in said[1]
    assert desk.mirrored() == ids(bad, three)
    assert desk.studied() == ids(old, three)


def test_a_trial_of_somebody_else_in_a_study_is_no_obstacle(desk: Desk) -> None:
    one, two, _ = desk.records
    assert desk.mirror(one) == []
    url = default_uris(desk.store.root)[1]
    (name,) = optuna.get_all_study_names(url)
    optuna.load_study(study_name=name, storage=url).add_trial(optuna.create_trial(value=1.0))
    assert desk.mirror(one, two) == []


def test_a_deleted_experiment_is_restored(desk: Desk) -> None:
    one, two, three = desk.records
    desk.mirror(one)
    client = desk.client()
    client.delete_experiment(client.get_experiment_by_name("assay/toy").experiment_id)
    (said,) = desk.mirror(one, two)
    assert said == "the experiment assay/toy had been deleted in MLflow; it is there again"
    assert desk.mirror(three) == []
    assert desk.mirrored() == ids(one, two, three)


def half_migrated(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'unknown'")


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)


def lost(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", ["mlflow.db", "optuna.db"])
@pytest.mark.parametrize("harm", [half_migrated, no_database, lost])
def test_a_file_that_cannot_be_opened_is_set_aside_and_filled_again(
    desk: Desk,
    empty_mirror: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    harm: Callable[[Path], None],
) -> None:
    one, two, _ = desk.records
    assert desk.mirror(one) == []
    # Elsewhere: as in another process, for MLflow checks a file once in each.
    desk.store = Store(desk.store.root.rename(desk.store.root.with_name("moved")))
    path = desk.store.root / name
    harm(path)
    if name == "mlflow.db":  # which takes long to make
        monkeypatch.setattr(databases, "database_url", ready(empty_mirror / name))
    said = desk.mirror(two)
    assert desk.mirrored() == desk.studied() == ids(one, two)
    assert set(desk.store.mlflow_runs()) == ids(one, two)
    if harm is lost:
        assert said == []
    else:
        assert len(said) == 1
        assert f"{name} could not be opened" in said[0]
        assert f"it is kept as {name}.unusable-1" in said[0]
        assert path.with_name(f"{name}.unusable-1").exists()
    assert not list(desk.store.root.glob(".writing-*"))


def ready(template: Path) -> Callable[[Path], str]:
    """`database_url` that puts a copy of an empty file where one is to be made."""

    def url(path: Path) -> str:
        if path.name.startswith(".writing-"):
            shutil.copy(template, path)
        return database_url(path)

    return url


@pytest.fixture
def locked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(databases, "LOCK_SECONDS", 0.01)
    names = ("mlflow.db", "optuna.db")
    held = [sqlite3.connect(desk.store.root / name, isolation_level=None) for name in names]
    for connection in held:
        connection.execute("BEGIN IMMEDIATE")
    yield
    for connection in held:
        connection.close()


def test_a_locked_file_is_one_line_and_the_next_command_catches_up(
    desk: Desk, locked: Any, make_task: Any, make_method: Any, make_cell: Any, fake_pool: Any
) -> None:
    one, two, _ = desk.records
    (said,) = desk.mirror(one, two)
    assert said == (
        "MLflow mirror incomplete (mlflow.db: database is locked; optuna.db: database is locked); "
        "the JSON records are safe, and the next command catches up"
    )


def test_another_command_catches_up_on_what_earlier_ones_could_not(
    desk: Desk, make_task: Any, make_method: Any, make_cell: Any, fake_pool: Any
) -> None:
    (said,) = desk.mirror(*desk.records, uri="http://me:secret@127.0.0.1:9")
    assert "(the server at 127.0.0.1 does not answer)" in said
    assert "secret" not in said
    cell = make_cell(make_task("other"), make_method("adam", "a = 2\n"))
    other = records_of(cell, fake_pool(share_diverged=0))[0]
    assert desk.mirror(other) == []
    assert desk.mirrored() == ids(*desk.records)
    assert desk.mirrored("other") == ids(other)
    assert desk.studied() == ids(other, *desk.records)
    assert set(desk.store.mlflow_runs()) == ids(other, *desk.records)
    assert "secret" not in (desk.store.root / "mirror.json").read_text()


def test_a_killed_command_is_caught_up_by_another(desk: Desk) -> None:
    one, two, three = desk.records
    desk.mirror(one)
    desk.store.write(two)  # as a command that was killed before it mirrored it
    damaged = desk.store.path_of(three)
    damaged.write_text("{")
    assert desk.mirror() == []
    assert desk.mirrored() == desk.studied() == ids(one, two)


ODD = ["run%201", "a?b", "a#b", "a b", "{0}", "ä中", "a&b=c", "%", "new\nline", "'\"", "a:b@c"]


@pytest.mark.parametrize("name", ODD)
def test_every_character_of_a_path_is_meant_literally(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    url = database_url(folder / "optuna.db")
    path = folder / "optuna.db"
    studies, new = databases.open_database(path, optuna.storages.RDBStorage, _dispose, print)
    _dispose(studies)
    assert new
    assert sorted(tmp_path.rglob("*")) == [folder, path]
    assert optuna.get_all_study_names(url) == []


def _dispose(storage: optuna.storages.RDBStorage) -> None:
    storage.engine.dispose()


def test_a_path_that_no_url_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="has characters that SQLAlchemy cannot take"):
        database_url(tmp_path / "\udcff")


def test_a_folder_that_moved_takes_its_pictures_along(desk: Desk, tmp_path: Path) -> None:
    one, two, _ = desk.records
    draw = lambda run: {"a.svg": "<svg/>"}  # noqa: E731
    old = desk.store.root
    desk.mirror(one, draw=draw)
    new = tmp_path / "here % ä? #1"
    old.rename(new)
    moved = Desk(new, desk.records)
    assert moved.mirror(two, draw=draw) == []
    assert not old.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        new.name,
        "tasks",
    ]
    client = moved.client()
    for run in moved.runs():
        assert run.info.artifact_uri.startswith(new.as_uri())
        if "assay.cell" in run.data.tags:
            (found,) = client.list_artifacts(run.info.run_id, "pictures")
            assert found.path == "pictures/a.svg"
    assert moved.mirrored() == ids(one, two)


def test_a_parent_carries_the_result_of_its_cell(desk: Desk) -> None:
    one, two, three = (changed(record, secondary={"acc@3": 0.25}) for record in desk.records)
    one = one.model_copy(update={"environment": one.environment.model_copy(
        update={"commit": "c" * 40})})  # fmt: skip
    assert desk.mirror(one) == []
    assert desk.mirror(two, three, one) == []
    parent, *more = (run for run in desk.runs() if "assay.cell" in run.data.tags)
    assert more == []  # replaced where the best has changed
    best = max((one, two, three), key=lambda run: run.result.val)
    assert parent.data.tags["assay.cell"] == cell_id(one)
    assert parent.data.params == {
        "method": "sgd",
        "task": "toy",
        **{key: str(value) for key, value in best.spec.hyperparameters.items()},
    }
    assert parent.data.metrics["acc_3"] == 0.25
    assert parent.data.metrics["runs.n"] == 3
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time - parent.info.start_time == 1500
    children = [run for run in desk.runs() if "assay.record_id" in run.data.tags]
    assert len({run.info.run_name for run in desk.runs()}) == 4
    for run in children:
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.end_time - run.info.start_time == 1500
    for run in (*children, parent):
        tags = run.data.tags
        assert tags["mlflow.source.name"] == "assay run sgd"
        assert tags["mlflow.source.type"] == "LOCAL"
        assert "sgd" in tags["mlflow.note.content"]
    commits = [run.data.tags.get("mlflow.source.git.commit") for run in children]
    assert sorted(map(str, commits)) == ["None", "None", "c" * 40]
    experiment = desk.client().get_experiment_by_name("assay/toy")
    assert experiment.tags[KIND_TAG] == "custom_model_development"
