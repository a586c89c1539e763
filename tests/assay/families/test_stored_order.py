"""What a worker receives tells no label, true or given, of train, val or test: neither the order in
which examples are stored, nor how tensors lie in memory and in their file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from assay.cards import TaskCard
from assay.families import classification
from assay.families.classification import Classification
from assay.untrusted.weights import write_tensors
from scipy.stats import binom
from torch import Tensor

from tests.assay.families.conftest import cards, load, needs_data, seeds

LABELLED = cards("classification", "noisy_labels", "class_imbalance", "quantization")
LITE = [card for card in LABELLED if card.tier == "lite"]
REPETITIONS = {"lite": 4, "standard": 1, "paper": 1}
LEVEL = 1e-6
"""Chance that one predictor of one kind of label looks informative though it is not: with some 500
of them, the file fails once in 2,000 choices of seeds. Seeds are fixed, so it does not flake."""


def hits(place: Tensor, labels: Tensor, turn: Tensor) -> tuple[int, int, float]:
    """Predict labels from a place, by the commonest label of the same place in the other half.

    Args:
        place: (n,) whole numbers, what the prediction is made from; -1 for none.
        labels: (n,) what is predicted.
        turn: (n,) how often the same place came before; odd and even ones are the two halves.

    Returns:
        How many were right, of how many, and the chance of each if the order were random.
    """
    known = place >= 0
    learn, judge = known & (turn % 2 == 0), known & (turn % 2 == 1)
    counts = torch.zeros(int(place.max()) + 1, int(labels.max()) + 1)
    counts.index_put_((place[learn], labels[learn]), torch.tensor(1.0), accumulate=True)
    predicted = counts.argmax(1)[place[judge]]
    # In random order, whatever is predicted is right as often as its label is found in this half.
    shares = labels[judge].bincount(minlength=counts.shape[1]).double() / int(judge.sum())
    right = int((predicted == labels[judge]).sum())
    return right, int(judge.sum()), float(shares[predicted].mean())


def places(labels: Tensor, n_classes: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What a method could read off the stored order: a name, the place and its turn."""
    n = len(labels)
    index = torch.arange(n)
    for period in (n_classes, 2 * n_classes):
        yield f"index mod {period}", index % period, index // period
    for block in (6, -(-n // n_classes)):
        yield f"index // {block}", index // block, index
    for lag in (1, n_classes):
        before = torch.cat([torch.full((lag,), -1), labels[: n - lag]])
        # Halves of whole stretches: alternating ones would share their neighbours.
        yield f"the label {lag} before", before, index * 16 // n


def layout(tensors: Mapping[str, Tensor]) -> dict[str, tuple[object, ...]]:
    """All about tensors but their values, and the size of their memory beyond the values."""
    return {
        name: (
            tuple(value.shape),
            value.dtype,
            value.stride(),
            value.storage_offset(),
            value.untyped_storage().nbytes() - value.numel() * value.element_size(),
        )
        for name, value in tensors.items()
    }


def p_values(task: Classification, repetitions: int) -> dict[str, float]:
    """Chance of at least so many right predictions, if the order were random.

    Repetitions have other labels: only their tensors' values may differ, and no memory is left over
    between them.
    """
    layouts = []
    found: dict[str, list[tuple[int, int, float]]] = {}
    for repetition in range(repetitions):
        # Not of Quantization, which would train a float network here.
        problem = Classification.prepare(task, seeds(repetition))
        layouts.append(layout(problem.train))
        kinds = {
            "given": problem.train["targets"],
            "true": problem.sealed.get("clean_targets", problem.train["targets"]),
            "val": problem.sealed["val_targets"],
            "test": problem.sealed["test_targets"],
        }
        kinds["wrong"] = (kinds["given"] != kinds["true"]).long()
        for kind, labels in kinds.items():
            for name, place, turn in places(labels, task.n_classes):
                found.setdefault(f"{kind}: {name}", []).append(hits(place, labels, turn))
    assert all(one == layouts[0] for one in layouts)
    assert all(padding == offset == 0 for *_, offset, padding in layouts[0].values())
    values: dict[str, float] = {}
    for name, parts in found.items():
        right, n = sum(part[0] for part in parts), sum(part[1] for part in parts)
        chance = sum(part[1] * part[2] for part in parts) / n
        values[name] = float(binom.sf(right - 1, n, min(chance, 1.0)))
    return values


@pytest.mark.parametrize("card", LABELLED, ids=lambda card: card.slug)
def test_position_predicts_no_label(card: TaskCard) -> None:
    needs_data(card)
    task = load(card)
    assert isinstance(task, Classification)
    found = p_values(task, REPETITIONS[card.tier])
    assert len(found) == 30
    assert {name: p for name, p in found.items() if p < LEVEL} == {}


@pytest.mark.parametrize("card", LITE[:1] + LITE[-1:], ids=lambda card: card.slug)
def test_size_and_header_of_the_file_tell_no_label(card: TaskCard, tmp_path: Path) -> None:
    """A worker's copy has the name "train", the rights and the time of its making."""
    needs_data(card)
    task = load(card)
    assert isinstance(task, Classification)
    headers = set()
    for repetition in range(2):
        path = tmp_path / str(repetition)
        write_tensors(Classification.prepare(task, seeds(repetition)).train, path)
        data = path.read_bytes()
        headers.add((len(data), data[: 8 + int.from_bytes(data[:8], "little")]))
    assert len(headers) == 1


@pytest.mark.parametrize("card", LITE, ids=lambda card: card.slug)
def test_without_the_permutation_it_does(card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_data(card)
    monkeypatch.setattr(classification, "_shuffled", lambda positions, seed: positions)
    task = load(card)
    assert isinstance(task, Classification)
    found = p_values(task, REPETITIONS[card.tier])
    val = Classification.prepare(task, seeds()).sealed["val_targets"]
    # Predictors name the commonest label of a place: they cannot see a class that is rare in val.
    rare = int(val.bincount().max()) > 0.9 * len(val)
    for kind in ("given", "true") if rare else ("given", "true", "val", "test"):
        assert min(p for name, p in found.items() if name.startswith(kind)) < LEVEL
