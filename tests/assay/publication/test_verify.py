"""Tier T1: a sound bundle passes; other source, cards and files are found by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from assay.epochs import new_epoch
from assay.identity import sha256, source_hash
from assay.publication.verify import check_file, errors, readable, verify
from assay.records.bundle import Bundle, file_name, read_bundle
from assay.ruleset import SCORER_VERSION

from tests.assay.publication.conftest import codes, remade, repetition, respecified, run_with
from tests.assay.records.test_former import old_bundle


@pytest.mark.parametrize("task", ["digits_step", "beale"])
def test_a_sound_bundle_is_valid_and_no_plugin_is_imported(
    bundles: dict[str, Path], task: str
) -> None:
    bundle = read_bundle(bundles[task])
    assert b"a plugin was imported" in bundle.source["method.py"]
    assert verify(bundle) == []
    assert verify(bundle, [read_bundle(path) for path in bundles.values()]) == []


def test_runs_of_an_earlier_scorer_are_stale(good: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("verify", "origin_checks"):
        monkeypatch.setattr(f"assay.publication.{name}.SCORER_VERSION", SCORER_VERSION + 1)
    assert (codes(verify(good)), codes(verify(good), "flag")) == (set(), {"stale"})


def test_an_epoch_has_a_commitment_here_and_a_bundle_of_its_own(
    good: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_EPOCHS", str(tmp_path / "epochs"))
    hidden = [respecified(run, epoch="spring") for run in good.runs]
    assert codes(verify(remade(good, hidden))) == {"epoch"}
    new_epoch("spring", tmp_path / "secret", tmp_path / "epochs")
    assert codes(verify(remade(good, hidden))) == set()
    assert codes(verify(remade(good, [*good.runs, *hidden]))) == {"epoch"}


def test_the_source_is_the_one_of_the_records(good: Bundle) -> None:
    changed = {**good.source, "method.py": b"x = 1\n"}
    assert codes(verify(remade(good, good.runs, changed))) == {"source"}
    commented = {**good.source, "method.py": b"# why\n" + good.source["method.py"]}
    assert verify(remade(good, good.runs, commented)) == []
    without = {"card.toml": good.source["card.toml"]}
    assert codes(verify(remade(good, good.runs, without))) == {"source"}


def with_source(bundle: Bundle, source: dict[str, bytes]) -> Bundle:
    """The bundle as if it had been recorded with this source."""
    ref = bundle.manifest.method.model_copy(update={"code_hash": source_hash(source.items())})
    runs = [respecified(run, method=ref.model_dump()) for run in bundle.runs]
    return remade(bundle, runs, source)


CARD_START = 'slug = "my_opt"\ntitle = "Mine"\n'


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("", "card"),
        ("slug = ", "card"),
        ('slug = "your_opt"\ntitle = "x"', "card"),
        (CARD_START + "version = 2", "card"),
        (CARD_START + 'colour = "red"', "card"),
        (CARD_START + 'families = ["quantization"]', "entry"),
        ('slug = "my_opt"\ntitle = "a\\u202eb"', "text"),
        ('slug = "my_opt"\ntitle = "<script>x</script>"', "text"),
        (CARD_START + 'summary = "see javascript:alert(1)"', "text"),
        (CARD_START + 'authors = ["A\\u200bB"]', "text"),
    ],
)
def test_cards_that_do_not_fit_or_act(good: Bundle, card: str, code: str) -> None:
    bundle = with_source(good, {**good.source, "card.toml": card.encode()})
    assert codes(verify(bundle)) == {code}


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("method.py", "x = '\u202e'".encode(), "text"),
        ("method.py", b"\xff", "source"),
        ("method.py", b"# coding: rot13\nk = 1\n", "source"),
        ("method.py", b"#!x\n# -*- coding: utf-7 -*-\n# +AAo-k = 1\n", "source"),
        ("method.py", b"# -*- coding: utf-8 -*-\nk = 1\n", None),
        ("data.bin", b"abc", "source"),
        ("equations.py", b"x = 1", "source"),
    ],
)
def test_source_is_plain_text(good: Bundle, name: str, data: bytes, code: str | None) -> None:
    bundle = with_source(good, {**good.source, name: data})
    assert codes(verify(bundle)) == ({code} if code else set())


@pytest.mark.parametrize(
    ("listed", "files", "says"),
    [
        (["t.csv"], {"t.csv": b"\xff\x00"}, None),
        (["t.csv"], {}, "source/t.csv is missing, which the card lists"),
        (["t.csv"], {"t.csv": bytes(65_537)}, "65,537 bytes, expected at most 65,536"),
        ([], {"t.csv": b"1"}, "only Python files, card.toml and the data files that it lists"),
        (list("abcde"), dict.fromkeys("abcde", bytes(60_000)), "together; these have 300,000"),
    ],
)
def test_data_files_are_those_of_the_card(
    good: Bundle, listed: list[str], files: dict[str, bytes], says: str | None
) -> None:
    card = f"{CARD_START}data = {listed}\n".encode()
    found = verify(with_source(good, {**good.source, "card.toml": card, **files}))
    said = [problem.message for problem in found if problem.severity == "error"]
    assert len(said) == (0 if says is None else 1)
    assert all(says and says in message for message in said)


def test_a_card_that_a_spreadsheet_would_compute_is_a_flag(good: Bundle) -> None:
    card = CARD_START + "summary = '=HYPERLINK(\"x\")'"
    found = verify(with_source(good, {**good.source, "card.toml": card.encode()}))
    assert (codes(found), codes(found, "flag")) == (set(), {"formula"})
    assert errors(with_source(good, {**good.source, "card.toml": card.encode()})) == []


def test_errors_alone_are_those_of_verify(good: Bundle) -> None:
    broken = remade(good, good.runs, {**good.source, "method.py": b"x = 1\n"})
    assert errors(broken) == [found.message for found in verify(broken)] != []


def test_a_bundle_of_another_time_is_stale(good: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = good.manifest.task.model_copy(update={"code_hash": "0" * 64})
    monkeypatch.setattr("assay.publication.verify.task_ref", lambda entry: changed)
    assert (codes(verify(good)), codes(verify(good), "flag")) == (set(), {"stale"})
    monkeypatch.setattr("assay.publication.verify.task_entries", dict)
    assert codes(verify(good)) == {"task"}


def test_one_stale_run_does_not_hide_the_others_from_the_checks(good: Bundle) -> None:
    """They would count, with numbers that nobody has checked."""
    first, *others = good.runs
    spec = first.spec.model_copy(update={"ruleset": 1})
    found = verify(remade(good, [first.model_copy(update={"spec": spec, "id": spec.id}), *others]))
    assert codes(found) == {"stale"}
    assert any("1 of 24 runs are stale" in problem.message for problem in found)


def test_what_is_published_already(good: Bundle) -> None:
    chosen = repetition(good)
    other = run_with(good, weights_sha256=sha256("others"))
    assert codes(verify(good, [other]), "flag") == {"contradiction"}
    copied = with_source(good, {**good.source, "card.toml": b'slug = "theirs"\ntitle = "T"\n'})
    theirs = Bundle(
        copied.manifest.model_copy(
            update={"method": copied.manifest.method.model_copy(update={"slug": "theirs"})}
        ),
        *(copied.runs, copied.source, copied.sha256, copied.path),
    )
    found = verify(good, [theirs])
    assert codes(found, "flag") == {"copied"} and codes(found) == set()
    assert f"{len(good.runs)} of {len(good.runs)} runs have the very weights of theirs" in [
        finding.message for finding in found
    ]
    assert chosen.weights_sha256 in {run.weights_sha256 for run in theirs.runs}


def test_names_are_of_one_form(good: Bundle) -> None:
    manifest = good.manifest
    assert file_name(manifest.task, manifest.method, good.sha256) == good.path.name


def test_files_of_all_kinds_are_told_apart(
    good: Bundle, bundles: dict[str, Path], tmp_path: Path
) -> None:
    old = old_bundle("beale", "my_opt", tmp_path)
    assert check_file(bundles["digits_step"]) == []
    assert (codes(check_file(old)), codes(check_file(old), "flag")) == (set(), {"former"})
    damaged = tmp_path / old.name.replace("my_opt", "other")
    damaged.write_bytes(old.read_bytes())
    nothing = tmp_path / "nothing.zip"
    for path in (damaged, nothing):
        assert codes(check_file(path)) == {"unreadable"}
    (tmp_path / good.path.name).write_bytes(good.path.read_bytes())
    assert [bundle.path.name for bundle in readable(tmp_path)] == [good.path.name]
    assert readable(tmp_path, "beale") == []
