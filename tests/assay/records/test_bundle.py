"""Bundles: what they keep of runs, and what reading refuses."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.cards import Metric
from assay.errors import BundleError, FormerBundle
from assay.identity import sha256
from assay.publication.pack import pack_method
from assay.records.bundle import file_name, pack, parse_bundle, read_bundle
from assay.records.schema import Compute, Isolation, MethodRef, RunRecord
from assay.records.selection import selected
from assay.untrusted.zip_archive import read_archive, write_archive

TASK = "digits_step"
METRIC = Metric(name="accuracy", direction="maximize", chance=0.1, margin=0.01)
Members = dict[str, bytes]


@pytest.fixture
def good(bundles: dict[str, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return Path(shutil.copy(bundles[TASK], folder))


def remade(path: Path, change: Callable[[Members], None]) -> Path:
    """The bundle with changed members, as if its maker had made it so."""
    members = read_archive(path.read_bytes())
    change(members)
    data = write_archive(members)
    new = path.with_name(path.name[:-20] + sha256(data)[:16] + ".zip")
    new.write_bytes(data)
    return new


def kept(run: RunRecord, chosen: set[str]) -> RunRecord:
    """What a bundle keeps of a run."""
    if run.spec.point == 0 or run.id in chosen:
        return run
    return run.model_copy(update={"curve": [], "checks": None})


def chosen_of(runs: list[RunRecord]) -> set[str]:
    repetitions = {run.spec.repetition for run in runs}
    return {
        selected((run for run in runs if run.spec.repetition == r), METRIC).id for r in repetitions
    }


def test_a_bundle_holds_what_the_store_holds(submission: Any, tmp_path: Path) -> None:
    runs = submission.record(TASK)
    good = submission.bundle(tmp_path / "out")
    bundle = read_bundle(good)
    by_id = {run.id: run for run in submission.store.runs()}
    chosen = chosen_of(runs)
    for run in bundle.runs:
        stored = by_id.pop(run.id)
        assert run == kept(stored, chosen).model_copy(update={"reproduce": run.reproduce})
        assert run.spec.id == run.id
        assert RunRecord.model_validate(run.model_dump(mode="json")) == run
        assert run.model_copy(update={"message": "x"}) != run
    assert by_id == {}
    assert sum(bool(run.curve) for run in bundle.runs) == len(
        {*chosen, *(run.id for run in runs if run.spec.point == 0)}
    )
    assert bundle.source == {p.name: p.read_bytes() for p in submission.folder.iterdir()}
    assert good.name == file_name(bundle.manifest.task, bundle.manifest.method, bundle.sha256)
    assert bundle.sha256 == sha256(good.read_bytes())
    assert bundle.path == good


def test_a_whole_cell_is_small(submission: Any, tmp_path: Path) -> None:
    """12 KB on average for data tasks, 30 KB for functions: these have random curves."""
    for task in (TASK, "beale"):
        submission.record(task, "full")
    done = pack_method(submission.method, submission.store, tmp_path / "out")
    assert not done.left_out
    for path in done.written:
        most = 12_000 if TASK in path.name else 60_000
        assert len(read_bundle(path).runs) == 96 and path.stat().st_size < most


def test_the_same_records_make_the_same_file(submission: Any, good: Path) -> None:
    bundle = read_bundle(good)
    name, data = pack(bundle.runs[::-1], bundle.source, METRIC)
    assert (name, data) == (good.name, good.read_bytes())
    submission.record(TASK)
    out = good.parent.parent / "twice"
    assert submission.bundle(out) == submission.bundle(out)
    assert len(list(out.iterdir())) == 1


def test_what_runs_share_is_stated_and_held_once(good: Path) -> None:
    members = read_archive(good.read_bytes())
    assert len(json.loads(members["runs.json"])["frames"]) == 1
    first, *others = read_bundle(good).runs
    for run in others:
        assert run.spec.task is first.spec.task
        assert run.space is first.space
        assert run.environment is first.environment


def test_runs_of_several_machines_devices_and_epochs_come_back(good: Path) -> None:
    """Ids are made from the frame: they must be those of the specs in every one."""
    bundle = read_bundle(good)
    isa = 'odd "text" \\ --repetition 0 --point 0 é'
    changes: list[dict[str, Any]] = [
        {},
        {"epoch": "spring_2027"},
        {"compute": Compute(accelerator="gpu", threads=2)},
        {"compute": Compute(isa=isa)},
    ]
    runs = []
    for number, run in enumerate(bundle.runs):
        spec = run.spec.model_copy(update=changes[number % 4])
        isolation = Isolation(level="L0") if number % 3 else run.isolation
        own = {"id": spec.id, "spec": spec, "isolation": isolation}
        runs.append(run.model_copy(update=own))
    name, data = pack(runs, bundle.source, METRIC)
    by_id = {run.id: run for run in runs}
    for run in parse_bundle(data, Path(name)).runs:
        known = by_id.pop(run.id)
        assert run.spec == known.spec
        assert run.spec.id == run.id
        assert (run.isolation, run.result) == (known.isolation, known.result)
    assert by_id == {}


def test_coordinates_are_kept_of_the_first_repetitions(submission: Any, tmp_path: Path) -> None:
    submission.record("beale")
    for path in submission.store.root.glob("runs/beale/*/*.json"):
        record = json.loads(path.read_text())
        record["curve"] = [{**point, "x": 0.5, "y": None} for point in record["curve"]]
        path.write_text(json.dumps(record))
    for run in read_bundle(submission.bundle(tmp_path)).runs:
        xs = {point.x for point in run.curve}
        assert xs <= ({0.5} if run.spec.repetition < 3 else {None})


def test_a_run_that_did_not_complete_comes_back(good: Path) -> None:
    bundle = read_bundle(good)
    first, *others = bundle.runs
    bad = first.model_copy(
        update={
            "status": "diverged",
            "message": "the loss was not finite: 'é'",
            "result": None,
            "curve": [],
            "weights_sha256": None,
        }
    )
    name, data = pack([bad, *others], bundle.source, METRIC)
    assert bad in parse_bundle(data, Path(name)).runs


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Members], None]:
    """A change of a member's JSON."""

    def apply(members: Members) -> None:
        value = change(json.loads(members[name]))
        members[name] = value if isinstance(value, bytes) else json.dumps(value).encode()

    return apply


def put(**items: Any) -> Callable[[Any], Any]:
    return lambda value: {**value, **items}


def manifest(**items: Any) -> Callable[[Members], None]:
    return changed("manifest.json", put(**items))


def runs(**items: Any) -> Callable[[Members], None]:
    return changed("runs.json", put(**items))


def within(where: str, value: Any) -> Callable[[Members], None]:
    """Put `value` at a place in the runs' columns, such as "usage.batches.0"."""

    def change(table: Any) -> Any:
        *outer, last = where.split(".")
        holder = table
        for key in outer:
            holder = holder[int(key) if isinstance(holder, list) else key]
        holder[int(last) if isinstance(holder, list) else last] = value
        return table

    return changed("runs.json", change)


def drop(name: str) -> Callable[[Members], None]:
    return lambda members: members.pop(name)  # type: ignore[return-value]


def raw(name: str, data: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({name: data})


DEEP = b'{"a":' + b"[" * 100_000 + b"}"
BAD: dict[str, tuple[Callable[[Members], None], str]] = {
    "no manifest": (drop("manifest.json"), "manifest.json is missing"),
    "no runs": (drop("runs.json"), "runs.json is missing"),
    "another member": (raw("setup.py", b""), "setup.py: no such file belongs in a bundle"),
    "a nested bundle": (raw("inner.zip", write_archive({"a": b""})), "no such file belongs"),
    "another schema": (manifest(schema_version=3), "schema 2, got '3'.*newer Assay"),
    "schema true": (manifest(schema_version=True), "schema 2, got 'True'"),
    "another kind": (manifest(kind="run"), "manifest.json: kind"),
    "an unknown key": (manifest(note="x"), "manifest.json: note: Extra inputs"),
    "a list": (raw("manifest.json", b"[]"), "schema 2"),
    "zero runs": (manifest(n_runs=0), "n_runs"),
    "a billion runs": (manifest(n_runs=10**9), "n_runs"),
    "endless digits": (raw("manifest.json", b'{"n_runs":' + b"9" * 9000 + b"}"), "9000 digits"),
    "wrong count": (manifest(n_runs=3), "24 values, expected 3"),
    "not UTF-8": (raw("runs.json", b"\xff"), "runs.json: it is not UTF-8"),
    "not JSON": (raw("runs.json", b"{"), "runs.json: it is not JSON"),
    "a list of runs": (raw("runs.json", b"[]"), "expected a JSON object"),
    "NaN": (within("usage.train_seconds.0", float("nan")), "NaN is not a number"),
    "infinity": (within("result.val.0", float("-inf")), "-Infinity is not a number"),
    "overflow": (raw("runs.json", b'{"a":1e999}'), "1e999 is not a finite"),
    "twice": (raw("runs.json", b'{"a":1,"a":2}'), "'a' stands twice"),
    "half a character": (raw("runs.json", b'{"a":"\\ud800"}'), "surrogate"),
    "deep": (raw("runs.json", DEEP), "nested too deeply|not JSON"),
    "an unknown column": (runs(id=["0" * 16] * 24), "runs.json: id: no such column"),
    "no column": (changed("runs.json", lambda v: {k: v[k] for k in v if k != "point"}),
                  "point is missing"),
    "a short column": (runs(point=[0] * 23), "point: 23 values, expected 24"),
    "a column of text": (runs(point="0" * 24), "point: expected a list"),
    "a point of text": (within("point.0", "0"), "point: 0: Input should be a valid integer"),
    "a point below 0": (within("point.0", -1), "point: 0: .*greater than or equal to 0"),
    "no point": (within("point.0", None), "point: 0: Input should be a valid integer"),
    "repetition true": (within("repetition.0", True), "repetition: 0: Input should be a valid"),
    "a frame": (within("frame.0", 1), "frame: expected indices below 1"),
    "frame -1": (within("frame.0", -1), "frame: 0: .*greater than or equal"),
    "frame true": (within("frame.0", True), "frame: 0: Input should be a valid integer"),
    "no frames": (runs(frames=[]), "frame: expected indices below 0"),
    "half a frame": (runs(frames=[{"ruleset": 2}]), "frames: compute: Field required"),
    "a ruleset below 0": (within("frames.0.ruleset", -1), "frames: ruleset: .*greater than or"),
    "a huge ruleset": (within("frames.0.ruleset", 10**18), "frames: ruleset: .*less than or"),
    "frames whole": (runs(frames={}), "frames: expected a list"),
    "a status": (within("status.0", "won"), "status: 0: Input should be 'completed'"),
    "a message": (within("message.0", None), "message: 0: Input should be a valid string"),
    "no result": (within("result.val.0", None), "run 0: status .* do not fit together"),
    "a result too many": (within("status.0", "failed"), "run 0: status .* do not fit together"),
    "a score of text": (within("result.val.0", "1"), "result.val: 0: Input should be a valid nu"),
    "a secondary table": (within("result.secondary", []), "result.secondary: expected a JSON"),
    "a secondary score": (within("result.secondary.x", ["1"] * 24), "result.secondary.x: 0: Inp"),
    "an unknown score": (within("result.best", [1.0] * 24), "result.best: no such column"),
    "negative time": (within("usage.wall_seconds.0", -1.0), "usage.wall_seconds: 0: Input should"),
    "half a batch": (within("usage.batches.0", 0.5), "usage.batches: 0: Input should be a valid"),
    "a hyperparameter": (within("hyperparameters.lr.0", [1]), "hyperparameters.lr: expected numb"),
    "a time": (within("created_at.0", "2026"), "created_at: 0: Input should be a valid integer"),
    "a late time": (within("created_at.0", 2**40), "created_at: 0: Input should be less than"),
    "weights of text": (runs(weights_sha256="?"), "weights_sha256: expected Base64"),
    "weights whole": (runs(weights_sha256=1), "weights_sha256: expected Base64"),
    "few weights": (runs(weights_sha256=base64.b64encode(b"a" * 32).decode()),
                    "weights_sha256: expected 32 bytes for each of 24 runs"),
    "kept twice": (within("kept.1", 0), "kept: expected different indices below 24"),
    "kept outside": (within("kept.1", 24), "kept: expected different indices below 24"),
    "kept true": (within("kept.1", True), "kept: expected different indices below 24"),
    "a short curve": (within("curves.val.0", [0.5]), "curves.val: 1 values, expected"),
    "a curve of text": (within("curves.val.0.0", "x"), "curves.val: 0: Input should be a valid"),
    "no curve": (within("curves.batch.0", None), "curves.batch: expected a list"),
    "no scores": (within("curves.val.0", None), "curves.val: expected a list"),
    "a check": (within("checks.first_losses.0", "x"), "checks: first_losses: Input should be"),
    "much source": (raw("source/a.py", b"#" * 1_000_001), "source/ holds more than"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_content_gets_one_clear_error(good: Path, name: str) -> None:
    change, expected = BAD[name]
    path = remade(good, change)
    with pytest.raises(BundleError, match=expected) as caught:
        read_bundle(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_a_changed_member_does_not_have_the_bundles_name(good: Path) -> None:
    members = read_archive(good.read_bytes())
    for name in ("source/method.py", "source/more.py"):
        good.write_bytes(write_archive({**members, name: b"x = 2\n"}))
        with pytest.raises(BundleError, match="it was changed or renamed"):
            read_bundle(good)


def test_a_bundle_of_ruleset_1_is_told_apart() -> None:
    (old,) = Path(__file__).with_name("ruleset1").glob("*.zip")
    with pytest.raises(FormerBundle, match="made under ruleset 1"):
        read_bundle(old)


def test_the_name_is_the_content(good: Path, tmp_path: Path) -> None:
    other = tmp_path / good.name.replace("my_opt", "your_opt")
    other.write_bytes(good.read_bytes())
    with pytest.raises(BundleError, match=f"a file called {good.name}"):
        read_bundle(other)


def test_what_is_no_file(good: Path, tmp_path: Path) -> None:
    link, folder = tmp_path / "link.zip", tmp_path / "folder.zip"
    link.symlink_to(good)
    folder.mkdir()
    for path in (link, folder, tmp_path / "nowhere.zip", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(BundleError, match="cannot be read"):
            read_bundle(path)
    big = tmp_path / "big.zip"
    with big.open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(BundleError, match="larger than"):
        read_bundle(big)


def test_nothing_is_written_beside_the_bundle(good: Path) -> None:
    before = sorted(good.parent.rglob("*"))
    read_bundle(good)
    with pytest.raises(BundleError):
        parse_bundle(good.read_bytes()[:-1], good)
    assert sorted(good.parent.rglob("*")) == before


def test_what_makes_no_bundle(good: Path) -> None:
    bundle = read_bundle(good)
    first = bundle.runs[0]

    def other(**changes: Any) -> RunRecord:
        spec = first.spec.model_copy(update=changes)
        return first.model_copy(update={"spec": spec, "id": spec.id})

    foreign = MethodRef(slug="other", version=1, code_hash="0" * 64)
    for added, expected in (
        (other(method=foreign), "other cells"),
        (other(point=None), "chosen by hand"),
        (first, "twice"),
        (other(repetition=50).model_copy(update={"created_at": "now"}), "whole seconds in UTC"),
    ):
        with pytest.raises(BundleError, match=expected):
            pack([*bundle.runs, added], bundle.source, METRIC)
    with pytest.raises(BundleError, match="no run"):
        pack([], bundle.source, METRIC)
