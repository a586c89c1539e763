"""What pydantic finds wrong with data of users, told by what was given and what is expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table",
    "model": "a table",
    "finite": "a finite number",
    "date": "a date as 2026-01-31",
}
"""By the first word of pydantic's type of error."""
VALUE_TYPES = ("bool", "int", "float", "str")
"""Ends of the places of errors about a value that may be of any of these types."""


class Problem(NamedTuple):
    """One thing that is wrong."""

    place: tuple[int | str, ...]
    text: str
    given: Any
    """What stands at the place; None where it is missing or has no right to be there."""


def problems(error: ValidationError) -> Iterator[Problem]:
    """Everything that is wrong, once: a value that fits none of several types is one problem."""
    seen: set[tuple[int | str, ...]] = set()
    for entry in error.errors(include_url=False):
        place, given, kind = entry["loc"], entry["input"], entry["type"]
        if place and place[-1] in VALUE_TYPES and (place[:-1] in seen or _of_union(kind)):
            place = place[:-1]
            if place in seen:
                continue
            seen.add(place)
            number = isinstance(given, float)  # NaN or infinite, or it would be a value
            text = "expected a finite number" if number else "expected a number, a text or a bool"
            yield Problem(place, text, given)
        elif kind == "missing":
            yield Problem(place, "is missing", None)
        elif kind == "extra_forbidden":
            yield Problem(place, "is not known here", None)
        else:
            yield Problem(place, _text(kind, entry["msg"]), given)


def _of_union(kind: str) -> bool:
    return kind.startswith(("bool_", "int_", "float_", "string_", "finite_"))


def _text(kind: str, said: str) -> str:
    """What is expected instead."""
    word = kind.partition("_")[0]
    if word in EXPECTED and not kind.startswith("string_too") and kind != "string_pattern_mismatch":
        return f"expected {EXPECTED[word]}"
    if kind == "string_pattern_mismatch":
        return said.replace("String should match pattern", "expected a text of the form")
    said = said.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind.startswith(("greater_than", "less_than")):
        return said.replace("Input should be", "expected a number")
    said = said.replace(" after validation", "").replace(" should have ", " must have ")
    return said.replace("Input should be", "expected")
