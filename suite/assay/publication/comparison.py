"""A record beside its replay: what must be equal, and what may differ between machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from assay.records.log import ReplayVerdict
from assay.records.schema import CurvePoint, Environment, RunRecord


@dataclass(frozen=True)
class ReplayComparison:
    """A verdict and its reason."""

    verdict: ReplayVerdict
    detail: str = ""


def rule_of(tolerance: float) -> str:
    """What replays are held to, in words."""
    return (
        "on one kind of machine all must be equal bit for bit, on another one validation and test "
        f"score may differ by {tolerance:.4g}"
    )


def compare(known: RunRecord, again: RunRecord, allowed: float) -> ReplayComparison:
    """The verdict on a run and a repetition of it.

    Args:
        known: the record.
        again: the same spec, run here.
        allowed: largest difference of scores if this is another kind of machine.
    """
    other = machine_difference(known.environment, again.environment)
    if known.scorer_version != again.scorer_version:
        versions = f"{known.scorer_version} of the scorer, now {again.scorer_version}"
        return ReplayComparison("cannot", f"scored by version {versions}")
    if not _differing(known, again):
        return ReplayComparison("identical", "" if known.result else f"ended {known.status} again")
    if not other:
        return ReplayComparison("differs", _what_differs(known, again))
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
    within = distance(known, again) <= allowed
    return ReplayComparison("within tolerance" if within else "differs", detail)


def distance(one: RunRecord, other: RunRecord) -> float:
    """How far apart two runs of a spec ended, in the metric's unit: the larger of the differences
    of validation and test score; infinite where their status differs.
    """
    if one.status != other.status:
        return inf
    if one.result is None or other.result is None:
        return 0.0
    test = abs(one.result.test - other.result.test)
    return max(test, abs(one.result.val - other.result.val))


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
