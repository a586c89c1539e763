"""Tier T1, the records of a bundle: what a run cannot say, and which runs make a whole cell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assay.engine.points import points
from assay.errors import BundleError
from assay.families.metrics import MAX_SAMPLE_LOSS
from assay.plugins.registry import task_entries
from assay.publication.record_checks import LARGEST, SHARES
from assay.publication.verify import verify
from assay.records.bundle import Bundle, read_bundle
from assay.records.schema import Isolation, Result
from assay.ruleset import SCORER_VERSION
from assay.space import MAX_FLOAT, MAX_NAMES, MAX_WHOLE, FloatRange, IntRange, Space
from assay_leaderboard.boards.secondary_metrics import MEANINGS
from pydantic import ValidationError

from tests.assay.publication.conftest import (
    card_of,
    codes,
    remade,
    repetition,
    respecified,
    run_with,
)


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


def trained_on(bundle: Bundle, share: float) -> dict[str, Any]:
    """The last batch ends at that multiple of the budget."""
    spent = int(share * card_of(bundle).budget.example_passes)
    changed = curve_of(bundle, -1, example_passes=spent)
    return {**changed, **usage_of(bundle, example_passes=spent)}


RUN_CHANGES: dict[str, tuple[Callable[[Bundle], dict[str, Any]], str]] = {
    "a better test score": (lambda b: result_of(b, test=1.0), "selected"),
    "a better last score": (lambda b: result_of(b, test_last=1.0), "selected"),
    "a better validation score": (lambda b: result_of(b, val=1.0), "selected"),
    "another snapshot": (lambda b: result_of(b, selected=3), "selected"),
    "no snapshot": (lambda b: result_of(b, selected=-1), "selected"),
    "a score above one": (lambda b: result_of(b, test=1.5), "score"),
    "a negative score": (lambda b: curve_of(b, 0, val=-0.5), "score"),
    "an invented metric": (lambda b: result_of(b, secondary={"luck": 1.0}), "score"),
    "a share above one": (lambda b: result_of(b, secondary={"macro_f1": 1.5}), "score"),
    "a negative loss": (lambda b: result_of(b, secondary={"log_loss": -0.5}), "score"),
    "a loss above its cap": (lambda b: result_of(b, secondary={"log_loss": 101.0}), "score"),
    "no curve": (lambda b: {"curve": []}, "curve"),
    "a shorter curve": (lambda b: {"curve": repetition(b).curve[:-1]}, "curve"),
    "another place": (lambda b: curve_of(b, 0, example_passes=1), "curve"),
    "training beyond the budget": (lambda b: trained_on(b, 1.11), "curve"),
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


def test_the_batch_that_spends_the_budget_may_end_a_little_later(good: Bundle) -> None:
    assert "curve" not in codes(verify(run_with(good, **trained_on(good, 1.09))))


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


def test_what_a_start_spends_beyond_the_budget_buys_nothing(bundles: dict[str, Path]) -> None:
    """Its last batch counts up to where the budget ends, as the scorer has it."""
    bundle = read_bundle(bundles["beale"])
    run, budget = repetition(bundle), card_of(bundle).budget.example_passes
    curve = [
        replace(point, example_passes=budget + 40, passes=budget + 40, val=1.0, test=1.0)
        if point.example_passes == budget
        else point
        for point in run.curve
    ]
    areas = []
    for start in {point.start for point in curve}:
        own = [point for point in curve if point.start == start]
        spent, progress = [0, *(p.example_passes for p in own)], [0, *(p.test for p in own)]
        until = [*spent[:-1], budget]
        areas.append(np.trapezoid(np.interp(until, spent, progress), until) / budget)
    score = round(float(np.mean(areas)), 6)
    said = dict.fromkeys(("val", "test", "test_last", "test_oracle"), score)
    more = 40 * len(areas)
    usage = usage_of(
        bundle,
        example_passes=run.usage.example_passes + more,
        passes=run.usage.passes + more,
    )
    assert (
        codes(verify(run_with(bundle, curve=curve, **result_of(bundle, **said), **usage))) == set()
    )


def test_formulas_are_flags(good: Bundle) -> None:
    found = verify(run_with(good, message="=1+1"))
    assert (codes(found), codes(found, "flag")) == (set(), {"formula"})


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


def test_the_ranges_of_secondary_metrics_are_those_of_their_units() -> None:
    shares = {name for name, meaning in MEANINGS.items() if meaning.unit == "share"}
    assert {*SHARES} == shares
    assert LARGEST["log_loss"] == MAX_SAMPLE_LOSS
    used = {name for entry in task_entries().values() for name in entry.card.secondary}
    assert used <= MEANINGS.keys()


def test_points_can_be_drawn_from_the_largest_space_that_can_be_declared() -> None:
    """So the limits on a space are those of assay.space alone, which `assay check` tells of."""
    wide = {f"x{n}": FloatRange(low=-MAX_FLOAT, high=MAX_FLOAT) for n in range(MAX_NAMES - 2)}
    log = FloatRange(low=1e-100, high=MAX_FLOAT, log=True)
    whole = IntRange(low=-MAX_WHOLE, high=MAX_WHOLE)
    space = Space(
        ranges={**wide, "log": log, "whole": whole},
        defaults={**dict.fromkeys(wide, 0.0), "log": 1.0, "whole": 0},
    )
    for drawn in points(space, 3, 8):
        assert all(drawn[name] in known for name, known in space.ranges.items())
