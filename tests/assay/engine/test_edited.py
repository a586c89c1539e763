"""A run whose code was edited meanwhile gets no record: it may have had either code."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from assay.engine.clients import UnusableMethod
from assay.engine.runs import Job, check_unchanged
from assay.errors import PluginError
from assay.plugins.registry import TaskEntry, find_method, find_task, method_ref, task_ref
from assay.records.schema import RunSpec
from assay.ruleset import RULESET
from assay.space import Space

METHOD = "import mylib\nfrom assay import Method\n\n\nclass Mine(Method):\n    pass\n"


@pytest.fixture
def task(tmp_path: Path) -> TaskEntry:
    folder = tmp_path / "mytask"
    folder.mkdir()
    card = Path(find_task("digits_mlp").folder, "card.toml").read_text()
    (folder / "card.toml").write_text(card.replace('"digits_mlp"', '"mytask"', 1))
    (folder / "task.py").write_text("X = 1\n")
    return find_task(str(folder))


@pytest.fixture
def job(tmp_path: Path, task: TaskEntry, monkeypatch: pytest.MonkeyPatch) -> Job:
    place = tmp_path / "site"
    place.mkdir()
    (place / "mylib.py").write_text("RATE = 1\n")
    monkeypatch.syspath_prepend(place)
    importlib.invalidate_caches()
    (tmp_path / "mine.py").write_text(METHOD)
    method = find_method(str(tmp_path / "mine.py"))
    spec = RunSpec(
        ruleset=RULESET.version, task=task_ref(task), method=method_ref(method), repetition=0,
        point=0, hyperparameters={},
    )  # fmt: skip
    return Job(spec, task, method, Space())


def test_nothing_is_said_while_all_is_as_it_was_planned(job: Job) -> None:
    check_unchanged(job)
    job.method.source.write_text(METHOD + "# a comment\n")
    check_unchanged(job)


@pytest.mark.parametrize(
    ("file", "text", "kind", "says"),
    [
        ("mine.py", METHOD + "X = 1\n", UnusableMethod, "the method has changed since; this run"),
        ("mine.py", None, UnusableMethod, "edited while it ran: .*no such file"),
        ("site/mylib.py", "RATE = 2\n", UnusableMethod,
         "the method uses mylib with other files now"),
        ("mytask/task.py", "X = 2\n", PluginError, "edited while it ran: the task has changed"),
    ],
)  # fmt: skip
def test_an_edit_is_named(
    tmp_path: Path, job: Job, file: str, text: str | None, kind: type[Exception], says: str
) -> None:
    path = tmp_path / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(kind, match=says):
        check_unchanged(job)
