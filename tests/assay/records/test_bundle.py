"""Bundles: what packing takes in and leaves out, and what reading refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.errors import AssayError, BundleError, PluginError
from assay.identity import sha256
from assay.plugins import registry
from assay.plugins.registry import find_method
from assay.publication.pack import pack_method
from assay.publication.verify import verify
from assay.records.bundle import file_name, pack, parse_bundle, read_bundle
from assay.records.schema import Isolation, MethodRef, TaskRef
from assay.untrusted import text
from assay.untrusted.zip_archive import read_archive, write_archive

TASK = "digits_step"
Members = dict[str, bytes]


@pytest.fixture
def good(bundles: dict[str, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return Path(shutil.copy(bundles[TASK], folder))


def remade(path: Path, change: Callable[[Members], None], *, rehash: bool = True) -> Path:
    """The bundle with changed members; with `rehash`, as if its maker had made it so."""
    members = read_archive(path.read_bytes())
    change(members)
    if rehash and isinstance(manifest := json.loads(members["manifest.json"]), dict):
        manifest["members"] = {
            name: sha256(data) for name, data in members.items() if name != "manifest.json"
        }
        members["manifest.json"] = json.dumps(manifest).encode()
    data = write_archive(members)
    new = path.with_name(path.name[:-20] + sha256(data)[:16] + ".zip")
    new.write_bytes(data)
    return new


def test_a_bundle_holds_what_the_store_holds(submission: Any, tmp_path: Path) -> None:
    submission.record(TASK)
    good = submission.bundle(tmp_path / "out")
    bundle = read_bundle(good)
    by_id = {run.id: run for run in submission.store.runs()}
    for run in bundle.runs:
        stored = by_id.pop(run.id)
        assert run == stored.model_copy(update={"reproduce": run.reproduce})
    assert by_id == {}
    assert bundle.studies == list(submission.store.studies())
    assert bundle.source == {p.name: p.read_bytes() for p in submission.folder.iterdir()}
    assert good.name == file_name(bundle.manifest.task, bundle.manifest.method, bundle.sha256)
    assert bundle.sha256 == sha256(good.read_bytes())
    assert bundle.path == good
    assert good.stat().st_size < 50_000


def test_the_same_records_make_the_same_file(submission: Any, good: Path) -> None:
    bundle = read_bundle(good)
    name, data = pack(bundle.runs[::-1], bundle.studies, bundle.source)
    assert (name, data) == (good.name, good.read_bytes())
    submission.record(TASK)
    out = good.parent.parent / "twice"
    assert submission.bundle(out) == submission.bundle(out)
    assert len(list(out.iterdir())) == 1


def test_the_environment_is_stated_once(good: Path) -> None:
    members = read_archive(good.read_bytes())
    assert len(json.loads(members["environment.json"])["environments"]) == 1
    assert json.loads(members["runs.jsonl"].splitlines()[0])["environment"] == 0


def test_parts_of_runs_are_held_once_where_they_are_equal(good: Path) -> None:
    def weaken(members: Members) -> None:
        lines = [json.loads(line) for line in members["runs.jsonl"].splitlines()]
        lines[1]["isolation"] = {"level": "L0"}
        members["runs.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    first, second, *others = read_bundle(good).runs
    assert all(run.spec.task is first.spec.task for run in (second, *others))
    again = read_bundle(remade(good, weaken)).runs
    assert again[1].isolation == Isolation(level="L0")
    assert [again[0], *again[2:]] == [first, *others]


def test_full_and_quick_studies_go_together(submission: Any, tmp_path: Path) -> None:
    submission.record(TASK, "quick")
    submission.record(TASK, "full")
    bundle = read_bundle(submission.bundle(tmp_path))
    assert {study.preset for study in bundle.studies} == {"quick", "full"}


def test_what_is_incomplete_or_stale_is_left_out_and_said(submission: Any, tmp_path: Path) -> None:
    submission.record(TASK)
    study = submission.record("digits_cnn")
    other = submission.record("beale")
    submission.store.run_path("digits_cnn", "my_opt", study.selected_runs[3]).unlink()
    broken = submission.store.run_path("beale", "my_opt", other.selected_runs[0])
    broken.write_text("{")
    submission.record("digits_mlp", "full")
    done = pack_method(submission.method, submission.store, tmp_path / "out")
    assert len(done.written) == 2
    said = "\n".join(done.left_out)
    assert "digits_cnn" in said and "1 of 12 runs have no record yet" in said
    assert "assay run my_opt --task digits_cnn --quick" in said
    assert "beale" in said and "not valid JSON" in said
    source = submission.folder / "method.py"
    source.write_text(source.read_text() + "x = 1\n")
    with pytest.raises(AssayError, match="nothing to pack(.|\n)*the method has changed since"):
        pack_method(submission.method, submission.store, tmp_path / "out")


def test_a_changed_task_is_left_out(
    submission: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission.record(TASK)
    changed = TaskRef(slug=TASK, version=1, code_hash="0" * 64)
    monkeypatch.setattr("assay.publication.pack.task_ref", lambda entry: changed)
    with pytest.raises(AssayError, match="the task has changed since"):
        submission.bundle(tmp_path)


def test_no_records_and_single_files(submission: Any, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="assay run my_opt"):
        submission.bundle(tmp_path)
    single = tmp_path / "mine.py"
    single.write_text("")
    with pytest.raises(PluginError, match="assay new method mine"):
        pack_method(find_method(str(single)), submission.store, tmp_path)


def test_the_command_in_a_bundle_names_the_slug(submission: Any, tmp_path: Path) -> None:
    """In the store it names the folder from where it was run, which nobody else has."""
    study = submission.record(TASK)
    stored = submission.store.run(TASK, "my_opt", study.selected_runs[0])
    assert "/my_opt --task" in stored.reproduce
    for run in read_bundle(submission.bundle(tmp_path / "out")).runs:
        assert run.reproduce.startswith(f"assay run my_opt --task {TASK} ")


def test_helpers_and_data_files_are_packed(submission: Any, tmp_path: Path) -> None:
    card = (submission.folder / "card.toml").read_text()
    (submission.folder / "card.toml").write_text(card + 'data = ["table.csv"]\n')
    (submission.folder / "table.csv").write_bytes(b"1,2\n\xff\n")
    (submission.folder / "helper.py").write_text("x = 1\n")
    (submission.folder / "notes.txt").write_text("mine")
    submission.record(TASK)
    bundle = read_bundle(submission.bundle(tmp_path / "out"))
    assert sorted(bundle.source) == ["card.toml", "helper.py", "method.py", "table.csv"]
    assert not [found for found in verify(bundle) if found.severity == "error"]


def test_paths_in_a_message_are_cut_down(submission: Any, tmp_path: Path) -> None:
    """A failed trial's message is the method's free text, and not part of the run's id."""
    study = submission.record(TASK)
    path = submission.store.run_path(TASK, "my_opt", study.trials[0].run_id)
    record = json.loads(path.read_text())
    record["message"] = "cannot open '/home/ada/secret/x.pt'\n\x1b[31m"
    path.write_text(json.dumps(record))
    bundle = read_bundle(submission.bundle(tmp_path / "out"))
    (said,) = [run.message for run in bundle.runs if run.message]
    assert said == "cannot open '.../x.pt'  [31m"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("environment.platform", "Linux on adas-laptop"),
        ("environment.cpu", "/home/ada/cpu"),
        ("message", "of user lovelace"),
    ],
)
def test_what_tells_on_its_user_is_refused_by_field(
    submission: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, value: str
) -> None:
    monkeypatch.setattr(text, "own_names", lambda: ["adas-laptop", "lovelace"])
    study = submission.record(TASK)
    path = submission.store.run_path(TASK, "my_opt", study.selected_runs[0])
    record = json.loads(path.read_text())
    *outer, key = where.split(".")
    (record[outer[0]] if outer else record)[key] = value
    path.write_text(json.dumps(record))
    with pytest.raises(BundleError, match=rf"run {study.selected_runs[0]}: {where} holds the"):
        submission.bundle(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_home_folder_in_the_source_is_refused(
    submission: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    (submission.folder / "method.py").write_text("x = 1\npath = '/home/ada/data'\n")
    submission.record(TASK)
    with pytest.raises(BundleError, match=r"method\.py, line 2: names your home folder"):
        submission.bundle(tmp_path / "out")


def changed_line(name: str, change: Callable[[Any], Any], line: int = 0) -> Callable[..., None]:
    def apply(members: Members) -> None:
        lines = members[name].split(b"\n")
        value = change(json.loads(lines[line]))
        lines[line] = value if isinstance(value, bytes) else json.dumps(value).encode()
        members[name] = b"\n".join(lines)

    return apply


def put(**items: Any) -> Callable[[Any], Any]:
    return lambda value: {**value, **items}


def manifest(**items: Any) -> Callable[[Members], None]:
    return changed_line("manifest.json", put(**items))


def drop(name: str) -> Callable[[Members], None]:
    return lambda members: members.pop(name)  # type: ignore[return-value]


def add(name: str, data: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({name: data})


def raw(name: str, data: bytes) -> Callable[[Members], None]:
    return lambda members: members.update({name: data})


def deep(key: str) -> bytes:
    return b'{"' + key.encode() + b'":' + b"[" * 100_000 + b"}"


BAD: dict[str, tuple[Callable[[Members], None], str]] = {
    "no manifest": (drop("manifest.json"), "KeyError|manifest.json is missing"),
    "no runs": (drop("runs.jsonl"), "runs.jsonl is missing"),
    "no environment": (drop("environment.json"), "environment.json is missing"),
    "another member": (add("setup.py", b""), "setup.py: no such file belongs in a bundle"),
    "a nested bundle": (add("inner.zip", write_archive({"a": b""})), "no such file belongs"),
    "another schema": (manifest(schema_version=2), "schema 1, got '2'.*newer Assay"),
    "schema true": (manifest(schema_version=True), "schema 1, got 'True'"),
    "another kind": (manifest(kind="run"), "manifest.json: kind"),
    "an unknown key": (manifest(note="x"), "manifest.json: note: Extra inputs"),
    "a list": (raw("manifest.json", b"[]"), "schema 1"),
    "zero runs": (manifest(n_runs=0), "n_runs"),
    "a billion runs": (manifest(n_runs=10**9), "n_runs"),
    "endless digits": (changed_line("manifest.json", lambda v: b'{"n_runs":' + b"9" * 9000 + b"}"),
                       "9000 digits"),
    "wrong count": (manifest(n_runs=3), "12 lines, but manifest.json says 3"),
    "not UTF-8": (changed_line("runs.jsonl", lambda v: b"\xff"), "line 1: it is not UTF-8"),
    "not JSON": (changed_line("runs.jsonl", lambda v: b"{"), "line 1: it is not JSON"),
    "a list of a run": (changed_line("runs.jsonl", lambda v: [v]), "expected a JSON object"),
    "NaN": (changed_line("runs.jsonl", put(created_at=float("nan"))), "NaN is not a number"),
    "infinity": (changed_line("runs.jsonl", put(x=float("-inf"))), "-Infinity is not a number"),
    "overflow": (changed_line("runs.jsonl", lambda v: b'{"a":1e999}'), "1e999 is not a finite"),
    "twice": (changed_line("runs.jsonl", lambda v: b'{"a":1,"a":2}'), "'a' stands twice"),
    "half a character": (changed_line("runs.jsonl", lambda v: b'{"a":"\\ud800"}'), "surrogate"),
    "deep": (changed_line("runs.jsonl", lambda v: deep("a")), "nested too deeply|not JSON"),
    "a run's schema": (changed_line("runs.jsonl", put(schema_version=9)), "newer Assay"),
    "a wrong id": (changed_line("runs.jsonl", put(id="0" * 16)), "is not its spec's id"),
    "a study's id": (changed_line("studies.jsonl", put(id="0" * 16)), "not its content's id"),
    "a study without trials": (
        changed_line("studies.jsonl", put(trials=[], selected=0)), "id .* is not its content's"),
    "an environment": (changed_line("runs.jsonl", put(environment=1)), "index below 1"),
    "environment -1": (changed_line("runs.jsonl", put(environment=-1)), "index below 1"),
    "environment true": (changed_line("runs.jsonl", put(environment=True)), "index below 1"),
    "environment whole": (changed_line("runs.jsonl", put(environment={})), "index below 1"),
    "no result": (changed_line("runs.jsonl", put(result=None)), "do not fit together"),
    "much source": (add("source/a.py", b"#" * 1_000_001), "source/ holds more than"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_content_gets_one_clear_error(good: Path, name: str) -> None:
    change, expected = BAD[name]
    path = remade(good, change, rehash=name not in ("no manifest", "endless digits"))
    with pytest.raises(BundleError, match=expected) as caught:
        read_bundle(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_a_changed_member_does_not_have_its_hash(good: Path) -> None:
    path = remade(good, add("source/method.py", b"x = 2\n"), rehash=False)
    with pytest.raises(BundleError, match=r"source/method\.py is not the file whose hash"):
        read_bundle(path)
    path = remade(good, add("source/more.py", b""), rehash=False)
    with pytest.raises(BundleError, match=r"source/more\.py is not listed"):
        read_bundle(path)


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


def test_records_of_two_cells_make_no_bundle(good: Path) -> None:
    bundle = read_bundle(good)
    other = MethodRef(slug="other", version=1, code_hash="0" * 64)
    spec = bundle.runs[0].spec.model_copy(update={"method": other})
    foreign = bundle.runs[0].model_copy(update={"spec": spec})
    with pytest.raises(BundleError, match="other cells"):
        pack([*bundle.runs, foreign], bundle.studies, bundle.source)
    with pytest.raises(BundleError, match="no study"):
        pack(bundle.runs, [], bundle.source)


def test_every_method_of_this_checkout_could_be_packed() -> None:
    for entry in registry.method_entries().values():
        for path in entry.files.values():
            assert text.unsafe(path.read_text(), lines=True) is None, path
