from __future__ import annotations

import errno
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite import strict_json
from suite.errors import RecordError, StorageError
from suite.identity import canonical_json, content_id, sha256
from suite.reading import parse_record, plain_runs, plain_study, record_from
from suite.records import (
    Checks,
    Common,
    Compute,
    CurvePoint,
    Environment,
    Isolation,
    MethodRef,
    Result,
    RunRecord,
    RunSpec,
    StudyRecord,
    TaskRef,
    Trial,
    Usage,
    study_id,
)
from suite.space import ChoiceRange, FloatRange, IntRange, Space
from suite.store import MAX_RECORD_BYTES, Store, read_record

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.booleans() | st.integers(-(2**62), 2**62) | FINITE | TEXT
SLUGS = st.text("abcdefghij0123456789_", min_size=1, max_size=48)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
ENVIRONMENT = Environment(
    python="3.11", torch="2", platform="linux", cpu="fake", cpu_flags_hash="0", assay="0.1.0"
)

SPECS = st.builds(
    RunSpec,
    ruleset=st.integers(1, 9),
    task=st.builds(TaskRef, slug=SLUGS, version=st.integers(1, 9), code_hash=HASHES),
    method=st.builds(MethodRef, slug=SLUGS, version=st.integers(1, 9), code_hash=HASHES),
    hyperparameters=st.dictionaries(st.text("abc._", min_size=1, max_size=9), VALUES, max_size=4),
    purpose=st.sampled_from(["tuning", "repetition"]),
    repetition=st.integers(0, 99),
    compute=st.builds(Compute, threads=st.integers(1, 8)),
)


def make_spec(**changes: Any) -> RunSpec:
    facts: dict[str, Any] = {
        "ruleset": 1,
        "task": TaskRef(slug="toy", version=1, code_hash=sha256("task")),
        "method": MethodRef(slug="sgd", version=1, code_hash=sha256("method")),
        "hyperparameters": {"lr": 0.1, "nesterov": True, "power": 2, "kind": "a"},
        "purpose": "repetition",
        "repetition": 0,
    }
    return RunSpec(**facts | changes)


def make_record(spec: RunSpec | None = None, **changes: Any) -> RunRecord:
    spec = spec or make_spec()
    facts: dict[str, Any] = {
        "id": spec.id,
        "spec": spec,
        "family": "classification",
        "tier": "lite",
        "status": "completed",
        "result": Result(val=0.5, test=0.25, test_last=0.5, test_oracle=1.0, selected=0),
        "curve": [
            CurvePoint(batch=1, passes=1, seconds=0.5, train_loss=None, val=0.5, test=0.25, start=0)
        ],
        "usage": Usage(batches=1, passes=1, examples=2, train_seconds=0.1, wall_seconds=0.5),
        "environment": ENVIRONMENT,
        "isolation": Isolation(level="L1"),
        "scorer_version": 1,
        "weights_sha256": sha256("weights"),
        "reproduce": "assay run sgd --task toy",
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return RunRecord(**facts | changes)


def make_study(**changes: Any) -> StudyRecord:
    task, method, compute = make_spec().task, make_spec().method, Compute()
    facts: dict[str, Any] = {
        "id": study_id(task, method, compute, 1, [{}, {}], 1),
        "ruleset": 1,
        "preset": "full",
        "task": task,
        "method": method,
        "family": "classification",
        "tier": "lite",
        "compute": compute,
        "space": Space(),
        "trials": [
            Trial(number=n, hyperparameters={}, run_id="0" * 16, status="completed", val=0.5)
            for n in range(2)
        ],
        "selected": 1,
        "selected_runs": [make_spec().id],
        "default_runs": [],
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return StudyRecord(**facts | changes)


def as_text(record: RunRecord | StudyRecord, **changes: Any) -> str:
    return json.dumps({**record.model_dump(mode="json"), **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_golden_id_of_a_spec() -> None:
    """Files on disk are named like this; a change orphans every record."""
    assert make_spec().id == "a2a80e0a54e2821a"


@settings(max_examples=60, deadline=None)
@given(SPECS)
def test_a_spec_keeps_its_id_and_types_through_json(spec: RunSpec) -> None:
    again = RunSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.id == spec.id == content_id(json.loads(canonical_json(spec.model_dump())))
    kinds = {name: type(value) for name, value in spec.hyperparameters.items()}
    assert {name: type(value) for name, value in again.hyperparameters.items()} == kinds


@settings(max_examples=60, deadline=None)
@given(SPECS, SPECS)
def test_different_specs_have_different_ids(one: RunSpec, other: RunSpec) -> None:
    same = canonical_json(one.model_dump()) == canonical_json(other.model_dump())
    assert (one.id == other.id) == same


@pytest.mark.parametrize(
    "changes",
    [
        {"ruleset": 2},
        {"purpose": "tuning"},
        {"repetition": 1},
        {"compute": Compute(threads=2)},
        {"compute": Compute(isa="native")},
        {"task": TaskRef(slug="toy", version=2, code_hash=sha256("task"))},
        {"task": TaskRef(slug="toy", version=1, code_hash=sha256("other"))},
        {"method": MethodRef(slug="sgd", version=1, code_hash=sha256("other"))},
        {"hyperparameters": {"lr": 0.1, "nesterov": 1, "power": 2, "kind": "a"}},
        {"hyperparameters": {"lr": math.nextafter(0.1, 1), "nesterov": True, "power": 2}},
        {"hyperparameters": {"lr": 0.1, "nesterov": True, "power": 2.0, "kind": "a"}},
    ],
    ids=str,
)
def test_every_part_of_a_spec_is_part_of_its_id(changes: dict[str, Any]) -> None:
    assert make_spec(**changes).id != make_spec().id


def test_hyperparameters_in_another_order_are_the_same_run() -> None:
    turned = dict(reversed(make_spec().hyperparameters.items()))
    assert make_spec(hyperparameters=turned).id == make_spec().id


@settings(max_examples=40, deadline=None)
@given(SPECS, FINITE, FINITE, TEXT)
def test_a_record_round_trips(spec: RunSpec, val: float, test: float, message: str) -> None:
    result = Result(val=val, test=test, test_last=test, test_oracle=val, selected=0)
    record = make_record(spec, result=result, message=message)
    text = json.dumps(record.model_dump(mode="json"), indent=1, allow_nan=False)
    assert parse_record(text, RunRecord, "here") == record


def test_what_is_written_is_read_and_found_again(store: Store) -> None:
    record, study = make_record(), make_study()
    assert store.write(record)
    assert store.write(study)
    assert store.run("toy", "sgd", record.id) == record
    assert store.study("toy", "sgd", study.id) == study
    assert list(store.runs()) == [record]
    assert list(store.studies()) == [study]
    assert store.run("toy", "sgd", "f" * 16) is None
    assert files_under(store.root) == [
        f"runs/toy/sgd/{record.id}.json",
        f"studies/toy/sgd/{study.id}.json",
    ]


def test_the_first_record_of_an_id_stays(store: Store) -> None:
    first, second = make_record(message=""), make_record(message="another")
    assert store.write(first)
    path = store.path_of(first)
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert not store.write(second)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert len(files_under(store.root)) == 1


def test_of_many_writers_exactly_one_publishes(store: Store) -> None:
    records = [make_record(message=str(number) * 1000) for number in range(8)]
    barrier, published = threading.Barrier(len(records)), []

    def write(record: RunRecord) -> None:
        barrier.wait()
        if store.write(record):
            published.append(record)

    threads = [threading.Thread(target=write, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(published) == 1
    assert list(store.runs()) == published
    assert len(files_under(store.root)) == 1


@pytest.mark.parametrize("call", ["link", "fsync", "chmod", "fdopen"])
@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "--results"),
        (errno.EIO, "Input/output error"),
    ],
    ids=["full", "read-only", "forbidden", "broken"],
)
def test_a_write_that_fails_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int, advice: str
) -> None:
    real: Callable[..., Any] = getattr(os, call)

    def fail(*arguments: Any, **options: Any) -> Any:
        if call == "fdopen":
            os.close(arguments[0])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match=advice) as caught:
        store.write(make_record())
    assert caught.value.exit_code == 3
    assert str(store.root) in str(caught.value)
    assert files_under(store.root) == []
    monkeypatch.setattr(os, call, real)
    assert store.write(make_record())


def test_a_kill_while_writing_leaves_no_half_record_and_is_swept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    record = make_record()
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed)
        patch.setattr(os, "unlink", lambda *_: None)  # a killed process cleans nothing up
        with pytest.raises(KeyboardInterrupt):
            store.write(record)
    assert store.run("toy", "sgd", record.id) is None
    assert list(store.runs()) == []
    assert len(files_under(store.root)) == 1
    store.sweep()
    assert files_under(store.root) == []
    assert store.write(record)
    store.sweep()
    assert list(store.runs()) == [record]


def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for root in (tmp_path / "file", tmp_path / "file" / "results", Path("/proc/results")):
        with pytest.raises(StorageError, match="cannot write to the results folder"):
            Store(root).check_writable()
        with pytest.raises(StorageError, match="cannot write to the results folder"):
            Store(root).write(make_record())
    assert (tmp_path / "file").read_text() == "in the way"


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


def test_files_that_cannot_be_read(store: Store) -> None:
    record = make_record()
    store.write(record)
    path = store.path_of(record)
    other = path.with_name("0" * 16 + ".json")
    other.write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=f"holds the record {record.id}, expected 0000"):
        read_record(other, RunRecord)
    for content in (b"\xff\xfe", b" " * (MAX_RECORD_BYTES + 1)):
        other.write_bytes(content)
        with pytest.raises(RecordError, match=r"0000\.json: (cannot be read|4,000,001 bytes)"):
            read_record(other, RunRecord)
    other.unlink()
    os.mkfifo(other)
    with pytest.raises(RecordError, match="not a regular file"):
        read_record(other, RunRecord)
    other.unlink()
    other.mkdir()
    with pytest.raises(RecordError, match="not a regular file"):
        read_record(other, RunRecord)
    with pytest.raises(FileNotFoundError):
        read_record(path.with_name("1" * 16 + ".json"), RunRecord)


def test_reading_all_names_the_unreadable_ones_and_goes_on(store: Store) -> None:
    records = [make_record(make_spec(repetition=number)) for number in range(3)]
    for record in records:
        store.write(record)
    damaged = store.path_of(records[1])
    damaged.write_text(damaged.read_text()[:100])
    problems: list[str] = []
    found = list(store.runs(problems))
    assert {record.id for record in found} == {records[0].id, records[2].id}
    assert len(problems) == 1
    assert str(damaged) in problems[0]
    with pytest.raises(RecordError, match="the file is damaged"):
        list(store.runs())


def test_a_record_in_another_methods_folder_is_not_taken_for_its_own(store: Store) -> None:
    record = make_record()
    store.write(record)
    stray = store.run_path("toy", "adam", record.id)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(store.path_of(record).read_bytes())
    problems: list[str] = []
    assert list(store.runs(problems)) == [record]
    assert len(problems) == 1
    with pytest.raises(RecordError, match="belongs in"):
        store.run("toy", "adam", record.id)
