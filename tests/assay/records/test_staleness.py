"""What makes a record stale is said in words; what cannot be known makes nothing stale."""

from __future__ import annotations

import pytest
from assay.identity import sha256
from assay.records.schema import MethodRef, RunSpec, TaskRef
from assay.records.staleness import library_changes, listed, stale, unknown_libraries
from assay.ruleset import RULESET

TASK = TaskRef(slug="toy", version=1, code_hash=sha256("task"))
METHOD = MethodRef(slug="mine", version=1, code_hash=sha256("method"))


def using(**libraries: str) -> MethodRef:
    return METHOD.model_copy(update={"libraries": libraries})


def spec(method: MethodRef = METHOD, task: TaskRef = TASK) -> RunSpec:
    return RunSpec(
        ruleset=RULESET.version, task=task, method=method, repetition=0, point=0,
        hyperparameters={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("then", "now", "says"),
    [
        ({}, {}, []),
        ({"x": "1.0 #aa"}, {"x": "1.0 #aa"}, []),
        ({"x": "3.1"}, {"x": "3.2"}, ["x 3.1 then, 3.2 now"]),
        ({"x": "3.1 #aa"}, {"x": "3.2 #aa"}, ["x 3.1 then, 3.2 now"]),
        ({"x": "1.0 #aa"}, {"x": "1.0 #bb"}, ["x 1.0 with other files now"]),
        ({"x": "#aa"}, {"x": "#bb"}, ["x with other files now"]),
        ({"x": "#aa"}, {"x": "1.0 #aa"}, ["x without a version then, 1.0 now"]),
        ({"x": "1.0 #aa"}, {"x": "1.0"}, []),
        ({}, {"x": "1.0"}, ["x 1.0 now, which was not there then"]),
        ({"x": "1.0 #aa"}, {}, []),
        ({"x": "1", "y": "1"}, {"x": "2"}, ["x 1 then, 2 now"]),
    ],
)
def test_libraries_are_compared_as_far_as_they_are_known(
    then: dict[str, str], now: dict[str, str], says: list[str]
) -> None:
    assert library_changes(then, now) == says
    why = stale(spec(using(**then)), TASK, using(**now))
    assert why == (f"the method uses {says[0]}" if says else "")


def test_what_is_not_installed_is_unknown() -> None:
    assert unknown_libraries({"x": "1.0 #aa", "y": "2"}, {"y": "3"}) == ["x 1.0"]


def test_a_task_has_libraries_too_and_the_code_comes_first() -> None:
    old = TASK.model_copy(update={"libraries": {"x": "1"}})
    new = TASK.model_copy(update={"libraries": {"x": "2"}})
    assert stale(spec(task=old), new) == "the task uses x 1 then, 2 now"
    other = new.model_copy(update={"code_hash": sha256("other")})
    assert stale(spec(task=old), other) == "the task has changed since"
    assert stale(spec(using(x="1")), TASK) == "", "the method was not asked about"


def test_many_changes_are_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
