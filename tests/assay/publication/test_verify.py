"""Tier T1: a sound bundle passes, and every way of bending one is found by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from assay.cards import TaskCard
from assay.epochs import new_epoch
from assay.errors import BundleError
from assay.identity import sha256, source_hash
from assay.plugins.registry import find_task
from assay.publication.verify import BundleProblem, check_file, readable, verify
from assay.records.bundle import Bundle, file_name, pack, parse_bundle, read_bundle
from assay.records.schema import Isolation, Result, RunRecord, RunSpec
from assay.records.selection import results
from assay.ruleset import SCORER_VERSION
from assay.space import Space
from pydantic import ValidationError

from tests.assay.records.test_former import old_bundle


@pytest.fixture
def good(bundles: dict[str, Path]) -> Bundle:
    """The runs of --quick: six repetitions of four points."""
    return read_bundle(bundles["digits_step"])


def card_of(bundle: Bundle) -> TaskCard:
    return find_task(bundle.manifest.task.slug).card


def remade(bundle: Bundle, runs: list[RunRecord], source: dict[str, bytes] | None = None) -> Bundle:
    """A bundle as its maker would have made it; also of foreign records."""
    name, data = pack(runs, bundle.source if source is None else source, card_of(bundle).metric)
    return parse_bundle(data, Path(name))


def codes(findings: list[BundleProblem], severity: str = "error") -> set[str]:
    return {finding.code for finding in findings if finding.severity == severity}


def run_with(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with the result of one repetition changed."""
    chosen = repetition(bundle).id
    runs = [run.model_copy(update=changes) if run.id == chosen else run for run in bundle.runs]
    found = remade(bundle, runs)
    return replace(found, runs=runs) if "curve" in changes else found


def repetition(bundle: Bundle) -> RunRecord:
    """The selected run of the first repetition, which has a curve."""
    return results(bundle.runs, card_of(bundle).metric)[0]


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


def place_of(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    return {"environment": repetition(bundle).environment.model_copy(update=changes)}


def isolated(level: Any, mechanism: Any) -> dict[str, Any]:
    return {"isolation": Isolation(level=level, mechanism=mechanism)}


RUN_CHANGES: dict[str, tuple[Callable[[Bundle], dict[str, Any]], str]] = {
    "a better test score": (lambda b: result_of(b, test=1.0), "selected"),
    "a better last score": (lambda b: result_of(b, test_last=1.0), "selected"),
    "a better validation score": (lambda b: result_of(b, val=1.0), "selected"),
    "another snapshot": (lambda b: result_of(b, selected=3), "selected"),
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
    "negative time": (lambda b: usage_of(b, cpu_seconds=-1.0), "usage"),
    "too much time": (lambda b: usage_of(b, cpu_seconds=1e6), "usage"),
    "fewer example-passes": (lambda b: usage_of(b, example_passes=1), "curve"),
    "more training than time": (lambda b: usage_of(b, train_seconds=30.0), "usage"),
    "no weights": (lambda b: {"weights_sha256": None}, "weights"),
    "a failed run with a curve": (lambda b: {"status": "failed", "result": None}, "curve"),
    "another family": (lambda b: {"family": "quantization"}, "cell"),
    "another space": (lambda b: {"space": Space()}, "space"),
    "another tier": (lambda b: {"tier": "paper"}, "cell"),
    "in process": (lambda b: {"isolation": Isolation(level="L0")}, "isolation"),
    "no sandbox": (lambda b: isolated("L1", "landlock"), "isolation"),
    "a sandbox that nobody made": (lambda b: isolated("L4", "bubblewrap"), "isolation"),
    "a level without a sandbox": (lambda b: isolated("L2", None), "isolation"),
    "an unknown scorer": (lambda b: {"scorer_version": SCORER_VERSION + 1}, "scorer"),
    "a scorer before the first": (lambda b: {"scorer_version": 0}, "scorer"),
    "a GPU": (lambda b: place_of(b, device="gpu"), "gpu"),
    "a foreign device": (lambda b: place_of(b, device="tpu"), "device"),
    "another system": (lambda b: place_of(b, platform="Darwin arm64"), "environment"),
    "an old Python": (lambda b: place_of(b, python="2.7.18"), "environment"),
    "no PyTorch": (lambda b: place_of(b, torch="none"), "environment"),
    "no processor": (lambda b: place_of(b, cpu=" "), "environment"),
    "flags that are no hash": (lambda b: place_of(b, cpu_flags_hash="0"), "environment"),
    "a library that no run reports": (
        lambda b: place_of(b, libraries={"x": "1.0.0"}),
        "environment",
    ),
    "a library without a version": (
        lambda b: place_of(b, libraries={"numpy": "none"}),
        "environment",
    ),
    "a newer Assay": (lambda b: place_of(b, assay="9.0.0"), "environment"),
    "the future": (lambda b: {"created_at": "2200-01-01T00:00:00+00:00"}, "created_at"),
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
    with contextlib.suppress(BundleError, ValidationError):  # or it cannot even be read
        assert code in codes(verify(run_with(good, **change(good))))


def test_equals_in_a_record_may_have_differed_in_their_last_bit(good: Bundle) -> None:
    """The scorer compares before numbers are rounded, and may have taken the earlier one."""
    run = repetition(good)
    assert run.result is not None
    other = next(n for n in range(len(run.curve)) if n != run.result.selected)
    as_good = curve_of(good, other, val=run.result.val, test=run.result.test)
    assert codes(verify(run_with(good, **as_good))) == set()
    worse = curve_of(good, other, val=run.result.val + 1e-9)
    assert codes(verify(run_with(good, **worse))) == {"selected"}


def test_a_function_is_scored_by_the_area_under_its_curve(bundles: dict[str, Path]) -> None:
    bundle = read_bundle(bundles["beale"])
    higher = dict.fromkeys(("val", "test", "test_last", "test_oracle"), 0.99)
    assert codes(verify(run_with(bundle, **result_of(bundle, **higher)))) == {"selected"}
    assert "curve" in codes(verify(run_with(bundle, **curve_of(bundle, 3, val=0.123456))))


def test_formulas_are_flags(good: Bundle) -> None:
    found = verify(run_with(good, message="=1+1"))
    assert (codes(found), codes(found, "flag")) == (set(), {"formula"})


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


def test_a_run_that_is_not_selected_needs_no_curve_and_is_checked_all_the_same(
    good: Bundle,
) -> None:
    other = next(run for run in good.runs if not run.curve)
    assert other.result is not None and verify(good) == []

    def with_other(**changes: Any) -> Bundle:
        runs = [run.model_copy(update=changes) if run is other else run for run in good.runs]
        return remade(good, runs)

    assert codes(verify(with_other(weights_sha256=None))) == {"weights"}
    usage = other.usage.model_copy(update={"cpu_seconds": 1e6})
    assert codes(verify(with_other(usage=usage))) == {"usage"}
    unknown = other.result.model_copy(update={"secondary": {"luck": 1.0}})
    assert codes(verify(with_other(result=unknown))) == {"score"}


def test_a_better_validation_score_makes_a_run_the_selected_one(good: Bundle) -> None:
    """Which then needs the curve that shows it."""
    other = next(run for run in good.runs if not run.curve)
    assert other.result is not None
    better = other.model_copy(
        update={"result": other.result.model_copy(update={"val": 1.0, "test": 1.0})}
    )
    found = remade(good, [better if run is other else run for run in good.runs])
    assert "curve" in codes(verify(found))


def respecified(run: RunRecord, **changes: Any) -> RunRecord:
    """The run under another spec, with its id."""
    spec = RunSpec(**{**run.spec.model_dump(), **changes})
    return run.model_copy(update={"spec": spec, "id": spec.id})


def test_points_are_those_that_the_ruleset_draws(good: Bundle) -> None:
    """A point chosen by hand, everything else made to fit it."""
    run = next(run for run in good.runs if run.spec.point == 2)
    others = [other for other in good.runs if other is not run]
    for mine in (
        {**run.spec.hyperparameters, "lr": 0.0123},
        {**run.spec.hyperparameters, "steps": 3.0},
        {**run.spec.hyperparameters, "more": 1},
    ):
        forged = respecified(run, hyperparameters=mine)
        assert codes(verify(remade(good, [*others, forged]))) == {"points"}


def test_points_belong_to_their_repetition(good: Bundle) -> None:
    """The points of one repetition, under other seeds."""
    of = {(run.spec.repetition, run.spec.point): run for run in good.runs}
    swapped = [
        respecified(run, repetition=1 - place[0]) if place[0] in (0, 1) and place[1] else run
        for place, run in of.items()
    ]
    assert codes(verify(remade(good, swapped))) >= {"points"}


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
    space = good.runs[0].space
    lr = space.ranges["lr"].model_copy(update=change)
    changed = space.model_copy(update={"ranges": {**space.ranges, "lr": lr}})
    runs = [run.model_copy(update={"space": changed}) for run in good.runs]
    with contextlib.suppress(BundleError, ValidationError):  # or it cannot even be read
        assert codes(verify(remade(good, runs))) == {"space"}


def test_missing_and_stray_runs(good: Bundle) -> None:
    *fewer, last = good.runs
    assert codes(verify(remade(good, fewer))) == {"missing"}
    no_defaults = [run for run in good.runs if run.spec.point]
    assert "missing" in codes(verify(remade(good, no_defaults)))
    for place in ({"repetition": 99}, {"repetition": 100}, {"repetition": 6}, {"point": 20}):
        more = remade(good, [*good.runs, respecified(last, **place)])
        assert "stray" in codes(verify(more))
    found = verify(remade(good, fewer))
    assert "73 of 96 runs are missing, such as point 4 of repetition 0" in found[0].message


def test_a_whole_cell_and_more_repetitions(submission: Any, tmp_path: Path) -> None:
    submission.record("digits_step", "full")
    cell = submission.cell("digits_step", "full", n_repetitions=14)
    for spec in cell.specs.values():
        submission.write(cell, spec)
    bundle = read_bundle(submission.bundle(tmp_path))
    assert len(bundle.runs) == 14 * 8 and verify(bundle) == []
    extra = next(run for run in bundle.runs if run.spec.repetition == 13 and not run.curve)
    fewer = [run for run in bundle.runs if run is not extra]
    assert codes(verify(remade(bundle, fewer))) == {"stray"}


def test_a_gpu_is_not_for_publication(good: Bundle) -> None:
    """No sandbox has one."""
    gpu = {"accelerator": "gpu", "threads": 1, "isa": "avx2"}
    found = remade(good, [respecified(run, compute=gpu) for run in good.runs])
    assert codes(verify(found)) == {"gpu"}


def test_cells_of_several_devices_are_each_whole(good: Bundle) -> None:
    two = {"accelerator": "cpu", "threads": 2, "isa": "avx2"}
    others = [respecified(run, compute=two) for run in good.runs]
    assert codes(verify(remade(good, [*good.runs, *others]))) == set()
    found = verify(remade(good, [*good.runs, *others[1:]]))
    assert codes(found) == {"missing"}
    assert "cell (cpu, 2 threads): 73 of 96" in found[0].message


def test_several_machines_are_a_flag(good: Bundle) -> None:
    first, *others = good.runs
    elsewhere = first.environment.model_copy(update={"cpu": "another"})
    moved = first.model_copy(update={"environment": elsewhere})
    found = verify(remade(good, [moved, *others]))
    assert (codes(found), codes(found, "flag")) == (set(), {"machines"})


def test_records_that_stand_twice(good: Bundle) -> None:
    assert codes(verify(replace(good, runs=[*good.runs, good.runs[0]]))) == {"cell"}


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
