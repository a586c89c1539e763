"""What differs among the machines that the runs of one cell were made on, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from assay.records.schema import Environment

Facts = tuple[tuple[str, str], ...]
"""Environment.machine_key."""
MAX_KINDS = 3
"""Values of one fact that are named."""


@lru_cache(maxsize=4096)  # most of many thousand runs have the same, which are kept once
def facts_of(environment: Environment) -> Facts:
    """What of an environment numbers may depend on."""
    return environment.machine_key


def mixed(environments: Iterable[Facts]) -> str:
    """What differs among the environments of runs, with the number of runs; empty if nothing.

    Runs of different machines are one cell: they agree within the tolerance of a replay, not bit
    for bit, so a reader should know.
    """
    known = Counter(environments)
    differing = []
    for name in dict.fromkeys(name for facts in known for name, _ in facts):
        counts = Counter[str]()
        for facts, n_runs in known.items():
            counts[dict(facts).get(name, "unknown")] += n_runs
        if len(counts) > 1:
            differing.append(_differing(name, counts))
    return f"mixed: {'; '.join(differing)}" if differing else ""


def _differing(name: str, counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if name == "cpu_flags_hash":  # as a hash says nothing
        n_runs = ", ".join(str(n) for _, n in ordered[:MAX_KINDS])
        return f"{len(ordered)} sets of CPU flags ({n_runs}{_more(ordered)} runs)"
    (first, n_first), *others = ordered[:MAX_KINDS]
    parts = [f"{name} {first} in {n_first} runs", *(f"{value} in {n}" for value, n in others)]
    return ", ".join(parts) + _more(ordered)


def _more(ordered: list[tuple[str, int]]) -> str:
    return f" and {len(ordered) - MAX_KINDS} more" if len(ordered) > MAX_KINDS else ""
