"""A record beside its replay: what must be equal, and what may differ between machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.cards import TaskCard
from assay.records.log import ReplayVerdict
from assay.records.schema import CurvePoint, Environment, RunRecord


@dataclass(frozen=True)
class ReplayComparison:
    """A verdict and its reason."""

    verdict: ReplayVerdict
    detail: str = ""


def tolerance(card: TaskCard) -> float | None:
    """The largest difference of test scores between machines, in the metric's unit.

    None if runs on different machines cannot be compared: quantized training.
    """
    return card.replay_tolerance


def rule_of(card_tolerance: float | None) -> str:
    """What replays are held to, in words."""
    other = (
        "runs of another one cannot be compared"
        if card_tolerance is None
        else f"on another one validation and test score may differ by {card_tolerance:.4g}"
    )
    return f"on one kind of machine all must be equal bit for bit, {other}"


def compare(known: RunRecord, again: RunRecord, allowed: float | None) -> ReplayComparison:
    """The verdict on a run and a repetition of it.

    Args:
        known: the record.
        again: the same spec, run here.
        allowed: largest difference of test scores if this is another machine; see tolerance.
    """
    other = machine_difference(known.environment, again.environment)
    if known.scorer_version != again.scorer_version:
        versions = f"{known.scorer_version} of the scorer, now {again.scorer_version}"
        return ReplayComparison("cannot", f"scored by version {versions}")
    if not _differing(known, again):
        return ReplayComparison("identical", "" if known.result else f"ended {known.status} again")
    if not other:
        return ReplayComparison("differs", _what_differs(known, again))
    if allowed is None:
        return ReplayComparison(
            "cannot", f"quantized runs are compared on one kind of machine only: {other}"
        )
    if known.status != again.status:
        if "out_of_budget" in (known.status, again.status):
            ends = f"{known.status} there, {again.status} here"
            return ReplayComparison("cannot", f"{ends}: machines of different speed ({other})")
        return ReplayComparison("differs", f"{_what_differs(known, again)} ({other})")
    if known.result is None or again.result is None:
        return ReplayComparison("within tolerance", f"ended {known.status} again; {other}")
    test = abs(known.result.test - again.result.test)
    val = abs(known.result.val - again.result.val)
    detail = f"test differs by {test:.4g}, validation by {val:.4g}, allowed {allowed:.4g}; {other}"
    within = max(test, val) <= allowed
    return ReplayComparison("within tolerance" if within else "differs", detail)


def machine_difference(known: Environment, again: Environment) -> str:
    """How two machines differ, in words; empty if runs on both must be equal bit for bit."""
    there, here = dict(known.machine_key), dict(again.machine_key)
    found = [
        "other CPU flags"
        if name == "cpu_flags_hash"
        else f"{name} {there.get(name, 'unknown')}, here {here.get(name, 'unknown')}"
        for name in there | here
        if there.get(name) != here.get(name)
    ]
    if not found and known.device != "cpu":
        found = [f"device {known.device}: not repeatable bit for bit"]
    return "; ".join(found)


def _facts(record: RunRecord) -> dict[str, Any]:
    """Everything in a record that its spec determines on one kind of machine, but the curve."""
    usage = record.usage
    return {
        "status": record.status,
        "weights": record.weights_sha256,
        "result": record.result,
        "counts": (usage.batches, usage.passes, usage.examples) if record.result else None,
    }


def _differing(known: RunRecord, again: RunRecord) -> list[str]:
    """Which facts differ; of the curve only what the record holds."""
    there, here = _facts(known), _facts(again)
    names = [name for name in there if there[name] != here[name]]
    if known.curve and _places(known.curve) != _places(again.curve):
        names.append("curve")
    return names


def _places(curve: Sequence[CurvePoint]) -> list[CurvePoint]:
    """A curve without its times, and without coordinates, which bundles leave out."""
    return [replace(point, seconds=0.0, x=None, y=None) for point in curve]


def _what_differs(known: RunRecord, again: RunRecord) -> str:
    names = _differing(known, again)
    said = f"status {known.status}, now {again.status}" if "status" in names else ""
    if "result" in names and known.result and again.result:
        said = f"test {known.result.test:.6g}, now {again.result.test:.6g}"
    return ", ".join(names) + (f" ({said})" if said else "")
