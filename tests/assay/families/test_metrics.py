from __future__ import annotations

import math

import pytest
import torch
from assay.families import metrics
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score
from sklearn.metrics import log_loss as sklearn_log_loss

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(LABELS)
def test_metrics_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predicted, targets = (torch.tensor(values) for values in zip(*pairs, strict=True))
    present = metrics.present(targets)
    expected_f1 = f1_score(targets, predicted, labels=present, average="macro", zero_division=0)
    expected_recalls = recall_score(targets, predicted, labels=present, average=None)
    assert metrics.accuracy(predicted, targets) == pytest.approx(accuracy_score(targets, predicted))
    assert metrics.macro_f1(predicted, targets) == pytest.approx(expected_f1)
    assert list(metrics.recalls(predicted, targets).values()) == pytest.approx(expected_recalls)
    assert metrics.balanced_accuracy(predicted, targets) == pytest.approx(
        sum(expected_recalls) / len(present)
    )


def test_balanced_accuracy_agrees_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, targets = torch.randint(7, (2, 200), generator=generator)
    assert metrics.balanced_accuracy(predicted, targets) == pytest.approx(
        balanced_accuracy_score(targets, predicted)
    )


def test_log_loss_agrees_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((50, 4), generator=generator, dtype=torch.float64)
    targets = torch.randint(4, (50,), generator=generator)
    assert metrics.log_loss(logits, targets) == pytest.approx(
        sklearn_log_loss(targets, logits.softmax(1), labels=range(4))
    )


def test_what_is_not_finite_is_wrong_and_stays_finite() -> None:
    logits = torch.tensor([[0.0, math.nan], [math.inf, 0.0], [0.0, 1.0]])
    targets = torch.tensor([1, 0, 1])
    assert metrics.predictions(logits).tolist() == [-1, -1, 1]
    assert metrics.accuracy(metrics.predictions(logits), targets) == pytest.approx(1 / 3)
    assert math.isfinite(metrics.log_loss(logits, targets))
    assert metrics.log_loss(torch.tensor([[0.0, 1e9]]), torch.tensor([0])) == 100
