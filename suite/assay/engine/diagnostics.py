"""What a trained network is like beyond its score: measured by the scorer, from weights alone.

Nothing here asks the method, whose process has ended: a number that it could choose is worth
nothing. So it is not told which updates the method itself clipped, but how many batches have a
gradient longer than CLIP; and an update is what the weights to be scored changed by in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from assay.engine.curvature import TrainingLoss, curvature_along, top_eigenvalue
from assay.families import metrics
from assay.families.classification import Classification
from assay.quantization import NearestWeights
from assay.records.diagnosis import CLIP, MeasuredPoint
from assay.records.schema import MAX_NUMBER
from assay.task import Problem, Snapshot, Tensors

SCORED, PREDICTED = 2000, 1000
"""Most examples of train and of test on which losses and scores are taken, and of test whose
predicted classes are kept."""
EXAMPLES, BATCHES = 256, 16
"""Most training examples whose gradients and Hessian are taken, and batches for `clipped_share`."""


def measured(
    task: Classification, problem: Problem, snapshots: Sequence[Snapshot]
) -> list[MeasuredPoint]:
    """The measures of a run's snapshots, in order.

    A snapshot one batch after the one before tells the update made there, and is not measured
    itself unless it is the last. One whose training loss is not finite is left out.
    """
    points = (_Measure(task, problem, here).point(after) for here, after in with_update(snapshots))
    return [point for point in points if point is not None]


def with_update(snapshots: Sequence[Snapshot]) -> Iterator[tuple[Snapshot, Snapshot | None]]:
    """Each snapshot with the one a single batch later, if there is one.

    That one is passed by, but for the last: it is the end of the run.
    """
    waiting = list(reversed(snapshots))
    while waiting:
        here = waiting.pop()
        if not waiting or waiting[-1].batch != here.batch + 1:
            yield here, None
        else:
            yield here, waiting.pop() if len(waiting) > 1 else waiting[-1]


class _Measure:
    """One snapshot of a run on a labelled task."""

    def __init__(self, task: Classification, problem: Problem, snapshot: Snapshot) -> None:
        self.task, self.problem, self.snapshot = task, problem, snapshot
        self.model = task.restore(problem, snapshot.state)
        self.metric = metrics.METRICS[task.card.metric.name]
        train, sealed = problem.train, problem.sealed
        self.train = train["inputs"][:SCORED], train["targets"][:SCORED]
        self.test = sealed["test_inputs"][:SCORED], sealed["test_targets"][:SCORED]

    def point(self, following: Snapshot | None) -> MeasuredPoint | None:
        """All measures; `following` holds the weights one batch later."""
        train_loss, train_score, _ = self._scored(self.model, *self.train)
        test_loss, test_score, predicted = self._scored(self.model, *self.test)
        if not math.isfinite(train_loss):
            return None
        here, begin = self._flat(self.snapshot.state), self._flat(self.problem.starts[0])
        update = None if following is None else self._flat(following.state) - here
        loss = self._loss(EXAMPLES)
        noise_scale, coherence = gradient_statistics(loss)
        along = None if update is None else curvature_along(loss.hessian_product, update)
        return MeasuredPoint(
            batch=self.snapshot.batch,
            example_passes=self.snapshot.example_passes,
            train_loss=float(f"{train_loss:.6g}"),
            test_loss=_number(test_loss),
            train_score=train_score,
            test_score=test_score,
            norm_growth=_number(float(here.norm() / begin.norm())),
            top_eigenvalue=_number(top_eigenvalue(loss.hessian_product, loss.n_weights)),
            update_sharpness=_number(along),
            noise_scale=_number(noise_scale),
            coherence=_number(coherence),
            clipped_share=clipped_share(self._loss(BATCHES * self._batch_size), self._batch_size),
            effective_rank=_number(effective_rank(self.model)),
            int8_drop=self._drop(8, test_score),
            int4_drop=self._drop(4, test_score),
            predictions=predicted[:PREDICTED].tolist(),
        )

    @property
    def _batch_size(self) -> int:
        return self.task.card.budget.batch_size

    def _loss(self, n: int) -> TrainingLoss:
        """The loss of the first `n` training examples, whose stored order is random."""
        inputs, targets = (self.problem.train[key][:n] for key in ("inputs", "targets"))
        model = self.task.restore(self.problem, self.snapshot.state)  # to become one of float64
        return TrainingLoss(model, self.task.loss, self.task.decode(inputs), targets)

    def _scored(
        self, model: nn.Module, inputs: Tensor, targets: Tensor
    ) -> tuple[float, float, Tensor]:
        """Mean loss, score and predicted classes (n,) of stored inputs."""
        logits = self.task.logits(model, inputs)
        predicted = metrics.predictions(logits)
        loss = float(self.task.loss(logits.double(), targets))
        return loss, self.metric(predicted, targets), predicted

    def _drop(self, bits: int, score: float) -> float:
        """How much worse the test score is with weights rounded to `bits` bits."""
        model = rounded(self.task.restore(self.problem, self.snapshot.state), bits)
        sign = 1.0 if self.task.card.metric.direction == "maximize" else -1.0
        return round(sign * (score - self._scored(model, *self.test)[1]), 9)

    def _flat(self, state: Tensors) -> Tensor:
        """(n_weights,): the trainable weights of a snapshot, in float64."""
        names = (name for name, _ in self.model.named_parameters())
        return torch.cat([state[name].double().flatten() for name in names])


def gradient_statistics(loss: TrainingLoss) -> tuple[float | None, float | None]:
    """Noise scale and m-coherence of the gradients g_i of single examples.

    Noise scale: tr(S) / |G|^2, where S is the covariance of g_i and G its mean: the batch size at
    which noise and signal are equal (McCandlish et al., arXiv 1812.06162, section 2.2). Both are
    estimated without bias, as in appendix A.1 with batches of one and of all n; None where the
    estimate of |G|^2 is not positive.
    m-coherence: |sum g_i|^2 / sum |g_i|^2, from 0 to n: how many examples one of them helps, 1 if
    gradients are orthogonal (Chatterjee & Zielinski, arXiv 2008.01217). None where all g_i are 0.
    """
    n = len(loss)
    total, squares = torch.zeros(loss.n_weights, dtype=torch.float64), 0.0
    for row in range(n):
        gradient = loss.gradient(slice(row, row + 1))
        total += gradient
        squares += float(gradient @ gradient)
    of_sum = float(total @ total)
    if n < 2 or not squares > 0:
        return None, None
    noise = (squares - of_sum / n) / (n - 1)
    signal = of_sum / n**2 - noise / n
    return noise / signal if signal > 0 else None, of_sum / squares


def clipped_share(loss: TrainingLoss, batch_size: int) -> float:
    """Share of the full batches of `loss`'s examples whose gradient is longer than CLIP."""
    starts = range(0, len(loss) - batch_size + 1, batch_size)
    norms = [float(loss.gradient(slice(at, at + batch_size)).norm()) for at in starts]
    return sum(norm > CLIP for norm in norms) / len(norms)


def has_batch_norm(model: nn.Module) -> bool:
    """Whether a layer of `model` treats an example otherwise in training than when it is scored."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


@torch.no_grad()
def effective_rank(model: nn.Module) -> float | None:
    """Effective rank of the weight matrices over the largest rank they can have, on average.

    exp(H(p)), where p are a matrix' singular values over their sum and H is the entropy (Roy &
    Vetterli, EUSIPCO 2007). A convolution (out, in, h, w) is a matrix (out, in h w); a matrix of
    zeros has rank 0. None where the model has no matrix.
    """
    shares = []
    for weight in model.parameters():
        if weight.dim() >= 2:
            values = torch.linalg.svdvals(weight.double().flatten(1))
            p = values / values.sum()
            rank = float(torch.special.entr(p).sum().exp()) if float(values.sum()) > 0 else 0.0
            shares.append(rank / len(values))
    return sum(shares) / len(shares) if shares else None


@torch.no_grad()
def rounded(model: nn.Module, bits: int) -> nn.Module:
    """`model` with every weight of two axes or more rounded to the nearest of 2^bits - 1 levels.

    Levels are symmetric, and as wide as each output channel needs (quantization.NearestWeights).
    """
    for weight in model.parameters():
        if weight.dim() >= 2:
            weight.copy_(NearestWeights(bits)(weight))
    return model


def _number(value: float | None) -> float | None:
    """Six digits of a number that a record can have; None of any other."""
    return float(f"{value:.6g}") if value is not None and abs(value) <= MAX_NUMBER else None
