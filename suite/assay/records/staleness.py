"""Whether a record was made with the task, the method and the rules as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from assay.records.schema import MethodRef, TaskRef
from assay.ruleset import RULESET, Ruleset

MAX_NAMED = 3
"""Libraries named in one line."""


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

    A library that is not installed here makes nothing stale; see `unknown_libraries`.

    Args:
        spec: of a task and a method of any time.
        task: the task as it is now.
        method: the method as it is now; None: its code does not matter here.
        ruleset: the rules of now.
    """
    if spec.ruleset != ruleset.version:
        return f"made under ruleset {spec.ruleset}, now {ruleset.version}"
    if why := changed(spec.task, task):
        return f"the task {why}"
    if method is not None and (why := changed(spec.method, method)):
        return f"the method {why}"
    return ""


def changed(then: TaskRef | MethodRef, now: TaskRef | MethodRef) -> str:
    """How a task or method has changed: what follows after its name; empty if it has not."""
    own = then.slug, then.version, then.code_hash
    if own != (now.slug, now.version, now.code_hash):
        return "has changed since"
    libraries = library_changes(then.libraries, now.libraries)
    return f"uses {listed(libraries)}" if libraries else ""


def library_changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The libraries that have changed, in words; those that are not installed now are passed over.

    Of a library without a hash on one side the versions alone are compared.
    """
    found = []
    for name, here in sorted(now.items()):
        if (there := then.get(name)) is None:
            found.append(f"{_named(name, here)} now, which was not there then")
        elif _version(there) != _version(here):
            found.append(
                f"{name} {_version(there) or 'without a version'} then, "
                f"{_version(here) or 'without a version'} now"
            )
        elif _hash(there) and _hash(here) and _hash(there) != _hash(here):
            found.append(f"{_named(name, here)} with other files now")
    return found


def unknown_libraries(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The libraries that are not installed now, so that nobody can say whether they changed."""
    return [_named(name, there) for name, there in sorted(then.items()) if name not in now]


def listed(parts: list[str]) -> str:
    """The first parts in one line, and how many there are beside."""
    more = len(parts) - MAX_NAMED
    return ", ".join(parts[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _named(name: str, text: str) -> str:
    return f"{name} {_version(text)}".rstrip()


def _version(text: str) -> str:
    """Empty where there is none."""
    return text.partition("#")[0].strip()


def _hash(text: str) -> str:
    return text.partition("#")[2]
