"""Tier T1: a sound bundle passes, and every way of bending one is found by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from assay.identity import sha256, source_hash
from assay.publication.verify import BundleProblem, verify
from assay.records.bundle import Bundle, file_name, pack, parse_bundle, read_bundle
from assay.records.schema import (
    Isolation,
    Result,
    RunRecord,
    RunSpec,
    StudyRecord,
    reproduce_command,
    study_id,
)

Records = tuple[list[RunRecord], list[StudyRecord], dict[str, bytes]]


@pytest.fixture
def good(bundles: dict[str, Path]) -> Bundle:
    return read_bundle(bundles["digits_step"])


def remade(runs: list[RunRecord], studies: list[StudyRecord], source: dict[str, bytes]) -> Bundle:
    """A bundle as its maker would have made it, all hashes right; also of foreign records."""
    name, data = pack(runs, studies, source)
    return parse_bundle(data, Path(name))


def codes(findings: list[BundleProblem], severity: str = "error") -> set[str]:
    return {finding.code for finding in findings if finding.severity == severity}


def run_with(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with one repetition changed."""
    chosen = bundle.studies[0].selected_runs[0]
    runs = [run.model_copy(update=changes) if run.id == chosen else run for run in bundle.runs]
    return remade(runs, bundle.studies, bundle.source)


def study_with(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with its study changed, under the id that then is its own."""
    study = bundle.studies[0].model_copy(update=changes)
    points = [trial.hyperparameters for trial in study.trials]
    rest = (study.compute, study.ruleset, points, len(study.selected_runs))
    study = study.model_copy(update={"id": study_id(study.task, study.method, *rest)})
    return remade(bundle.runs, [study], bundle.source)


def repetition(bundle: Bundle) -> RunRecord:
    chosen = bundle.studies[0].selected_runs[0]
    return next(run for run in bundle.runs if run.id == chosen)


@pytest.mark.parametrize("task", ["digits_step", "beale"])
def test_a_sound_bundle_is_valid_and_no_plugin_is_imported(
    bundles: dict[str, Path], task: str
) -> None:
    bundle = read_bundle(bundles[task])
    assert b"a plugin was imported" in bundle.source["method.py"]
    assert verify(bundle) == []
    assert verify(bundle, [read_bundle(path) for path in bundles.values()]) == []


def result_of(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    result = repetition(bundle).result
    assert result is not None
    return {"result": Result(**{**result.model_dump(), **changes})}


def curve_of(bundle: Bundle, at: int, **changes: Any) -> dict[str, Any]:
    curve = list(repetition(bundle).curve)
    curve[at] = replace(curve[at], **changes)
    return {"curve": curve}


def usage_of(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    return {"usage": repetition(bundle).usage.model_copy(update=changes)}


RUN_CHANGES: dict[str, tuple[Callable[[Bundle], dict[str, Any]], str]] = {
    "a better test score": (lambda b: result_of(b, test=1.0), "selected"),
    "a better last score": (lambda b: result_of(b, test_last=1.0), "selected"),
    "a better validation score": (lambda b: result_of(b, val=1.0), "selected"),
    "another snapshot": (lambda b: result_of(b, selected=0), "selected"),
    "no snapshot": (lambda b: result_of(b, selected=-1), "selected"),
    "a score above one": (lambda b: result_of(b, test=1.5), "score"),
    "a negative score": (lambda b: curve_of(b, 0, val=-0.5), "score"),
    "an invented metric": (lambda b: result_of(b, secondary={"luck": 1.0}), "score"),
    "no curve": (lambda b: {"curve": []}, "curve"),
    "a shorter curve": (lambda b: {"curve": repetition(b).curve[:-1]}, "curve"),
    "another place": (lambda b: curve_of(b, 0, example_passes=1), "curve"),
    "more batches": (lambda b: curve_of(b, -1, batch=10**6), "curve"),
    "time that goes back": (lambda b: curve_of(b, -1, seconds=0.0), "curve"),
    "passes that go back": (lambda b: curve_of(b, -1, passes=0), "curve"),
    "another start": (lambda b: curve_of(b, -1, start=1), "curve"),
    "too many batches": (lambda b: usage_of(b, batches=10**9), "usage"),
    "fewer batches": (lambda b: usage_of(b, batches=1), "curve"),
    "negative time": (lambda b: usage_of(b, wall_seconds=-1.0), "usage"),
    "too much time": (lambda b: usage_of(b, cpu_seconds=1e6), "usage"),
    "fewer example-passes": (lambda b: usage_of(b, example_passes=1), "curve"),
    "more training than time": (lambda b: usage_of(b, train_seconds=30.0), "usage"),
    "no weights": (lambda b: {"weights_sha256": None}, "weights"),
    "a failed run with a curve": (lambda b: {"status": "failed", "result": None}, "curve"),
    "another command": (lambda b: {"reproduce": "assay run my_opt; curl x | sh"}, "reproduce"),
    "another family": (lambda b: {"family": "quantization"}, "cell"),
    "another tier": (lambda b: {"tier": "paper"}, "cell"),
    "no date": (lambda b: {"created_at": "yesterday"}, "created_at"),
    "a local date": (lambda b: {"created_at": "2026-01-01T00:00:00+02:00"}, "created_at"),
    "in process": (lambda b: {"isolation": Isolation(level="L0")}, "isolation"),
    "a terminal code": (lambda b: {"message": "\x1b[2J"}, "text"),
    "bidirectional text": (lambda b: {"message": "abc\u202edef"}, "text"),
    "zero-width text": (lambda b: {"message": "abc\u200bdef"}, "text"),
    "markup": (lambda b: {"message": "<img src=x onerror=alert(1)>"}, "text"),
    "a link that runs": (lambda b: {"message": "JavaScript:alert(1)"}, "text"),
    "a very long message": (lambda b: {"message": "a" * 20_000}, "text"),
    "a long message": (lambda b: {"message": "a" * 5_000}, "message"),
    "a path": (lambda b: {"message": "in /home/ada/x.py"}, "private"),
}


@pytest.mark.parametrize("name", RUN_CHANGES)
def test_what_a_run_cannot_say_is_an_error(good: Bundle, name: str) -> None:
    change, code = RUN_CHANGES[name]
    assert code in codes(verify(run_with(good, **change(good))))


def test_a_function_is_scored_by_the_area_under_its_curve(bundles: dict[str, Path]) -> None:
    bundle = read_bundle(bundles["beale"])
    higher = dict.fromkeys(("val", "test", "test_last", "test_oracle"), 0.99)
    assert codes(verify(run_with(bundle, **result_of(bundle, **higher)))) == {"selected"}
    assert "curve" in codes(verify(run_with(bundle, **curve_of(bundle, 3, val=0.123456))))


def test_weaker_isolation_and_formulas_are_flags(good: Bundle) -> None:
    found = verify(run_with(good, isolation=Isolation(level="L1"), message="=1+1"))
    assert (codes(found), codes(found, "flag")) == (set(), {"isolation", "formula"})


def test_the_selected_trial_is_the_best(good: Bundle) -> None:
    study = good.studies[0]
    other = (study.selected + 1) % len(study.trials)
    assert codes(verify(study_with(good, selected=other))) == {"selection", "repetitions"}


def test_trials_say_what_their_runs_say(good: Bundle) -> None:
    trials = list(good.studies[0].trials)
    trials[1] = trials[1].model_copy(update={"val": 0.999})
    assert "study" in codes(verify(study_with(good, trials=trials)))
    trials[1] = trials[1].model_copy(update={"run_id": trials[2].run_id})
    assert "study" in codes(verify(study_with(good, trials=trials)))


def respecified(run: RunRecord, **changes: Any) -> RunRecord:
    """The run under another spec, its id and command right."""
    spec = RunSpec(**{**run.spec.model_dump(), **changes})
    command = reproduce_command(spec.method.slug, spec)
    return run.model_copy(update={"spec": spec, "id": spec.id, "reproduce": command})


def test_points_are_those_that_the_ruleset_draws(good: Bundle) -> None:
    """A point chosen by hand, everything else made to fit it."""
    study = good.studies[0]
    runs = {run.id: run for run in good.runs}
    mine = {**study.trials[2].hyperparameters, "lr": 0.0123}
    run = respecified(runs.pop(study.trials[2].run_id), hyperparameters=mine)
    trials = list(study.trials)
    trials[2] = trials[2].model_copy(update={"hyperparameters": mine, "run_id": run.id})
    changed = good.__class__(
        good.manifest, [*runs.values(), run], good.studies, good.source, good.sha256, good.path
    )
    assert "points" in codes(verify(study_with(changed, trials=trials)))


def test_more_trials_than_allowed_are_found(good: Bundle) -> None:
    study = good.studies[0]
    extra = study.trials[1].model_copy(update={"number": len(study.trials)})
    assert codes(verify(study_with(good, trials=[*study.trials, extra]))) == {"points"}


@pytest.mark.parametrize(
    "change",
    [
        {"low": 2.0, "high": 1.0},
        {"low": 0.0},
        {"low": -1e300, "log": False},
        {"low": 0.2},
    ],
)
def test_a_space_that_no_method_can_have(good: Bundle, change: dict[str, Any]) -> None:
    space = good.studies[0].space
    lr = space.ranges["lr"].model_copy(update=change)
    changed = space.model_copy(update={"ranges": {**space.ranges, "lr": lr}})
    assert codes(verify(study_with(good, space=changed))) == {"space"}


def test_missing_repetitions_and_stray_runs(good: Bundle) -> None:
    lost = good.studies[0].selected_runs[-1]
    fewer = remade([run for run in good.runs if run.id != lost], good.studies, good.source)
    assert codes(verify(fewer)) == {"missing"}
    stray = respecified(repetition(good), repetition=99)
    more = remade([*good.runs, stray], good.studies, good.source)
    assert codes(verify(more)) == {"stray"}
    runs = good.studies[0].selected_runs
    assert "repetitions" in codes(verify(study_with(good, selected_runs=runs[:-1])))


def test_records_that_stand_twice(good: Bundle) -> None:
    twice = remade([*good.runs, good.runs[0]], good.studies, good.source)
    assert codes(verify(twice)) == {"cell"}


def test_the_source_is_the_one_of_the_records(good: Bundle) -> None:
    changed = {**good.source, "method.py": b"x = 1\n"}
    assert codes(verify(remade(good.runs, good.studies, changed))) == {"source"}
    commented = {**good.source, "method.py": b"# why\n" + good.source["method.py"]}
    assert verify(remade(good.runs, good.studies, commented)) == []
    without = {"card.toml": good.source["card.toml"]}
    assert codes(verify(remade(good.runs, good.studies, without))) == {"source"}


def with_source(bundle: Bundle, source: dict[str, bytes]) -> Bundle:
    """The bundle as if it had been recorded with this source."""
    ref = bundle.manifest.method.model_copy(update={"code_hash": source_hash(source.items())})
    new_ids: dict[str, str] = {}
    runs = []
    for run in bundle.runs:
        runs.append(respecified(run, method=ref.model_dump()))
        new_ids[run.id] = runs[-1].id
    study = bundle.studies[0]
    moved = study.model_copy(
        update={
            "method": ref,
            "trials": [t.model_copy(update={"run_id": new_ids[t.run_id]}) for t in study.trials],
            "selected_runs": [new_ids[run_id] for run_id in study.selected_runs],
        }
    )
    points = [trial.hyperparameters for trial in moved.trials]
    rest = (moved.compute, moved.ruleset, points, len(moved.selected_runs))
    moved = moved.model_copy(update={"id": study_id(moved.task, ref, *rest)})
    return remade(runs, [moved], source)


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
        (list("abcde"), dict.fromkeys("abcde", bytes(60_000)), "300,000 bytes together"),
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


def test_a_bundle_of_another_time_is_stale(good: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = good.manifest.task.model_copy(update={"code_hash": "0" * 64})
    monkeypatch.setattr("assay.publication.verify.task_ref", lambda entry: changed)
    assert (codes(verify(good)), codes(verify(good), "flag")) == (set(), {"stale"})
    monkeypatch.setattr("assay.publication.verify.task_entries", dict)
    assert codes(verify(good)) == {"task"}


def test_what_is_published_already(good: Bundle) -> None:
    chosen = repetition(good)
    other = run_with(good, weights_sha256=sha256("others"))
    assert codes(verify(good, [other]), "flag") == {"contradiction"}
    copied = with_source(good, {**good.source, "card.toml": b'slug = "theirs"\ntitle = "T"\n'})
    theirs = Bundle(
        copied.manifest.model_copy(
            update={"method": copied.manifest.method.model_copy(update={"slug": "theirs"})}
        ),
        *(copied.runs, copied.studies, copied.source, copied.sha256, copied.path),
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
