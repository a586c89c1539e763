"""What a step of a method costs: measured against the bare task's, and counted in passes."""

from __future__ import annotations

import statistics
import time

from assay.cards import TaskCard
from assay.families.toys import toy_task
from assay.worker.findings import ResultLog
from assay.worker.probe_subject import ProbedMethod, Toy
from assay.worker.session import Session

BLOCK, N_BLOCKS, MAX_SECONDS = 8, 12, 1.5
"""Batches per timed block, blocks, and CPU time for all of them."""
MIN_BLOCKS = 3
FORWARDS_PER_PASS = 3
"""Forward passes that cost as much as one forward-backward pass."""
UNCOUNTED = 2.5
"""A step that takes this many times as long as its counted passes may do something uncounted."""
TOLERANCE = 0.1
"""Share by which the passes counted may differ from those declared."""


def check_cost(findings: ResultLog, subject: ProbedMethod, toy: Toy) -> None:
    """CPU time per batch as a ratio to the bare task's, and passes as counted and as declared."""
    timed = toy.changed(toy_task(_without_points(toy)))
    mine, bare = (subject.session(timed, bare=bare) for bare in (False, True))
    ratios, bare_seconds = _ratios(mine, bare)
    examples = mine.plan.examples
    passes = mine.counter.example_passes / examples
    forwards = mine.counter.forward_examples / examples
    counted = f"{passes:.3g} passes per batch are counted"
    if forwards > (1 + TOLERANCE) * FORWARDS_PER_PASS * passes:
        text = f"the model runs {forwards:.3g} times per batch, but {counted}"
        advice = f"call step.count_pass() once for each {FORWARDS_PER_PASS} runs without backward"
        findings.add("cost", "failed", f"{text}: {advice}")
        return
    declared = float(mine.method.passes_per_batch)
    if abs(passes - declared) > TOLERANCE * declared:
        text = f"{counted}, but passes_per_batch is {declared:.3g}: plan.total_batches is wrong"
        findings.add("passes", "note", f"{text}; set passes_per_batch = {passes:.3g}")
    if len(ratios) < MIN_BLOCKS:
        findings.add("cost", "note", f"{counted}; time was not measured: a step takes too long")
        return
    low, ratio, high = statistics.quantiles(ratios, n=4)
    step = 1e6 * statistics.median(bare_seconds)
    measured = f"{ratio:.2f} times the bare task's step of {step:.0f} us"
    if low > UNCOUNTED * max(passes, 1.0):
        spread = f"(quartiles {low:.2f} to {high:.2f}, n={len(ratios)} blocks of {BLOCK} batches)"
        advice = "if it computes losses or gradients outside of autograd, call step.count_pass()"
        findings.add("cost", "note", f"{measured} {spread}; {counted}: {advice}")
    else:
        findings.add("cost", "ok", f"{measured} (n={len(ratios)} blocks); {counted}")


def _without_points(toy: Toy) -> TaskCard:
    """The toy's card with so much budget that no evaluation falls into a timed block."""
    card = toy.task.card
    budget = card.budget.model_copy(update={"batches": 100 * card.budget.batches})
    one_point = card.evaluation.model_copy(update={"points": 1})
    return card.model_copy(update={"budget": budget, "evaluation": one_point})


def _ratios(mine: Session, bare: Session) -> tuple[list[float], list[float]]:
    """CPU time of blocks of the method relative to the bare task's, timed in turns.

    Returns:
        The ratio for each block, and the seconds of each batch of the bare task.
    """
    ratios: list[float] = []
    bare_seconds: list[float] = []
    deadline = time.process_time() + MAX_SECONDS
    for block in range(N_BLOCKS + 1):
        seconds = [_timed(session) for session in (mine, bare)]
        # The first block warms up; and on some machines the clock of a process moves in jumps.
        if block and min(seconds) > 0:
            ratios.append(seconds[0] / seconds[1])
            bare_seconds.append(seconds[1] / BLOCK)
        if time.process_time() > deadline:
            break
    return ratios, bare_seconds


def _timed(session: Session) -> float:
    """CPU seconds: other processes on the machine count for less than in wall time."""
    before = time.process_time()
    session.train_batches(BLOCK, lambda point: None)
    return time.process_time() - before
