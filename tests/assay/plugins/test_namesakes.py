"""A file or folder is refused that has the name of an entered method or task, and other code, or a
path that no record can hold.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from assay import paths
from assay.engine.planning import RunRequest, chosen_pairs
from assay.errors import PluginError
from assay.plugins import registry
from assay.plugins.registry import TaskEntry, find_method, find_task, namesake

METHOD = "from assay import Method\n\n\nclass Mine(Method):\n    pass\n"


def copied(kind: str, slug: str, place: Path, *, changed: str = "") -> str:
    """A copy of one of the suite's folders, with a line more in its code."""
    folder = place / slug
    shutil.copytree(paths.ROOT / kind / slug, folder)
    code = folder / ("task.py" if kind == "tasks" else "method.py")
    code.write_text(code.read_text() + changed)
    return str(folder)


def pairs(where: Path, methods: list[str], tasks: list[TaskEntry]) -> list[str]:
    request = RunRequest(methods=methods, tasks=tasks, results=where / "results")
    return [method.card.slug for _, method in chosen_pairs(request, print)]


def test_a_file_named_as_an_entered_method_does_not_run(tmp_path: Path) -> None:
    """Before, its runs became what detectors compare with, and honest adam was flagged."""
    (tmp_path / "sgd.py").write_text(METHOD)
    (tmp_path / "mine.py").write_text(METHOD)
    path, task = str(tmp_path / "sgd.py"), find_task("digits_mlp")
    with pytest.raises(PluginError) as error:
        pairs(tmp_path, [path, "adam"], [task])
    said = str(error.value)
    assert "its name sgd is that of a method entered here, whose code is another" in said
    assert "rename the file, or give sgd for the entered one" in said
    assert 'supersedes = "sgd"' in said and "\n" not in said
    assert pairs(tmp_path, [str(tmp_path / "mine.py"), "sgd"], [task]) == ["mine", "sgd"]


@pytest.mark.parametrize(
    ("changed", "refused"), [("", False), ("# a comment\n", False), ("X = 1\n", True)]
)
@pytest.mark.parametrize(("kind", "slug"), [("submissions", "sgd"), ("tasks", "digits_mlp")])
def test_a_copy_runs_while_its_code_is_the_same(
    tmp_path: Path, kind: str, slug: str, changed: str, refused: bool
) -> None:
    path = copied(kind, slug, tmp_path, changed=changed)
    entry = find_task(path) if kind == "tasks" else find_method(path)
    said = namesake(entry)
    assert (said is not None) is refused
    if said:
        assert "rename the folder and its slug" in said


def test_a_task_named_as_one_of_the_suite_does_not_run(tmp_path: Path) -> None:
    path = copied("tasks", "digits_mlp", tmp_path, changed="X = 1\n")
    with pytest.raises(PluginError, match="digits_mlp is that of a task entered here"):
        pairs(tmp_path, ["sgd"], [find_task(path)])


def test_an_entered_method_may_be_edited_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied("submissions", "sgd", tmp_path / "submissions")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    registry.method_entries.cache_clear()
    try:
        source = tmp_path / "submissions/sgd/method.py"
        source.write_text(source.read_text() + "X = 1\n")
        assert namesake(find_method("sgd")) is None
        assert namesake(find_method(str(source.parent))) is None
    finally:
        registry.method_entries.cache_clear()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("me\u200dand", "the invisible character U\\+200D"),
        ("me\nand", "the control character U\\+000A"),
        (os.fsdecode(b"me\xffand"), "U\\+DCFF"),
    ],
)
def test_a_path_that_no_record_can_hold_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    """Before, the run was trained and scored, and then lost."""
    place = tmp_path / name
    place.mkdir()
    (place / "mine.py").write_text(METHOD)
    method = str(place / "mine.py")
    task, other = find_task(copied("tasks", "digits_mlp", place)), find_task("digits_mlp")
    monkeypatch.chdir(place)
    assert pairs(tmp_path, [method], [task])  # no path from here names the folder
    monkeypatch.chdir(tmp_path)
    for methods, tasks in (([method], [other]), (["sgd"], [task])):
        with pytest.raises(PluginError, match=f"its path holds {says}.*rename") as error:
            pairs(tmp_path, methods, tasks)
        assert str(error.value).isprintable()
