"""The results log: what may be appended, and every silent change to it that is noticed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from assay.cards import Metric
from assay.errors import BundleError, LogError, StorageError
from assay.identity import canonical_json, sha256
from assay.publication import publish
from assay.records import log
from assay.records.bundle import pack, read_bundle
from assay.records.log import NOTHING, append, check, read, standings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.assay.records.test_former import old_bundle

METRIC = Metric(name="accuracy", direction="maximize", chance=0.1, margin=0.01)
Lines = list[bytes]
DONE = log.ReplayedRun(run="0" * 16, recorded=0.5, replayed=0.5, verdict="identical")


@pytest.fixture
def folder(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """Two bundles and a third that takes the place of the first: four entries."""
    place = tmp_path / "published"
    first, second = bundles["digits_step"], bundles["beale"]
    publish.add(place, "publish", first)
    publish.add(place, "publish", second)
    append(place, "replay", second, replays=[DONE])
    publish.add(place, "supersede", again(first, tmp_path), replaces=first, note="run again")
    return place


def again(path: Path, out: Path) -> Path:
    """A bundle of the same cell with other scores."""
    bundle = read_bundle(path)
    runs = [
        run.model_copy(update={"created_at": "2026-02-02T00:00:00+00:00"}) for run in bundle.runs
    ]
    name, data = pack(runs, bundle.source, METRIC)
    (out / name).write_bytes(data)
    return out / name


def test_the_log_says_what_happened(folder: Path, bundles: dict[str, Path]) -> None:
    entries = read(folder)
    assert [entry.kind for entry in entries] == ["publish", "publish", "replay", "supersede"]
    assert [entry.n for entry in entries] == [1, 2, 3, 4]
    assert entries[0].previous == NOTHING
    assert all(b.previous == a.hash for a, b in pairwise(entries))
    found = standings(entries)
    by_file = {standing.file: standing for standing in found.values()}
    old = by_file[bundles["digits_step"].name]
    assert (old.state, old.reason, old.tier) == ("superseded", "run again", "T1")
    assert by_file[bundles["beale"].name].tier == "T2"
    assert [s.state for s in found.values()].count("current") == 2
    assert check(folder) == []
    assert check(folder, head=entries[1].hash) == []
    assert check(folder, head=NOTHING) == []


def test_an_empty_folder_is_sound(tmp_path: Path) -> None:
    assert (read(tmp_path), check(tmp_path), check(tmp_path, NOTHING)) == ([], [], [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    note=st.text(alphabet='abc "\\\\/:,{}é\u4e00\U0001f600', max_size=12),
    replays=st.booleans(),
)
def test_a_line_is_read_whatever_its_note_spells(tmp_path: Path, note: str, replays: bool) -> None:
    digest = sha256("a bundle")
    entry = {"at": "2026-01-02T00:00:00+00:00", "file": f"a--b-v1--{digest[:16]}.zip"}
    entry |= {"kind": "publish", "sha256": digest, "note": note, "tier": "T1", "replaces": None}
    if replays:
        entry |= {"kind": "refuse", "note": f"{note}.", "tier": None, "owner": note or "a"}
        entry |= {"replays": [DONE.model_dump(mode="json")]}
    lines = [canonical_json({**entry, "hash": ""}).encode()]
    rehash(lines)
    (tmp_path / "log.jsonl").write_bytes(lines[0] + b"\n")
    assert [(found.note, len(found.replays)) for found in read(tmp_path)] == [
        (entry["note"], int(replays))
    ]


def rehash(lines: Lines, begin: int = 0) -> None:
    """What a forger with patience does: every hash right again."""
    previous = json.loads(lines[begin - 1])["hash"] if begin else NOTHING
    for number in range(begin, len(lines)):
        entry = {**json.loads(lines[number]), "n": number + 1, "previous": previous}
        del entry["hash"]
        previous = entry["hash"] = sha256(canonical_json(entry))
        lines[number] = canonical_json(entry).encode()


def edit(lines: Lines, number: int, **changes: Any) -> None:
    lines[number] = canonical_json({**json.loads(lines[number]), **changes}).encode()


SILENT: dict[str, Callable[[Lines], object]] = {
    "an edited reason": lambda lines: edit(lines, 3, note="other words"),
    "an edited date": lambda lines: edit(lines, 0, at="2020-01-01T00:00:00+00:00"),
    "a better tier": lambda lines: edit(lines, 0, tier="T3"),
    "the first line removed": lambda lines: lines.pop(0),
    "a line removed": lambda lines: lines.pop(2),
    "two lines swapped": lambda lines: lines.insert(0, lines.pop(1)),
    "a line twice": lambda lines: lines.insert(1, lines[1]),
    "a space": lambda lines: lines.__setitem__(0, lines[0].replace(b":", b": ", 1)),
    "an empty line": lambda lines: lines.insert(1, b""),
    "no JSON": lambda lines: lines.__setitem__(1, b"x"),
    "an unknown key": lambda lines: edit(lines, 1, extra=1),
    "a key twice": lambda lines: lines.__setitem__(0, b'{"n":1,' + lines[0][1:]),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_silent_change_breaks_the_chain(folder: Path, name: str) -> None:
    path = folder / log.LOG
    lines = path.read_bytes().splitlines()
    SILENT[name](lines)
    path.write_bytes(b"\n".join([*lines, b""]))
    assert any("line " in problem for problem in check(folder))
    with pytest.raises(LogError, match="line "):
        read(folder)
    with pytest.raises(LogError, match="line "):
        append(folder, "retract", Path(read_names(folder)[0]), note="x")


def read_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.zip"))


REWRITTEN: dict[str, Callable[[Lines], object]] = {
    "the tail removed": lambda lines: lines.pop(),
    "an edited reason": lambda lines: (edit(lines, 3, note="other words"), rehash(lines)),
    "a line removed": lambda lines: (lines.pop(2), rehash(lines)),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_rewritten_chain_is_noticed_by_who_remembers_its_head(folder: Path, name: str) -> None:
    head = read(folder)[-1].hash
    path = folder / log.LOG
    lines = path.read_bytes().splitlines()
    REWRITTEN[name](lines)
    path.write_bytes(b"\n".join([*lines, b""]))
    read(folder)
    assert any("was cut or written anew" in problem for problem in check(folder, head))


def test_a_cut_last_line(folder: Path) -> None:
    path = folder / log.LOG
    path.write_bytes(path.read_bytes()[:-5])
    assert check(folder)[0] == "its last line is cut off"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_line_is_written_whole_or_not_at_all(
    folder: Path, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def half(handle: int, line: bytes) -> int:
        write(handle, line[:10])
        raise error

    before, write = (folder / log.LOG).read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises((StorageError, KeyboardInterrupt)):
            append(folder, "retract", bundles["beale"], note="a test")
    assert (folder / log.LOG).read_bytes() == before
    append(folder, "retract", bundles["beale"], note="a test")


def test_a_file_system_that_cannot_sync_is_no_error(
    tmp_path: Path, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    publish.add(tmp_path / "published", "publish", bundles["beale"])
    assert check(tmp_path / "published") == []


def test_a_bundle_stays_where_ctrl_c_comes_after_its_line(
    tmp_path: Path, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any, **details: Any) -> None:
        append(*given, **details)
        raise KeyboardInterrupt

    place = tmp_path / "published"
    with monkeypatch.context() as patch:
        patch.setattr(log, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish.add(place, "publish", bundles["beale"])
    assert check(place) == []
    assert (place / bundles["beale"].name).exists()


def test_files_are_those_of_the_log(folder: Path, bundles: dict[str, Path]) -> None:
    name = bundles["beale"].name
    (folder / name).write_bytes(b"other")
    assert check(folder) == [f"{name}: is not the file that the log names: it was replaced"]
    (folder / name).unlink()
    assert "cannot be read" in check(folder)[0]
    shutil.copy(bundles["beale"], folder)
    stray = folder / "beale--other-v1--0123456789abcdef.zip"
    stray.write_bytes(b"")
    assert check(folder) == [f"{stray.name}: no entry of the log names it"]


def test_entries_must_fit(folder: Path, bundles: dict[str, Path], tmp_path: Path) -> None:
    step, beale = bundles["digits_step"], bundles["beale"]
    third = tmp_path / "third"
    third.mkdir()
    newest = again(beale, third)
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: append(folder, "publish", beale), "in the log already"),
        (lambda: append(folder, "replay", step), "is superseded"),
        (lambda: append(folder, "retract", beale), "a reason is missing"),
        (lambda: append(folder, "retract", beale, note="  "), "a reason is missing"),
        (lambda: append(folder, "retract", beale, note="<script>"), "markup"),
        (lambda: append(folder, "retract", beale, note="a\nb"), "control"),
        (lambda: append(folder, "retract", beale, note="a" * 1001), "1000"),
        (lambda: append(folder, "replay", beale, replaces=NOTHING), "without `replaces`"),
        (lambda: publish.add(folder, "publish", newest), "supersede or correct it"),
        (lambda: publish.add(folder, "correct", newest, note="x"), "with `replaces`"),
        (lambda: publish.add(folder, "correct", newest, replaces=step, note="x"),
         "not a current bundle"),
        (lambda: publish.add(folder, "correct", newest, replaces=beale), "a reason is missing"),
    ]  # fmt: skip
    before = (folder / log.LOG).read_bytes()
    for call, expected in cases:
        with pytest.raises(LogError, match=expected):
            call()
    assert (folder / log.LOG).read_bytes() == before
    assert not (folder / newest.name).exists()
    publish.add(folder, "correct", newest, replaces=beale, note="a wrong clock")
    found = {standing.file: standing.state for standing in standings(read(folder)).values()}
    assert (found[beale.name], found[newest.name]) == ("corrected", "current")


def test_what_replaces_a_bundle_is_of_its_task(tmp_path: Path, bundles: dict[str, Path]) -> None:
    place = tmp_path / "published"
    publish.add(place, "publish", bundles["beale"])
    with pytest.raises(LogError, match="of another task"):
        publish.add(place, "supersede", bundles["digits_step"], replaces=bundles["beale"], note="x")


def test_no_cell_has_two_current_bundles(tmp_path: Path, bundles: dict[str, Path]) -> None:
    place, first = tmp_path / "published", bundles["beale"]
    publish.add(place, "publish", first)
    bundle = read_bundle(first)
    ref = bundle.manifest.method.model_copy(update={"slug": "renamed"})
    specs = [run.spec.model_copy(update={"method": ref}) for run in bundle.runs]
    runs = [
        run.model_copy(update={"spec": spec, "id": spec.id})
        for run, spec in zip(bundle.runs, specs, strict=True)
    ]
    name, data = pack(runs, bundle.source, METRIC)
    place.joinpath(name).write_bytes(data)
    append(place, "publish", place / name)
    third = again(first, tmp_path)
    shutil.copy(third, place)
    hashes = {file: sha256((place / file).read_bytes()) for file in (name, first.name)}
    with pytest.raises(LogError, match=f"{first.name} is current"):
        append(place, "supersede", third, replaces=hashes[name], note="a test")
    append(place, "supersede", third, replaces=hashes[first.name], note="a test")


def test_only_valid_bundles_are_published(tmp_path: Path, bundles: dict[str, Path]) -> None:
    bundle = read_bundle(bundles["beale"])
    runs = [run.model_copy(update={"message": "\x1b[2J"}) for run in bundle.runs]
    name, data = pack(runs, bundle.source, METRIC)
    for folder in (tmp_path / "elsewhere", tmp_path / "published"):
        folder.mkdir()
        (folder / name).write_bytes(data)
        with pytest.raises(BundleError, match="holds the control character U\\+001B"):
            publish.add(tmp_path / "published", "publish", folder / name)
    assert read(tmp_path / "published") == []


def test_a_bundle_of_ruleset_1_is_only_superseded_or_retracted(
    tmp_path: Path, bundles: dict[str, Path]
) -> None:
    """Its log goes on: a result of this ruleset takes its place."""
    place = tmp_path / "published"
    place.mkdir()
    old = old_bundle("beale", "my_opt", place)
    append(place, "publish", old)
    for kind in ("replay", "reveal"):
        with pytest.raises(BundleError, match="it can only be retracted, superseded or archived"):
            publish.add(place, kind, old)
    publish.add(place, "supersede", bundles["beale"], replaces=old, note="ruleset 2")
    assert check(place) == []
    other = old_bundle("digits_step", "my_opt", place)
    append(place, "publish", other)
    publish.add(place, "retract", other, note="a wrong clock")
    with pytest.raises(BundleError, match="it can only be retracted"):
        publish.add(place, "publish", old_bundle("ackley_10d", "my_opt", tmp_path))


def test_what_counts_no_more_can_leave_the_folder(tmp_path: Path, bundles: dict[str, Path]) -> None:
    place = tmp_path / "published"
    publish.add(place, "publish", bundles["beale"])
    kept = place / bundles["beale"].name
    with pytest.raises(LogError, match="is current; retract or supersede it first"):
        publish.add(place, "archive", kept, note="ruleset 1")
    old = old_bundle("digits_step", "my_opt", place)
    append(place, "publish", old)
    publish.add(place, "retract", old, note="ruleset 1")
    with pytest.raises(LogError, match="a reason is missing"):
        publish.add(place, "archive", old)
    data = old.read_bytes()
    publish.add(place, "archive", old, note="ruleset 1")
    assert (old.exists(), kept.exists(), check(place)) == (False, True, [])
    old.write_bytes(data)
    assert check(place) == [f"{old.name}: was archived; remove it"]
    with pytest.raises(LogError, match="is archived"):
        publish.add(place, "retract", old, note="again")
