"""Records from JSON: what is wrong is refused by name, and both ways of reading agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from assay.errors import RecordError
from assay.records.parsing import parse_record, plain_runs, plain_study, record_from
from assay.records.schema import (
    Checks,
    Common,
    CurvePoint,
    Result,
    RunRecord,
    RunSpec,
    StudyRecord,
    Trial,
    study_id,
)
from assay.space import ChoiceRange, FloatRange, IntRange, Space
from assay.untrusted import strict_json
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.assay.conftest import ENVIRONMENT, make_record, make_spec, make_study


def as_text(record: RunRecord | StudyRecord, **changes: Any) -> str:
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
        (as_text(make_record(), schema_version=2), "newer Assay .*pip install --upgrade"),
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
        (as_text(make_study()), "kind"),
    ],
)
def test_a_record_that_is_not_one_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        parse_record(text, RunRecord, "bundle.jsonl:7")
    assert str(caught.value).startswith("bundle.jsonl:7: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "0" * 16},
        {"ruleset": 2},
        {"selected": 2},
        {"selected": -1},
        {"selected_runs": []},
        {"trials": []},
        {"trials": [as_dict for as_dict in make_study().model_dump(mode="json")["trials"][::-1]]},
    ],
    ids=str,
)
def test_a_study_that_does_not_fit_together_is_refused(changes: dict[str, Any]) -> None:
    assert parse_record(as_text(make_study()), StudyRecord, "here") == make_study()
    with pytest.raises(RecordError, match=r"^here: "):
        parse_record(as_text(make_study(), **changes), StudyRecord, "here")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 60), st.text(max_size=3))
def test_damage_anywhere_is_refused_or_harmless(start: int, length: int, put: str) -> None:
    text = GOOD[:start] + put + GOOD[start + length :]
    try:
        record = parse_record(text, RunRecord, "here")
    except RecordError as error:
        assert str(error).startswith("here: ")
    else:
        assert record.id == record.spec.id == make_record().id


LINE = json.dumps(
    make_record(
        make_spec(epoch="e1"),
        message="of: an ordinary run",
        result=Result(
            val=1, test=0.25, test_last=-0.0, test_oracle=1e-9, selected=0, secondary={"nll": 0.5}
        ),
        curve=[
            CurvePoint(
                batch=n, passes=n, seconds=n, train_loss=0.5, val=n, test=0.1, start=0, x=0.1, y=2.5
            )
            for n in (1, 2)
        ],
        checks=Checks(first_losses=[0.1, None], weight_distances=[1.5]),
    ).model_dump(mode="json")
    | {"environment": 0},
    separators=(",", ":"),
).encode()
ODD = [
    *("0", "-0", "1", "-1", "1.0", "-0.0", "1e0", "2.5", "1e-400", "1e308", "1e999", "-1e999"),
    *("1e400000", "NaN", "Infinity", "-Infinity", "01", "+1", ".5", "null", "true", "nul", ""),
    *("9007199254740993", "1.00000000000000000001", "18446744073709551616", "0." + "1" * 40),
    *("-9223372036854775809", "9" * 25, "9" * 26, '"' + "9" * 40 + '"', '"\t"', '"\x85"', '"é"'),
    *('""', '"x"', '"1"', '"true"', '":"', '" :"', '"a:1"', '"e1"', '"L1"', '"\\u0061"', '"\\n"'),
    *("[]", "[1]", "[[]]", "{}", '{"a":1}', '{"a":1,"a":1}', '{"a" :1}', "[" * 300 + "]" * 300),
]


def changed_lines(line: bytes) -> Iterator[bytes]:
    """`line` with each of its values replaced, and each of its keys doubled, lost or set apart."""
    for found in re.finditer(rb'"([a-z0-9_]+)":("[^"]*"|[^][{}",]+)?', line):
        before, after = line[: found.start()], line[found.end() :]
        key, value = found[1], found[2] or b""
        yield before + b'"%s" :' % key + value + after
        yield before + b'"%s":%s,' % (key, value or b"0") + found[0] + after
        yield before + b'"%s"\t: %s,' % (key, value or b"0") + found[0] + after
        yield before + b'"%s":":",' % key + found[0] + after
        yield before + b'"new":1,' + found[0] + after
        if value:
            yield before + (after.removeprefix(b",") if after[:1] == b"," else after)
            for odd in (*(text.encode() for text in ODD), b'"\xff"', b'"\xed\xa0\x80"'):
                yield before + b'"%s":' % key + odd + after
            for other in (b"1", b'"L1"', b'{"a":1}'):
                yield before + b'"%s":%s,' % (key, other) + found[0] + after
                yield before + found[0] + b',"%s":' % key + other + after


def with_own_id(line: bytes) -> bytes:
    """The line with the id of its spec, if that is sound."""
    try:
        own = RunSpec.model_validate(strict_json.parse(line)["spec"]).id
    except (ValueError, KeyError, TypeError):
        return line
    return line.replace(make_spec(epoch="e1").id.encode(), own.encode())


def test_the_quick_way_reads_what_the_careful_one_reads() -> None:
    first = plain_runs([LINE], Common([ENVIRONMENT]))[0]
    assert first is not None and first.environment is ENVIRONMENT
    lines = [with_own_id(line) for line in changed_lines(LINE)]
    runs = plain_runs([LINE, *lines], Common([ENVIRONMENT]))
    n_read = 0
    for line, run in zip(lines, runs[1:], strict=True):
        try:
            careful = record_from(strict_json.parse(line), RunRecord, "x", Common([ENVIRONMENT]))
        except (strict_json.NotStrict, RecordError):
            assert run is None, line
        else:
            n_read += run is not None
            assert run is None or (run == careful and repr(run) == repr(careful)), line
    assert n_read > 500


POINTS = [{"lr": 0.1, "n": 2, "kind": "a", "on": True}, {"lr": 1e-9, "n": -3, "kind": "b"}]
STUDY = json.dumps(
    make_study(
        epoch="e1",
        space=Space(
            ranges={
                "lr": FloatRange(low=1e-9, high=1, log=True),
                "n": IntRange(low=-3, high=4),
                "kind": ChoiceRange(options=("a", "b", 1, 1.5, False)),
            },
            defaults=POINTS[0],
        ),
        trials=[
            Trial(number=n, hyperparameters=point, run_id="0" * 16, status="completed", val=n)
            for n, point in enumerate(POINTS)
        ],
    ).model_dump(mode="json"),
    separators=(",", ":"),
).encode()


def with_own_study_id(line: bytes) -> bytes:
    """The line with the id of its content, if that is sound."""
    try:
        study = StudyRecord.model_validate(strict_json.parse(line))
    except ValueError:
        return line
    points, r = [trial.hyperparameters for trial in study.trials], len(study.selected_runs)
    own = study_id(study.task, study.method, study.compute, study.ruleset, points, r, study.epoch)
    return line.replace(study.id.encode(), own.encode())


def test_the_quick_way_reads_a_study_as_the_careful_one() -> None:
    common = Common([])
    assert plain_study(with_own_study_id(STUDY), common) is not None
    n_read = 0
    for line in map(with_own_study_id, changed_lines(STUDY)):
        study = plain_study(line, common)
        try:
            careful = record_from(strict_json.parse(line), StudyRecord, "x", Common([]))
        except (strict_json.NotStrict, RecordError):
            assert study is None, line
        else:
            n_read += study is not None
            assert study is None or (study == careful and repr(study) == repr(careful)), line
    assert n_read > 500
