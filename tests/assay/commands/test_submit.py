"""`assay replay`, `submit`, `queue` and `epoch`: what they say, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from assay import paths
from assay.epochs import new_epoch
from assay.errors import StorageError
from assay.publication import publish
from assay.publication import replay as replaying
from assay.publication.replay import Replay
from assay.records import log
from assay.records.store import Store

Assay = Callable[..., Any]
RUN_ID = "0123456789abcdef"


def told(verdict: str, level: str | None = "L2") -> Replay:
    return Replay(
        run_id=RUN_ID, task="toy", method="mine", repetition=0, point=0,
        verdict=verdict, detail="why", recorded_test=0.5, replayed_test=0.5, level=level,  # type: ignore[arg-type]
        tolerance=None, took_seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def comes_out(monkeypatch: pytest.MonkeyPatch) -> Callable[[Replay], None]:
    """Let the next replay come out so, without training anything."""

    def use(found: Replay) -> None:
        def replay(*_: Any, **__: Any) -> Iterator[Replay]:
            yield found

        monkeypatch.setattr(replaying, "replay", replay)
        monkeypatch.setattr(Store, "find_run", lambda self, run_id: "a record")

    return use


@pytest.mark.parametrize(
    ("verdict", "code", "says"),
    [
        ("identical", 0, "tier T2: 1 runs replayed, 1 of them bit for bit"),
        ("within tolerance", 0, "tier T2: 1 runs replayed, 0 of them bit for bit"),
        ("differs", 1, "no tier: 1 of 1 runs differ"),
        ("cannot", 4, "no tier: 0 of 1 runs could be replayed"),
    ],
)
def test_a_replay_says_its_verdict_and_ends_by_it(
    assay: Assay, comes_out: Any, verdict: str, code: int, says: str
) -> None:
    comes_out(told(verdict))
    said = assay("replay", RUN_ID)
    assert said.code == code
    assert says in said.out
    assert said.out.startswith(f"{verdict:16} {RUN_ID} mine on toy, repetition 0")
    said = assay("replay", RUN_ID, "--json")
    found = json.loads(said.out)
    assert (said.code, found["runs"][0]["verdict"]) == (code, verdict)
    assert found["tier"] == ("T2" if code == 0 else None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay", "ffff"], "no run is called 'ffff'"),
        (["replay", "nowhere.zip"], "nowhere.zip: cannot be read"),
        (["replay", "a.zip", "ffff"], "bundles alone or ids of runs alone, got a.zip and ffff"),
        (["replay", "a.zip", "--method", "m.py"], "--method was given with a.zip; expected no"),
        (["submit", "nobody"], "no method is called 'nobody'"),
        (["queue", "--checkout", "/"], "is not a git checkout"),
        (["epoch", "reveal", "spring", "--secret", "s"], "no epoch is called 'spring'"),
        (["run", "sgd", "-t", "beale", "--epoch", "spring"], "no epoch is called 'spring'"),
        (["run", "sgd", "-t", "beale", "--secret", "s"], "--secret was given without --epoch"),
    ],
)
def test_bad_input_is_one_message(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setenv("ASSAY_EPOCHS", str(tmp_path / "epochs"))
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "published")  # a search would read them all
    said = assay(*arguments)
    assert said.code == 2
    assert says in said.err
    assert said.out == ""


def test_a_bundle_that_cannot_be_replayed_keeps_no_other_from_it(assay: Assay) -> None:
    said = assay("replay", "one.zip", "two.zip")
    assert (said.code, said.out) == (2, "")
    assert "one.zip: cannot be read" in said.err and "two.zip: cannot be read" in said.err


def test_an_epoch_from_beginning_to_end(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_EPOCHS", str(tmp_path / "epochs"))
    assert assay("epoch", "list").out == "no epoch has begun\n"
    said = assay("epoch", "new", "spring", "--secret", "my master")
    assert (said.code, "commitment" in said.out) == (0, True)
    assert said.out.endswith(" --epoch spring --secret 'my master'\n")
    assert (tmp_path / "my master").read_text().strip() not in said.out
    (row,) = json.loads(assay("epoch", "list", "--json").out)
    assert (row["name"], row["revealed"]) == ("spring", None)
    said = assay("run", "sgd", "-t", "beale", "--epoch", "spring")
    assert (said.code, "is not revealed yet" in said.err) == (2, True)
    assert assay("epoch", "reveal", "spring", "--secret", "my master").code == 0
    assert "revealed" in assay("epoch", "list").out


def test_an_epoch_recovers_from_a_broken_log(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written while the log is broken; what has no entry yet gets one."""
    folder = tmp_path / "published" / "epochs"
    monkeypatch.setenv("ASSAY_EPOCHS", str(folder))
    folder.mkdir(parents=True)
    log_file = folder.parent / log.LOG
    for command, kind in (("new", "commit-seeds"), ("reveal", "reveal-seeds")):
        entries, files = log.read(folder.parent), sorted(folder.iterdir())
        sound = log_file.read_bytes() if entries else b""
        log_file.write_bytes(sound + b"{}\n")
        said = assay("epoch", command, "spring", "--secret", "master")
        assert (said.code, f"line {len(entries) + 1}" in said.err) == (2, True)
        assert sorted(folder.iterdir()) == files
        log_file.write_bytes(sound)

        def interrupted(*_: object, **__: object) -> None:
            raise StorageError("the log cannot be written")

        with monkeypatch.context() as patch:
            patch.setattr(publish.log, "append", interrupted)
            assert assay("epoch", command, "spring", "--secret", "master").code == 3
        assert len(list(folder.iterdir())) == len(files) + 1
        said = assay("epoch", command, "spring", "--secret", "master")
        assert (said.code, said.err) == (0, "")
        assert log.read(folder.parent)[-1].kind == kind
        assert log.check(folder.parent) == []
        assert "already" in assay("epoch", command, "spring", "--secret", "master").err


def test_an_epoch_in_a_folder_that_the_log_would_not_find_is_not_begun(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_EPOCHS", str(tmp_path / "seasons"))
    said = assay("epoch", "new", "spring", "--secret", "master")
    assert (said.code, "expected a folder called epochs" in said.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_commitment_without_an_entry_is_not_revealed(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "epochs"
    monkeypatch.setenv("ASSAY_EPOCHS", str(folder))
    new_epoch("spring", tmp_path / "master", folder)
    said = assay("epoch", "reveal", "spring", "--secret", "master")
    assert (said.code, "log it with: assay epoch new spring" in said.err) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["spring.json"]
