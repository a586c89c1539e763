"""Diagnoses against closed forms, quadratics of known spectrum and brute force in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from assay import models
from assay.engine import diagnoses
from assay.engine.cells import make_cells
from assay.engine.curvature import TrainingLoss, curvature_along, top_eigenvalue
from assay.engine.diagnostics import (
    clipped_share,
    effective_rank,
    gradient_statistics,
    has_batch_norm,
    measured,
    rounded,
    with_update,
)
from assay.engine.pool import Pool
from assay.errors import AssayError, BadWeights, RecordError
from assay.messages.scorer import Diagnose, Diagnosed
from assay.messages.worker import SnapshotEntry
from assay.paths import ROOT
from assay.plugins.loading import load_task
from assay.plugins.registry import find_method
from assay.records import diagnosis
from assay.records.schema import RunRecord
from assay.task import Seeds, Snapshot
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.assay.conftest import make_spec

Draw = Callable[..., Tensor]


@pytest.fixture
def draw() -> Draw:
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


def squared(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    losses = (outputs[:, 0] - targets).square() / 2
    return losses.sum() if reduction == "sum" else losses.mean()


def linear(weights: Sequence[float]) -> nn.Linear:
    model = nn.Linear(len(weights), 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([list(weights)]))
    return model


def quadratic(spectrum: Sequence[float], draw: Draw, n: int = 150) -> tuple[TrainingLoss, Tensor]:
    """Least squares whose Hessian X^T X / n has this spectrum, and its eigenvectors as columns."""
    size = len(spectrum)
    axes, _ = torch.linalg.qr(draw(size, size))
    rows, _ = torch.linalg.qr(draw(n, size))
    inputs = math.sqrt(n) * rows @ torch.diag(torch.tensor(spectrum).double().sqrt()) @ axes.T
    return TrainingLoss(linear([0.5] * size), squared, inputs, draw(n)), axes


def test_a_quadratic_has_the_curvature_that_it_was_made_with(draw: Draw) -> None:
    spectrum = [9.0, 4.0, 1.0, 0.25, 0.0]
    loss, axes = quadratic(spectrum, draw)
    assert top_eigenvalue(loss.hessian_product, loss.n_weights) == pytest.approx(9.0, rel=1e-3)
    for number, value in enumerate(spectrum):
        along = curvature_along(loss.hessian_product, -3 * axes[:, number])
        assert along == pytest.approx(value, abs=1e-9)
    both = curvature_along(loss.hessian_product, axes[:, 0] + axes[:, 2])
    assert both == pytest.approx((9.0 + 1.0) / 2, rel=1e-9)
    assert curvature_along(loss.hessian_product, torch.zeros(5, dtype=torch.float64)) is None


@pytest.mark.parametrize(
    "spectrum",
    [[7.0], [0.0, 0.0, 0.0], [-5.0, -2.0], [3.0, 3.0, -8.0], [1e-9, 2e-9, 4e-9],
     [*np.linspace(0, 1, 299), 1.5], [*np.geomspace(1e-6, 50, 500)]],
)  # fmt: skip
def test_the_top_eigenvalue_is_the_largest_and_not_the_longest(spectrum: list[float]) -> None:
    values = torch.tensor(spectrum, dtype=torch.float64)
    products = []

    def product(vector: Tensor) -> Tensor:
        products.append(vector)
        return values * vector

    found = top_eigenvalue(product, len(values))
    assert found == pytest.approx(max(spectrum), rel=0.01)
    assert found <= max(spectrum) + 1e-12 * abs(max(spectrum))
    assert len(products) <= min(len(values), 30)


def test_a_product_that_is_no_number_gives_no_eigenvalue() -> None:
    assert math.isnan(top_eigenvalue(lambda vector: vector * math.inf, 4))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_hessian_products_of_a_network_are_those_of_the_whole_hessian(batch_norm: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    model = models.build(
        "cnn", {"width": 2, "blocks": 1, "batch_norm": batch_norm},
        in_shape=(1, 4, 4), n_classes=3, generator=generator,
    ).double()  # fmt: skip
    assert has_batch_norm(model) == batch_norm
    inputs = torch.randn((70, 1, 4, 4), generator=generator)  # more than one chunk
    targets = torch.randint(3, (70,), generator=generator)
    loss = TrainingLoss(model, cross_entropy, inputs, targets)
    names = [name for name, _ in model.named_parameters()]
    shapes = [weight.shape for weight in model.parameters()]
    here = torch.cat([weight.detach().flatten() for weight in model.parameters()])

    def whole(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes])
        state = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        outputs = torch.func.functional_call(model, state, (inputs.double(),))
        return cross_entropy(outputs, targets)

    gradient, hessian = torch.func.grad(whole)(here), torch.autograd.functional.hessian(whole, here)
    torch.testing.assert_close(loss.gradient(slice(None)), gradient)
    vector = torch.randn(len(here), generator=generator, dtype=torch.float64)
    torch.testing.assert_close(loss.hessian_product(vector), hessian @ vector)
    top = float(torch.linalg.eigvalsh(hessian)[-1])
    assert top_eigenvalue(loss.hessian_product, len(here)) == pytest.approx(top, rel=0.01)


def test_a_loss_without_curvature_has_none() -> None:
    inputs = torch.ones(3, 2)
    sums = lambda outputs, targets, reduction="mean": outputs.sum()  # noqa: E731
    loss = TrainingLoss(linear([1.0, 2.0]), sums, inputs, torch.zeros(3))
    assert top_eigenvalue(loss.hessian_product, 2) == 0


def test_noise_and_coherence_are_those_of_the_gradients_of_single_examples(draw: Draw) -> None:
    inputs, targets = draw(40, 3), draw(40)
    loss = TrainingLoss(linear([0.3, -0.2, 0.9]), squared, inputs, targets)
    w = np.float64(np.float32([0.3, -0.2, 0.9]))
    x, y = inputs.numpy(), targets.numpy()
    gradients = (x @ w - y)[:, None] * x
    noise = np.cov(gradients.T).trace()
    signal = (gradients.mean(0) ** 2).sum() - noise / 40
    assert signal > 0
    coherence = (gradients.sum(0) ** 2).sum() / (gradients**2).sum()
    assert gradient_statistics(loss) == pytest.approx((noise / signal, coherence), rel=1e-9)


def of_examples(rows: Sequence[Sequence[float]]) -> TrainingLoss:
    """A loss whose examples have these gradients at w = 0: (x w + 1)^2 / 2 has x."""
    inputs = torch.tensor(rows, dtype=torch.float64)
    weights = [0.0] * inputs.shape[1]
    return TrainingLoss(linear(weights), squared, inputs, -torch.ones(len(rows)).double())


def test_coherence_tells_equal_orthogonal_and_opposed_gradients_apart() -> None:
    assert gradient_statistics(of_examples([[3.0, 4.0]] * 7)) == pytest.approx((0.0, 7.0))
    noise, coherence = gradient_statistics(of_examples([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]))
    assert (noise, coherence) == (None, pytest.approx(1.0))  # no signal is left of the mean
    assert gradient_statistics(of_examples([[1.0], [-1.0]])) == (None, 0.0)
    assert gradient_statistics(of_examples([[0.0], [0.0]])) == (None, None)
    assert gradient_statistics(of_examples([[1.0]])) == (None, None)


def test_the_clipped_share_counts_full_batches_above_the_threshold() -> None:
    batches = [[[2.0], [0.5]], [[1.0], [0.9]], [[-4.0], [4.0]], [[3.0], [1.0]], [[9.0]]]
    loss = of_examples([row for batch in batches for row in batch])
    assert clipped_share(loss, 2) == 2 / 4  # means 1.25, 0.95, 0, 2; the last is not full


def matrices(*weights: Tensor) -> nn.Module:
    return nn.ParameterList([nn.Parameter(weight) for weight in weights])


def test_the_effective_rank_is_the_entropy_of_singular_values(draw: Draw) -> None:
    assert effective_rank(matrices(torch.eye(4), torch.ones(9))) == pytest.approx(1.0)
    one = draw(6, 1) @ draw(1, 4)
    assert effective_rank(matrices(one)) == pytest.approx(1 / 4)
    left, right = torch.linalg.qr(draw(5, 3))[0], torch.linalg.qr(draw(8, 3))[0]
    known = left @ torch.diag(torch.tensor([2.0, 1.0, 1.0]).double()) @ right.T
    share = 2**1.5 / 5  # H(1/2, 1/4, 1/4) is 3/2 bits
    assert effective_rank(matrices(known)) == pytest.approx(share)
    assert effective_rank(matrices(known.view(5, 2, 2, 2))) == pytest.approx(share)
    assert effective_rank(matrices(known, torch.eye(4))) == pytest.approx((share + 1) / 2)
    assert effective_rank(matrices(torch.zeros(3, 3))) == 0
    assert effective_rank(matrices(torch.ones(3))) is None


def test_weights_are_rounded_to_the_nearest_level_of_their_channel() -> None:
    kernel, bias = torch.tensor([[7.0, 3.4, -2.6], [0.7, -0.04, 0.36]]), torch.tensor([0.123])
    four, untouched = rounded(matrices(kernel.clone(), bias.clone()), 4).parameters()
    torch.testing.assert_close(
        four.detach(), torch.tensor([[7.0, 3.0, -3.0], [0.7, 0.0, 0.4]]), rtol=0, atol=1e-6
    )
    assert torch.equal(untouched, bias)
    (eight, _) = rounded(matrices(kernel.clone(), bias.clone()), 8).parameters()
    step = kernel.abs().amax(1, keepdim=True) / 127
    brute = min_distance(kernel, step)
    torch.testing.assert_close((eight - kernel).abs().detach(), brute, rtol=1e-3, atol=1e-6)


def min_distance(values: Tensor, step: Tensor) -> Tensor:
    levels = step[..., None] * torch.arange(-127, 128)
    return (values[..., None] - levels).abs().amin(-1)


def snapshot(batch: int) -> Snapshot:
    return Snapshot(batch=batch, passes=batch, example_passes=10 * batch, state={})


def test_a_point_holds_what_brute_force_finds(make_task: Any) -> None:
    """Of a network so small that its whole Hessian can be written down."""
    task: Any = load_task(make_task(parameters="parameters = { width = 2, depth = 1 }").folder)
    problem = task.prepare(Seeds("a", "toy", 0))
    (start,) = problem.starts
    here = {name: 2 * weights for name, weights in start.items()}
    moved = {name: weights + 0.01 * weights.sign() for name, weights in here.items()}
    run = [Snapshot(4, 4, 40, here), Snapshot(5, 5, 50, moved)]
    point, end = measured(task, problem, run)
    assert (end.batch, end.update_sharpness) == (5, None)
    assert (point.batch, point.example_passes, point.norm_growth) == (4, 40, 2)

    model = task.restore(problem, here).double()
    names, shapes = zip(*((n, w.shape) for n, w in model.named_parameters()), strict=True)
    flat = torch.cat([here[name].double().flatten() for name in names])
    inputs, targets = problem.train["inputs"].double(), problem.train["targets"]

    def losses(weights: Tensor) -> Tensor:
        parts = weights.split([shape.numel() for shape in shapes])
        state = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        outputs = torch.func.functional_call(model, state, (inputs,))
        return cross_entropy(outputs, targets, reduction="none")

    hessian = torch.autograd.functional.hessian(lambda w: losses(w).mean(), flat)
    update = torch.cat([moved[name].double().flatten() for name in names]) - flat
    along = update @ hessian @ update / (update @ update)
    gradients = torch.autograd.functional.jacobian(losses, flat)  # of 200 examples
    coherence = gradients.sum(0).square().sum() / gradients.square().sum()
    batches = gradients[:160].view(16, 10, -1).mean(1).norm(dim=1)
    assert point.train_loss == pytest.approx(float(losses(flat).mean()), rel=1e-5)
    assert point.top_eigenvalue == pytest.approx(
        float(torch.linalg.eigvalsh(hessian)[-1]), rel=0.01
    )
    assert point.update_sharpness == pytest.approx(float(along), rel=1e-5)
    assert point.coherence == pytest.approx(float(coherence), rel=1e-5)
    assert point.clipped_share == float((batches > diagnosis.CLIP).double().mean())
    with torch.no_grad():
        predicted = model(problem.sealed["test_inputs"].double()).argmax(1)
    assert point.predictions == predicted.tolist()
    right = predicted == problem.sealed["test_targets"]
    assert point.test_score == pytest.approx(float(right.double().mean()))


def test_an_update_is_what_one_batch_changes() -> None:
    found = [
        (a.batch, b and b.batch) for a, b in with_update([*map(snapshot, (4, 5, 8, 12, 13, 14))])
    ]
    assert found == [(4, 5), (8, None), (12, 13), (14, None)]
    assert list(with_update([])) == []


def test_the_end_of_a_run_is_measured_even_where_it_is_an_update() -> None:
    """A budget of 301 batches, or of 250 for a method of two passes a batch."""
    found = [(a.batch, b and b.batch) for a, b in with_update([*map(snapshot, (8, 9, 300, 301))])]
    assert found == [(8, 9), (300, 301), (301, None)]


def test_thresholds_end_with_the_budget_and_let_multiples_of_passes_meet(make_task: Any) -> None:
    for batches in (3, 24, 1000):
        budget = make_task(batches=batches).card.budget
        spent = diagnosis.thresholds(budget)
        assert spent == sorted(set(spent)) and spent[-1] == 10 * batches
        assert len(spent) <= diagnosis.MAX_SNAPSHOTS
        assert all(s % 40 in (0, 1) for s in spent[:-1])
    assert spent[:2] == [80, 81]  # about 1 % of 1000 batches


STILL = """\
from torch.optim import SGD
from assay.method import Method


class Still(Method):
    def configure_optimizer(self, model):
        return SGD(model.parameters(), lr=0.0)

    def lr_factor(self, elapsed):
        return 1.0
"""
RAISES = """\
from assay.method import Method


class Raises(Method):
    def transform_batch(self, batch):
        raise ValueError("no")
"""


def done(pool: Pool, task: Any, method: Any) -> RunRecord:
    """The record of a run at the method's defaults, done now."""
    cell = make_cells([(task, method)], pool)[0]
    return pool.run(cell.job(cell.spec(0, 0, cell.points(0)[0])), "assay run")


def test_a_recorded_run_is_done_again_and_measured(pool: Pool, make_task: Any) -> None:
    task, method = make_task(), find_method("sgd")
    record = done(pool, task, method)
    found = diagnoses.diagnosis(pool, task, method, record)
    assert (found.id, found.spec) == (diagnosis.diagnosis_id(record.spec), record.spec)
    assert found.same_weights
    assert [point.batch for point in found.points] == [4, 8, 12, 16, 24]
    lr = float(record.spec.hyperparameters["lr"])
    assert [point.lr for point in found.points] == pytest.approx(
        [lr * (1 - batch / 24) for batch in (4, 8, 12, 16, 24)]
    )
    last = found.points[-1]
    assert record.result and last.test_score == record.result.test_last
    assert [point.update_sharpness is None for point in found.points] == [*[False] * 4, True]
    assert record.checks and last.norm_growth
    (moved,) = record.checks.weight_distances
    assert moved and abs(last.norm_growth - 1) <= moved * 1.001  # the triangle inequality
    assert all(len(point.predictions) == 100 for point in found.points)


@pytest.mark.parametrize("slug", ["sam", "schedule_free"])
def test_an_update_is_found_after_every_point_but_the_last(
    slug: str, pool: Pool, make_task: Any
) -> None:
    """Of two passes a batch, too, and where other weights are scored than trained."""
    task, method = make_task(), find_method(str(ROOT / "tests" / "plugins" / slug))
    found = diagnoses.diagnosis(pool, task, method, done(pool, task, method))
    assert found.same_weights == (slug == "sam")  # taking weights rounds the other's
    updated = [point.update_sharpness is not None for point in found.points]
    assert updated == [*[True] * (len(updated) - 1), False] and len(updated) == 5


def test_a_network_that_stays_is_measured_as_it_started(
    pool: Pool, make_task: Any, make_method: Any
) -> None:
    task, method = make_task(), make_method("still", STILL)
    found = diagnoses.diagnosis(pool, task, method, done(pool, task, method))
    first, *others = found.points
    assert first.norm_growth == 1
    assert (first.lr, first.stability, first.update_sharpness) == (None, None, None)
    for point in others:
        where = {"batch": first.batch, "example_passes": first.example_passes}
        assert point.model_copy(update=where) == first


def test_a_run_that_ends_otherwise_than_its_record_is_no_diagnosis(
    pool: Pool, make_task: Any, make_method: Any
) -> None:
    task, method = make_task(), make_method("raises", RAISES)
    record = done(pool, task, method)
    assert record.status == "failed"
    with pytest.raises(RecordError, match="ended otherwise than its record, failed: ValueError"):
        diagnoses.diagnosis(pool, task, method, record)


def test_snapshots_that_were_not_asked_for_are_bad_weights(
    pool: Pool, make_task: Any, tmp_path: Path
) -> None:
    def entry(batch: int) -> SnapshotEntry:
        counts = {"batch": batch, "passes": batch, "example_passes": batch}
        return SnapshotEntry(n_bytes=200, start=0, seconds=0, train_loss=None, **counts)

    def asked(n: int) -> Diagnosed:
        own = {"task": make_task().folder, "repetition": 0, "seed_root": "a", "folder": tmp_path}
        snapshots = [entry(batch + 1) for batch in range(n)]
        return pool.ask_scorer(Diagnose(**own, snapshots=snapshots), Diagnosed)

    with pytest.raises(BadWeights, match="30 snapshots, expected at most 29"):
        asked(30)
    with pytest.raises(BadWeights, match="cannot be read"):
        asked(1)
    with pytest.raises(BadWeights, match="no snapshots"):
        asked(0)


def test_the_best_run_of_each_repetition_is_taken_if_all_methods_have_one(
    fake_pool: Any, make_cell: Any, make_task: Any, make_method: Any
) -> None:
    task, method = make_task(), make_method("mine", "a = 1\n")
    cell = make_cell(task, method, n_repetitions=3)
    runs = [fake_pool(share_diverged=0).run(cell.job(s), "assay run") for s in cell.specs.values()]
    best = diagnoses.best_runs(task, method, runs)
    assert sorted(best) == [0, 1, 2]
    for repetition, run in best.items():
        vals = [r.result.val for r in runs if r.spec.repetition == repetition]
        assert run.result and run.result.val == max(vals)
    hidden = [r.model_copy(update={"spec": r.spec.model_copy(update={"epoch": "e"})}) for r in runs]
    assert diagnoses.best_runs(task, method, hidden) == {}
    diverged = [r.model_copy(update={"status": "diverged", "result": None}) for r in runs]
    assert diagnoses.best_runs(task, method, diverged) == {}
    method.source.write_text("a = 2\n")
    assert diagnoses.best_runs(task, method, runs) == {}
    both = {"mine": best, "other": {2: best[2], 1: best[1]}}
    assert diagnoses.common(both, 1) == [best[1], best[1]]
    with pytest.raises(AssayError, match="mine, other have no repetition in common"):
        diagnoses.common({"mine": best, "other": {}}, 1)


@pytest.mark.parametrize(
    ("hooks", "values", "lr"),
    [
        (["configure_optimizer"], {"lr": 0.5, "reference.lr": 0.1}, 0.5),
        (["compute_loss"], {"reference.lr": 0.1}, 0.1),
        (["lr_factor"], {"lr": 0.5}, None),
        (["configure_optimizer"], {"lr": "fast"}, None),
        ([], {}, None),
    ],
)
def test_a_learning_rate_is_told_where_the_spec_has_one(
    hooks: list[str], values: dict[str, Any], lr: float | None
) -> None:
    assert diagnoses.base_lr(make_spec(hyperparameters=values), hooks) == lr
