"""Records from JSON: what is wrong is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from assay.errors import FormerRecord, RecordError
from assay.records.parsing import parse_record
from assay.records.schema import RunRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.assay.conftest import make_record


def as_text(record: RunRecord, **changes: Any) -> str:
    return json.dumps({**record.model_dump(mode="json"), **changes})


GOOD = as_text(make_record())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        (GOOD[:-40], "not valid JSON"),
        (GOOD + GOOD, "not valid JSON"),
        ("[" * 200_000, "not valid JSON"),
        ('{"schema_version": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ("{}", "schema_version, got None"),
        (as_text(make_record(), schema_version=True), "schema_version, got True"),
        (as_text(make_record(), schema_version="1"), "schema_version, got '1'"),
        (as_text(make_record(), schema_version=1.0), "schema_version, got 1.0"),
        (as_text(make_record(), schema_version=2.0), "schema_version, got 2.0"),
        (as_text(make_record(), schema_version=3), "newer Assay .*pip install --upgrade"),
        (as_text(make_record(), schema_version=0), "record schema 0 is unknown"),
        (as_text(make_record(), kind="study"), "kind"),
        (as_text(make_record(), status="great"), "status"),
        (as_text(make_record(), surprise=1), "surprise"),
        (as_text(make_record(), result=None), "status 'completed' and result"),
        (as_text(make_record(), status="failed"), "status 'failed' and result"),
        (as_text(make_record(), id="0" * 16), "is not its spec's id"),
        (as_text(make_record(), id="../../etc/passwd"), "id"),
        (as_text(make_record(), weights_sha256="abc"), "weights_sha256"),
        (GOOD.replace("0.25", "NaN"), "finite"),
        (GOOD.replace("0.25", "Infinity"), "finite"),
        (GOOD.replace("0.25", "1e999"), "finite"),
        (GOOD.replace('"lr": 0.1', '"lr": 0.2'), "is not its spec's id"),
    ],
)
def test_a_record_that_is_not_one_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        parse_record(text, "bundle.jsonl:7")
    assert str(caught.value).startswith("bundle.jsonl:7: ")


def test_a_record_of_ruleset_1_is_told_apart() -> None:
    with pytest.raises(FormerRecord, match="here: made under ruleset 1"):
        parse_record(as_text(make_record(), schema_version=1, anything=1), "here")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 60), st.text(max_size=3))
def test_damage_anywhere_is_refused_or_harmless(start: int, length: int, put: str) -> None:
    text = GOOD[:start] + put + GOOD[start + length :]
    try:
        record = parse_record(text, "here")
    except RecordError as error:
        assert str(error).startswith("here: ")
    else:
        assert record.id == record.spec.id == make_record().id
