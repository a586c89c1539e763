"""Signs in how runs went: first loss, repeated results, cost, distance of the weights."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from statistics import median

from assay.detectors.baselines import (
    Flag,
    Subject,
    cpu_per_pass,
    distance_of,
    ids,
    val_of,
)
from assay.detectors.source import defined_hooks
from assay.records.schema import RunRecord

LOSS_TOLERANCE = {"cpu": 1e-4, "gpu": 1e-2}
"""Relative. The same CPU gives the same bits; GPUs may multiply in TF32."""
COST_RATIO = (0.4, 3.0)
"""CPU seconds per pass over the reference's. Honest: 0.61 (post_training_rounding, which trains in
float where the reference quantizes) to 1.48 (elr)."""
CPU_OVER_WALL, CPU_SLACK_SECONDS = 1.1, 0.2
"""CPU seconds over threads x wall seconds. Honest: at most 0.99."""
CPU_OVER_TRAINING, TRAINING_SLACK_SECONDS = 2.0, 1.0
"""The same over threads x training seconds. Honest: at most 0.12 s more than these."""
MAX_DISTANCE_RATIO = 10.0
"""Weight distance over the baselines' largest. Honest: at most 2.4 (sgd on digits_cnn)."""
MIN_DISTANCE_RATIO = 0.01
"""Weight distance over the smallest among baseline runs with a score as good."""
_CHANGES_FIRST_LOSS = frozenset(
    {"compute_loss", "transform_batch", "sampler", "transform_model", "training_step"}
)

Seeds = tuple[str | None, int]
"""Epoch and repetition: equal for runs with the same seeds, of one task."""


def first_loss(subject: Subject) -> Iterator[Flag]:
    """First losses that differ from the scorer's own, unless the method changes the first batch."""
    if not subject.source or defined_hooks(subject.source) & _CHANGES_FIRST_LOSS:
        return
    off: list[RunRecord] = []
    silent: list[RunRecord] = []
    worst = (0.0, 0.0, 0.0)
    for run in subject.result:
        if run.checks is None:
            continue
        expected, claimed = run.checks.reference_first_losses, run.checks.first_losses
        tolerance = LOSS_TOLERANCE[run.spec.compute.accelerator]
        for number, value in enumerate(expected):
            said = claimed[number] if number < len(claimed) else None
            if value is None:
                continue
            if said is None:
                silent.append(run)
                break
            error = abs(said - value) / max(abs(value), 1e-6)
            if error > tolerance:
                off.append(run)
                worst = max(worst, (error, said, value))
                break
    if off:
        yield Flag(
            code="first_loss",
            message=f"{len(off)} of {len(subject.result)} runs began with a loss that the issued "
            f"weights and batch do not have: {worst[1]:.4g} instead of {worst[2]:.4g}",
            runs=ids(off),
        )
    if silent:
        yield Flag(
            code="first_loss",
            message=f"{len(silent)} of {len(subject.result)} runs reported no first loss",
            runs=ids(silent),
        )


def repeated_result(subject: Subject) -> Iterator[Flag]:
    """Runs with different seeds that end in the same weights or the same curve."""
    if subject.card.deterministic:
        return
    hashes: dict[str, dict[Seeds, RunRecord]] = {}
    curves: dict[bytes, dict[Seeds, RunRecord]] = {}
    # A nearly constant curve proves nothing: a collapsed network predicts one class, whose share is
    # the same in every split. Nor do the weights of a function that was solved.
    for run in _sharing(_end, subject.result):
        points = [(point.val, point.test) for point in run.curve]
        if len(set(points)) >= 3:
            curve = array("d", chain.from_iterable(points)).tobytes()
            curves.setdefault(curve, {}).setdefault(_seeds(run), run)
    for run in _sharing(lambda run: run.weights_sha256, subject.result):
        if run.weights_sha256 and not (subject.card.family == "functions" and _solved(run)):
            hashes.setdefault(run.weights_sha256, {}).setdefault(_seeds(run), run)
    for what, found in (("weights", hashes), ("curve", curves)):
        for same in found.values():
            if len(same) > 1:
                yield Flag(
                    code="repeated_result",
                    message=f"{len(same)} runs with different seeds have the same {what}",
                    runs=ids(list(same.values())),
                )


def _sharing(part: Callable[[RunRecord], object], runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs whose `part` equals that of a run with other seeds."""
    known: dict[object, Seeds] = {}
    shared = set()
    for run in runs:
        own, seeds = part(run), _seeds(run)
        if known.setdefault(own, seeds) != seeds:
            shared.add(own)
    return [run for run in runs if part(run) in shared] if shared else []


def _end(run: RunRecord) -> tuple[float, float] | None:
    """Scores of the last point of the curve; None without a curve."""
    return (run.curve[-1].val, run.curve[-1].test) if run.curve else None


def _seeds(run: RunRecord) -> Seeds:
    return run.spec.epoch, run.spec.repetition


def _solved(run: RunRecord) -> bool:
    """Whether every start of a function reached the minimum."""
    last = {point.start: point.val for point in run.curve}
    return min(last.values(), default=0.0) >= 1.0


def cost(subject: Subject) -> Iterator[Flag]:
    """More CPU time, measured outside of the worker, than its own counts can explain."""
    threaded, hidden = [], []
    for run in subject.runs:
        usage, threads = run.usage, run.spec.compute.threads
        wall = threads * usage.wall_seconds
        if usage.cpu_seconds > CPU_OVER_WALL * wall + CPU_SLACK_SECONDS:
            threaded.append(run)
        training = threads * usage.train_seconds
        if usage.cpu_seconds > CPU_OVER_TRAINING * training + TRAINING_SLACK_SECONDS:
            hidden.append(run)
    for found, what in (
        (threaded, "more CPU time than their threads have in their wall time"),
        (hidden, "more than twice the CPU time that their training time explains"),
    ):
        if found:
            most = max(found, key=lambda run: run.usage.cpu_seconds).usage
            yield Flag(
                code="cost",
                message=f"{len(found)} runs used {what}: up to {most.cpu_seconds:.2f} s of CPU in "
                f"{most.wall_seconds:.2f} s, {most.train_seconds:.2f} s of it training",
                runs=ids(found),
            )
    yield from _cost_ratio(subject)


def _cost_ratio(subject: Subject) -> Iterator[Flag]:
    """CPU seconds per pass far from the reference method's on the same kind of machine."""
    own = cpu_per_pass(subject.result)
    theirs, n = subject.baseline.cost(subject.runs[0])
    if not own or not n:
        return
    ratio = median(own) / theirs
    low, high = COST_RATIO
    if not low <= ratio <= high:
        yield Flag(
            code="cost",
            message=f"{median(own) * 1e3:.3g} ms of CPU per pass (n={len(own)}), the reference "
            f"{theirs * 1e3:.3g} (n={n}): ratio {ratio:.2f}, expected "
            f"{low:g} to {high:g}",
            runs=ids(subject.result),
        )


def weight_distance(subject: Subject) -> Iterator[Flag]:
    """Weights that moved much further, or much less, than those of the baselines."""
    known, chance, sign = subject.baseline.moved, subject.card.metric.chance, subject.sign
    far, still = [], []
    for run in subject.result:
        distance = distance_of(run)
        if distance is None:
            continue
        if distance > MAX_DISTANCE_RATIO * known.largest:
            far.append(run)
        # A quantization task starts from a trained network: it scores without a step.
        if subject.card.family == "quantization" or sign * (val_of(run) - chance) < known.useful:
            continue
        if distance <= MIN_DISTANCE_RATIO * known.smallest(sign * val_of(run)):
            still.append(run)
    for found, what in (
        (far, f"the largest of {known.n} baseline runs is {known.largest:.3g}"),
        (still, "less than a hundredth of any baseline run as good"),
    ):
        if found:
            distances = [d for run in found if (d := distance_of(run)) is not None]
            yield Flag(
                code="weight_distance",
                message=f"{len(found)} runs moved their weights by {min(distances):.3g} to "
                f"{max(distances):.3g} times their norm; {what}",
                runs=ids(found),
            )
