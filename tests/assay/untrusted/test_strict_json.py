"""Strict JSON: what is refused, and that the quick way says what the careful one does."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from assay.untrusted.strict_json import MAX_DIGITS, NotStrict, parse
from hypothesis import given, settings
from hypothesis import strategies as st

REFUSED = {
    b'{"a":1,"a":1}': "'a' stands twice",
    b'[{"b":{"a":1,"c":2,"a":3}}]': "'a' stands twice",
    b'{"a":1,"b":":","a":2}': "'a' stands twice",
    b'{"a":1,"a":"\\u003a"}': "'a' stands twice",
    b'{"a" :1,"\\u0061":1}': "'a' stands twice",
    b'{"a:":1,"a\\u003a":1}': "'a:' stands twice",
    b"[NaN]": "NaN is not a number",
    b"[-Infinity]": "-Infinity is not a number",
    b"[1e999]": "1e999 is not a finite number",
    b"[-1.8E+308]": "is not a finite number",
    b"[" + b"9" * (MAX_DIGITS + 1) + b"]": f"expected at most {MAX_DIGITS}",
    b'["\\ud800"]': "lone surrogate",
    b'["\xed\xa0\x80"]': "not UTF-8",
    b'["\xff"]': "not UTF-8",
    b"[" * 100_000: "nested too deeply",
    b"": "not JSON",
    b"[1,]": "not JSON",
    b"[01]": "not JSON",
    b"[1] 2": "not JSON",
    b'["\t"]': "not JSON",
    b"\xef\xbb\xbf1": "not JSON",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:30]))
def test_what_has_no_one_meaning_is_refused(text):
    with pytest.raises(NotStrict, match=REFUSED[text]):
        parse(text)


@pytest.mark.parametrize("n", [1, 100, 190, 210, 400])
def test_depth_that_python_reads_is_read(n):
    assert parse(b"[" * n + b"]" * n) == json.loads("[" * n + "]" * n)


def by_the_book(text: bytes) -> Any:
    """The value as the standard library reads it, or None where it must be refused."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def finite(digits: str) -> float:
        assert math.isfinite(float(digits))
        return float(digits)

    def short(digits: str) -> int:
        assert len(digits) <= MAX_DIGITS
        return int(digits)

    def constant(name: str) -> None:
        raise AssertionError(name)

    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=unique,
            parse_float=finite,
            parse_int=short,
            parse_constant=constant,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (AssertionError, ValueError, RecursionError):
        return None
    return repr(value)


KEYS = st.sampled_from(['"a"', '"b"', '":"', '"\\u003a"', '"a:"', '"\\""', '"\\\\"', '"é"', '""'])
NUMBERS = st.one_of(
    st.floats().map(repr),
    st.integers().map(str),
    st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
)
SPACE = st.sampled_from(["", "", "", " ", "\t", "\n", "\r", "\x0b"])
LEAVES = st.one_of(KEYS, NUMBERS, st.sampled_from(["null", "true", "NaN", "nul", "-", ""]))


def _written(items: list[tuple[str, str, str]]) -> str:
    return "{" + ",".join(f"{key}{space}:{value}" for key, space, value in items) + "}"


TEXTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: "[" + ",".join(items) + "]"),
        st.lists(st.tuples(KEYS, SPACE, inner), max_size=4).map(_written),
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(TEXTS, SPACE)
def test_it_reads_what_the_standard_library_reads(text, space):
    data = (text + space).encode()
    try:
        found = repr(parse(data))
    except NotStrict:
        found = None
    assert found == by_the_book(data)
