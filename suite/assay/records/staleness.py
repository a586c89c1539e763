"""Whether a record was made with the task, the method and the rules as they are now."""

from __future__ import annotations

from typing import Protocol

from assay.records.schema import MethodRef, TaskRef
from assay.ruleset import RULESET, Ruleset


class Made(Protocol):
    """What a run spec says of the code and rules that the run was made with."""

    @property
    def task(self) -> TaskRef: ...
    @property
    def method(self) -> MethodRef: ...
    @property
    def ruleset(self) -> int: ...


def stale(
    spec: Made,
    task: TaskRef,
    method: MethodRef | None = None,
    ruleset: Ruleset = RULESET,
) -> str:
    """Why a run may not be compared with current ones; empty if it may.

    Args:
        spec: of a task and a method of any time.
        task: the task as it is now.
        method: the method as it is now; None: its code does not matter here.
        ruleset: the rules of now.
    """
    if spec.ruleset != ruleset.version:
        return f"made under ruleset {spec.ruleset}, now {ruleset.version}"
    if spec.task != task:
        return "the task has changed since"
    if method is not None and spec.method != method:
        return "the method has changed since"
    return ""
