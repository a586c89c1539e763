"""`assay pack`: what goes into a method's bundles, and what is left out or refused."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from assay.errors import AssayError, BundleError, PluginError
from assay.plugins import registry
from assay.plugins.registry import find_method, method_argument
from assay.publication.pack import pack_method
from assay.publication.verify import verify
from assay.records.bundle import read_bundle
from assay.records.schema import TaskRef
from assay.records.store import Store
from assay.untrusted import text

TASK = "digits_step"


def test_what_is_incomplete_or_stale_is_left_out_and_said(submission: Any, tmp_path: Path) -> None:
    submission.record(TASK)
    runs = submission.record("digits_cnn")
    others = submission.record("beale")
    submission.store.run_path("digits_cnn", "my_opt", runs[3].id).unlink()
    broken = submission.store.run_path("beale", "my_opt", others[0].id)
    broken.write_text("{")
    submission.record("digits_mlp", "full")
    done = pack_method(submission.method, submission.store, tmp_path / "out")
    assert [path.name.split("--")[0] for path in done.written] == ["digits_mlp", TASK]
    said = "\n".join(done.left_out)
    made = f"make them with: assay run {method_argument(submission.method)} --task digits_cnn"
    assert f"digits_cnn: 73 of 96 runs have no record yet; {made}" in said
    assert f"{TASK}: 72 of 96 runs have no record yet; packed as preliminary" in said
    assert "beale" in said and "not valid JSON" in said
    source = submission.folder / "method.py"
    source.write_text(source.read_text() + "x = 1\n")
    with pytest.raises(AssayError, match="nothing to pack(.|\n)*the method has changed since"):
        pack_method(submission.method, submission.store, tmp_path / "out")


def test_the_command_that_makes_runs_finds_the_method(submission: Any, tmp_path: Path) -> None:
    (place := tmp_path / "my methods").mkdir()
    shutil.copytree(submission.folder, place / "my_opt")
    method = find_method(str(place / "my_opt"))
    own = re.escape(shlex.quote(method_argument(method)))
    assert own.startswith("'")
    with pytest.raises(AssayError, match=f"make them with: assay run {own} --tier lite"):
        pack_method(method, Store(tmp_path / "nothing"), tmp_path / "out")


def test_runs_beyond_a_whole_cell_stay_out(submission: Any, tmp_path: Path) -> None:
    """More repetitions are packed if they are whole; single runs and those made by hand are not."""
    submission.record(TASK, "full")
    cell = submission.cell(TASK, "full", n_repetitions=14)
    for spec in cell.specs.values():
        if spec.repetition == 12 or (spec.repetition, spec.point) == (13, 0):
            submission.write(cell, spec)
    submission.write(cell, cell.spec(0, None, {**cell.space.defaults, "lr": 0.5}))
    control = submission.cell(TASK, "full", arm="second")
    submission.write(control, next(iter(control.specs.values())))
    bundle = read_bundle(submission.bundle(tmp_path))
    assert {run.spec.repetition for run in bundle.runs} == set(range(13))
    assert len(bundle.runs) == 13 * 8
    assert not [found for found in verify(bundle) if found.severity == "error"]


def test_a_changed_task_is_left_out(
    submission: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission.record(TASK)
    changed = TaskRef(slug=TASK, version=1, code_hash="0" * 64)
    monkeypatch.setattr("assay.publication.pack.task_ref", lambda entry: changed)
    with pytest.raises(AssayError, match="the task has changed since"):
        submission.bundle(tmp_path)


def test_no_records_and_single_files(submission: Any, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"assay run \S*my_opt --tier lite"):
        submission.bundle(tmp_path)
    single = tmp_path / "mine.py"
    single.write_text("")
    with pytest.raises(PluginError, match="assay new method mine"):
        pack_method(find_method(str(single)), submission.store, tmp_path)


def test_the_command_in_a_bundle_names_the_slug(submission: Any, tmp_path: Path) -> None:
    """In the store it names the folder from where it was run, which nobody else has."""
    run, *_ = submission.record(TASK)
    stored = submission.store.run(TASK, "my_opt", run.id)
    assert "/my_opt --task" in stored.reproduce
    for run in read_bundle(submission.bundle(tmp_path / "out")).runs:
        assert run.reproduce.startswith(f"assay run my_opt --task {TASK} ")


def test_helpers_and_data_files_are_packed(submission: Any, tmp_path: Path) -> None:
    card = (submission.folder / "card.toml").read_text()
    (submission.folder / "card.toml").write_text(card + 'data = ["table.csv"]\n')
    (submission.folder / "table.csv").write_bytes(b"1,2\n\xff\n")
    (submission.folder / "helper.py").write_text("x = 1\n")
    (submission.folder / "notes.txt").write_text("mine")
    submission.record(TASK)
    bundle = read_bundle(submission.bundle(tmp_path / "out"))
    assert sorted(bundle.source) == ["card.toml", "helper.py", "method.py", "table.csv"]
    assert not [found for found in verify(bundle) if found.severity == "error"]


def test_paths_in_a_message_are_cut_down(submission: Any, tmp_path: Path) -> None:
    """A failed trial's message is the method's free text, and not part of the run's id."""
    run, *_ = submission.record(TASK)
    path = submission.store.run_path(TASK, "my_opt", run.id)
    record = json.loads(path.read_text())
    record["message"] = "cannot open '/home/ada/secret/x.pt'"
    path.write_text(json.dumps(record))
    bundle = read_bundle(submission.bundle(tmp_path / "out"))
    (said,) = [run.message for run in bundle.runs if run.message]
    assert said == "cannot open '.../x.pt'"


@pytest.mark.parametrize(
    ("message", "published"),
    [
        ("cannot use this data: lr is too large", "cannot use this data - lr is too large"),
        ("got <object object at 0x7f>", "got (object object at 0x7f>"),
        ("see file:/home/ada/x.pt &#60;", "see file -.../x.pt & #60;"),
        ("data:file:javascript:x", "data -file -javascript -x"),
        ("no such folder: '/root'", "no such folder: '.../root'"),
        ("/a/b " * 400, ".../b " * 333 + ".."),
    ],
)
def test_what_python_says_of_an_error_can_be_published(
    submission: Any, tmp_path: Path, message: str, published: str
) -> None:
    """A record cannot be changed, and a method that is edited must be run again."""
    run, *_ = submission.record(TASK)
    path = submission.store.run_path(TASK, "my_opt", run.id)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"message": message}))
    bundle = read_bundle(submission.bundle(tmp_path / "out"))
    assert [run.message for run in bundle.runs if run.message] == [published]
    assert not [found for found in verify(bundle) if found.severity == "error"]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("environment.platform", "Linux on adas-laptop"),
        ("environment.cpu", "/home/ada/cpu"),
        ("message", "of user lovelace"),
    ],
)
def test_what_tells_on_its_user_is_refused_by_field(
    submission: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, value: str
) -> None:
    monkeypatch.setattr(text, "own_names", lambda: ["adas-laptop", "lovelace"])
    run, *_ = submission.record(TASK)
    path = submission.store.run_path(TASK, "my_opt", run.id)
    record = json.loads(path.read_text())
    *outer, key = where.split(".")
    (record[outer[0]] if outer else record)[key] = value
    path.write_text(json.dumps(record))
    with pytest.raises(BundleError, match=rf"run {run.id}: {where} holds the"):
        submission.bundle(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_home_folder_in_the_source_is_refused(
    submission: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    (submission.folder / "method.py").write_text("x = 1\npath = '/home/ada/data'\n")
    submission.record(TASK)
    with pytest.raises(BundleError, match=r"method\.py, line 2: names your home folder"):
        submission.bundle(tmp_path / "out")


def test_every_method_of_this_checkout_could_be_packed() -> None:
    for entry in registry.method_entries().values():
        for path in entry.files.values():
            assert text.unsafe(path.read_text(), lines=True) is None, path
