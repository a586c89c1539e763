"""Records and the folder that holds them: ids, what is written once, what is found again."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from assay.errors import FormerRecord, RecordError, StorageError
from assay.identity import canonical_json, content_id, sha256
from assay.records.parsing import parse_record, record_from
from assay.records.schema import (
    MAX_NUMBER,
    Compute,
    Isolation,
    Level,
    MethodRef,
    Result,
    RunRecord,
    RunSpec,
    TaskRef,
)
from assay.records.spec_ids import SpecIds
from assay.records.store import MAX_RECORD_BYTES, Store, read_record
from assay.space import Space
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.assay.conftest import make_record, make_spec

FINITE = st.floats(-MAX_NUMBER, MAX_NUMBER, allow_nan=False)
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
VALUES = st.booleans() | st.integers(-(2**62), 2**62) | FINITE | TEXT
SLUGS = st.text("abcdefghij0123456789_", min_size=1, max_size=48)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
SPECS = st.builds(
    RunSpec,
    ruleset=st.integers(1, 9),
    task=st.builds(TaskRef, slug=SLUGS, version=st.integers(1, 9), code_hash=HASHES),
    method=st.builds(MethodRef, slug=SLUGS, version=st.integers(1, 9), code_hash=HASHES),
    hyperparameters=st.dictionaries(st.text("abc._", min_size=1, max_size=9), VALUES, max_size=4),
    repetition=st.integers(0, 99),
    point=st.none() | st.integers(0, 9),
    compute=st.builds(Compute, threads=st.integers(1, 8)),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_golden_id_of_a_spec() -> None:
    """Files on disk are named like this; a change orphans every record."""
    assert make_spec().id == "feafd9bb2986db89"


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
        {"ruleset": 3},
        {"point": 1},
        {"point": None},
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
    quickly = parse_record(text, "here")
    thoroughly = record_from(json.loads(text), "here")
    assert quickly == thoroughly == record
    assert repr(quickly) == repr(thoroughly)  # types too: 1 and 1.0 and True are equal


def test_equal_parts_of_records_are_read_once_and_never_mixed_up() -> None:
    spaces = [Space(defaults={"a": value}) for value in (1, True, 1.0, "1", 1)]
    texts = [json.dumps(make_record(space=one).model_dump(mode="json")) for one in spaces]
    read = [parse_record(text, "here").space for text in texts]
    assert [type(one.defaults["a"]) for one in read] == [int, bool, float, str, int]
    assert read[0] is read[-1]


@settings(max_examples=60, deadline=None)
@given(SPECS, SPECS)
def test_an_id_from_what_specs_share_is_that_of_the_spec(one: RunSpec, other: RunSpec) -> None:
    places = (one.repetition, one.point, one.hyperparameters)
    shared = other.model_copy(update={"task": one.task, "ruleset": 7, "epoch": "autumn"})
    own = shared.model_copy(
        update=dict(zip(("repetition", "point", "hyperparameters"), places, strict=True))
    )
    assert SpecIds(shared).of(*places) == own.id


def test_what_is_written_is_read_and_found_again(store: Store) -> None:
    record = make_record()
    assert store.write(record)
    assert store.run("toy", "sgd", record.id) == record
    assert store.find_run(record.id) == record
    assert store.run_ids("toy", "sgd") == {record.id}
    assert store.tasks() == ["toy"]
    assert list(store.runs()) == [record]
    assert list(store.runs(task="toy", method="sgd")) == [record]
    assert list(store.runs(task="other")) == list(store.runs(method="adam")) == []
    assert store.run("toy", "sgd", "f" * 16) is None
    assert files_under(store.root) == [f"runs/toy/sgd/{record.id}.json"]


def test_records_of_ruleset_1_are_passed_over(store: Store) -> None:
    record = make_record()
    store.write(record)
    old = store.run_path("toy", "sgd", "0" * 16)
    old.write_text('{"schema_version": 1, "kind": "run"}')
    problems: list[str] = []
    assert list(store.runs(problems)) == list(store.runs()) == [record]
    assert problems == []
    with pytest.raises(FormerRecord):
        store.run("toy", "sgd", "0" * 16)


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


@pytest.mark.parametrize("call", ["link", "fsync"])
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


def test_files_that_cannot_be_read(store: Store) -> None:
    record = make_record()
    store.write(record)
    path = store.path_of(record)
    other = path.with_name("0" * 16 + ".json")
    other.write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=f"holds the record {record.id}, expected 0000"):
        read_record(other)
    for content in (b"\xff\xfe", b" " * (MAX_RECORD_BYTES + 1)):
        other.write_bytes(content)
        with pytest.raises(RecordError, match=r"0000\.json: (cannot be read|4,000,001 bytes)"):
            read_record(other)
    other.unlink()
    os.mkfifo(other)
    with pytest.raises(RecordError, match="not a regular file"):
        read_record(other)
    other.unlink()
    other.mkdir()
    with pytest.raises(RecordError, match="not a regular file"):
        read_record(other)
    with pytest.raises(FileNotFoundError):
        read_record(path.with_name("1" * 16 + ".json"))


def test_a_link_to_nothing_is_no_missing_record(store: Store) -> None:
    """Its name is taken: the run would be done again and again, and never recorded."""
    record = make_record()
    path = store.path_of(record)
    path.parent.mkdir(parents=True)
    path.symlink_to("nowhere")
    assert not store.write(record)
    with pytest.raises(RecordError, match="is a link to nothing; remove the file"):
        store.run(record.spec.task.slug, record.spec.method.slug, record.id)


def test_a_file_is_no_results_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="choose another with --results"):
        Store(tmp_path / "file").run_ids("toy", "sgd")


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


@pytest.mark.parametrize(
    ("level", "accelerator", "device", "sealed"),
    [
        ("L0", "cpu", "cpu", False),
        ("L1", "cpu", "cpu", False),
        ("L2", "cpu", "cpu", True),
        ("L3", "cpu", "cpu", True),
        ("L4", "cpu", "cpu", True),
        ("L2", "gpu", "gpu", False),
        ("L2", "cpu", "gpu", False),
        ("L2", "gpu", "cpu", False),
    ],
)
def test_a_record_is_sealed_in_a_sandbox_on_a_cpu(
    level: Level, accelerator: Literal["cpu", "gpu"], device: str, sealed: bool
) -> None:
    made = make_record(make_spec())
    compute = made.spec.compute.model_copy(update={"accelerator": accelerator})
    changed = made.model_copy(
        update={
            "spec": made.spec.model_copy(update={"compute": compute}),
            "environment": made.environment.model_copy(update={"device": device}),
            "isolation": Isolation(level=level),
        }
    )
    assert changed.sealed is sealed


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("curve", 0, "passes"), 10**400),
        (("curve", 0, "passes"), -1),
        (("curve", 0, "train_loss"), 1e300),
        (("curve", 0, "seconds"), 1e30),
        (("usage", "example_passes"), 2**53 + 1),
        (("result", "test"), 1e200),
        (("spec", "hyperparameters", "lr"), 10**400),
        (("spec", "hyperparameters", "kind"), "\x1b[2J"),
        (("space", "defaults", "lr"), "x" * 300),
    ],
)
def test_a_number_or_text_beyond_all_bounds_is_refused(place: tuple[Any, ...], value: Any) -> None:
    data = make_record(make_spec()).model_dump(mode="json")
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(RecordError):
        parse_record(json.dumps(data), "a record")
