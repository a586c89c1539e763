from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.cards import SubmissionCard, TaskCard, read_card
from assay.plugins import registry

Assay = Callable[..., Any]


@pytest.mark.parametrize(
    ("kind", "model", "code"),
    [("method", SubmissionCard, "method.py"), ("task", TaskCard, "task.py")],
)
def test_new_writes_a_folder_with_a_valid_card(
    kind: str, model: Any, code: str, assay: Assay, tmp_path: Path
) -> None:
    said = assay("new", kind, "mine_2")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "wrote mine_2/card.toml",
        f"wrote mine_2/{code}",
        "next: edit it, then: assay check ./mine_2",
    ]
    assert sorted(path.name for path in (tmp_path / "mine_2").iterdir()) == ["card.toml", code]
    assert read_card(tmp_path / "mine_2" / "card.toml", model).slug == "mine_2"
    compile((tmp_path / "mine_2" / code).read_text(), code, "exec")
    assert json.loads(assay("show", "./mine_2", "--json").out)["kind"] == kind


def test_new_makes_the_folders_above(assay: Assay, tmp_path: Path) -> None:
    assert assay("new", "task", "mine", "--in", "deep/er").code == 0
    assert [entry.card.slug for entry in registry.select_tasks(["./deep/er/mine"])] == ["mine"]


@pytest.mark.parametrize("name", ["Mine", "my-opt", "../mine", "a/b", "", "x" * 49, "mine.py", "é"])
def test_new_refuses_what_is_no_slug(name: str, assay: Assay, tmp_path: Path) -> None:
    said = assay("new", "method", name)
    assert (said.code, said.out) == (2, "")
    assert "expected 1 to 48 characters" in said.err
    assert list(tmp_path.iterdir()) == []


def test_new_refuses_a_name_that_is_taken(assay: Assay, tmp_path: Path) -> None:
    assert "a method is called adam already" in assay("new", "method", "adam").err
    assert "a task is called digits_cnn already" in assay("new", "task", "digits_cnn").err
    assert list(tmp_path.iterdir()) == []


def test_new_touches_nothing_that_exists(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("mine", "link"):
        said = assay("new", "method", name)
        assert said.code == 2
        assert f"{name} exists already" in said.err
    assert (tmp_path / "mine").read_text() == "precious"


def test_new_says_where_it_cannot_write(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = assay("new", "method", "mine", "--in", "file")
    assert said.code == 3
    assert said.err.startswith("assay: cannot write to file/mine: ") and "--in" in said.err


def test_new_on_a_full_disk_leaves_no_half_folder(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def full(path: Path, text: str, **options: Any) -> int:
        write_text(path, "")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as write raises it: no name

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        said = assay("new", "method", "mine")
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("assay: cannot write to mine: the disk is full")
    assert list(tmp_path.iterdir()) == []
    assert assay("new", "method", "mine").code == 0


def test_a_task_in_the_current_folder_is_found_by_name_and_path(
    assay: Assay, tmp_path: Path
) -> None:
    assay("new", "task", "mine")
    for name in ("mine", "./mine", str(tmp_path / "mine")):
        (entry,) = registry.select_tasks([name, name])
        assert entry.folder == tmp_path / "mine"


def test_two_tasks_of_one_name_are_refused(assay: Assay, tmp_path: Path) -> None:
    assay("new", "task", "mine", "--in", "a")
    assay("new", "task", "mine", "--in", "b")
    said = assay("run", "sgd", "--task", "a/mine", "--task", "b/mine")
    assert said.code == 2
    assert "two tasks are called mine" in said.err
    said = assay("run", "sgd", "--task", "a/mine", "--family", "functions")
    assert "no task fits all" in said.err
