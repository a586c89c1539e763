"""Toys: a tiny task of each family, on which `assay check` tries a method out in a second.

Their cards are made here and lie in no folder, so toys appear in no list and in no record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from assay.cards import Access, Family, TaskCard
from assay.space import Value
from assay.task import Seeds, Task, Tensors
from assay.untrusted.weights import write_tensors

N_BATCHES, N_POINTS = 64, 4
TOY_ACCESS: list[Access] = ["sample_indices", "class_counts", "noise_rate"]
TOY_DIMENSION = 6
_DIGITS = {"name": "digits", "source": "scikit-learn", "licence": "CC BY 4.0"}
_BREAST_CANCER = {"name": "breast_cancer", "source": "scikit-learn", "licence": "CC BY 4.0"}
_RECIPES: Mapping[Family, dict[str, Value]] = {
    "classification": {},
    "functions": {
        "dimension": TOY_DIMENSION,
        "n_starts": 1,
        "start_low": -2.0,
        "start_high": 2.0,
        "shift": 1.0,
        "minimum": 0.0,
        "basin_gap": 1e-3,
        "gap_floor": 1e-8,
    },
    "noisy_labels": {"noise": "symmetric", "noise_rate": 0.4},
    "class_imbalance": {"profile": "exponential", "ratio": 5.0},
    "quantization": {
        "weight_bits": 4,
        "activation_bits": 4,
        "pretrain_batches": 60,
        "pretrain_lr": 0.1,
    },
}
_MLP = {"name": "mlp", "parameters": {"width": 16, "depth": 2}}
_CNN = {"name": "cnn", "parameters": {"width": 4, "blocks": 2, "batch_norm": True}}


def toy_card(
    family: Family, *, binary: bool = False, requires: Mapping[str, Sequence[Value]] | None = None
) -> TaskCard:
    """The card of a family's toy.

    Args:
        family: which one.
        binary: two classes (breast cancer data) instead of ten (digits).
        requires: keys of the recipe with the values the method is defined for; the toy has the
            first of each.
    """
    recipe = dict(_RECIPES[family])
    recipe |= {key: values[0] for key, values in (requires or {}).items() if key in recipe}
    functions = family == "functions"
    largest = {"largest": 80} if binary else {"largest": 60}
    imbalanced = family == "class_imbalance"
    # Breast cancer data are vectors, which convolutions do not take.
    convolutional = family in ("class_imbalance", "quantization") and not binary
    card: dict[str, Any] = {
        "slug": f"toy_{family}",
        "version": 1,
        "title": f"Toy of {family}",
        "summary": "Small: shows that a method runs, not how good it is.",
        "family": family,
        "tier": "lite",
        "n_classes": 0 if functions else 2 if binary else 10,
        "reference": "sgd",
        "access": TOY_ACCESS,
        "dataset": {**_DIGITS, "name": "none"}
        if functions
        else _BREAST_CANCER
        if binary
        else _DIGITS,
        "split": {} if functions else {"val": 100, "test": 100},
        "model": {"name": "function"} if functions else _CNN if convolutional else _MLP,
        "recipe": recipe,
        "metric": {
            "name": "anytime" if functions else "accuracy",
            "direction": "maximize",
            "chance": 0.0 if functions else 0.5 if binary else 0.1,
            "margin": 0.01,
        },
        "budget": {
            "batches": N_BATCHES,
            "batch_size": 1 if functions else 16,
            "seconds": 60,
        },
        "evaluation": {"points": N_POINTS},
    }
    if not functions:
        card["split"] |= largest if imbalanced else {"train": 240}
    return TaskCard(**card)


def toy_task(card: TaskCard) -> Task:
    """The task of a card from `toy_card`."""
    from assay.families.class_imbalance import ClassImbalance
    from assay.families.classification import Classification
    from assay.families.noisy_labels import NoisyLabels
    from assay.families.quantization import Quantization

    if card.family == "functions":
        return _toy_function(card)
    kinds: dict[str, type[Classification]] = {
        "classification": Classification,
        "noisy_labels": NoisyLabels,
        "class_imbalance": ClassImbalance,
        "quantization": Quantization,
    }
    return kinds[card.family](card)


def _toy_function(card: TaskCard) -> Task:
    from assay.families.functions import PointFunctions

    class ToyFunction(PointFunctions):
        """A bowl with curvatures 1..10, coupled neighbours and a little gradient noise."""

        def formula(self, z: Tensor) -> Tensor:
            curvature = torch.linspace(1, 10, len(z), dtype=z.dtype)
            return (curvature * z * z).sum() / 2 + ((z[1:] - z[:-1]) ** 2).sum() / 4

        def draw_noise(self, instance: Tensors, generator: Generator) -> Tensor:
            shape = (self.card.budget.batches, TOY_DIMENSION)
            return 0.01 * torch.randn(shape, generator=generator)

    return ToyFunction(card)


def make_toys(
    folder: Path,
    families: Sequence[Family],
    *,
    binary: bool,
    requires: Mapping[str, Sequence[Value]],
) -> None:
    """Draw one repetition of each family's toy and write it to `folder/<family>`.

    The scorer does this: no process that loads a method may see how the sealed part is drawn.

    Args:
        folder: exists.
        families: whose toys.
        binary: see `toy_card`.
        requires: see `toy_card`.
    """
    for family in families:
        card = toy_card(family, binary=binary, requires=requires)
        problem = toy_task(card).prepare(Seeds("toys", card.slug, 0))
        own = folder / family
        own.mkdir()
        (own / "card.json").write_text(card.model_dump_json())
        write_tensors(problem.train, own / "train")
        write_tensors(problem.starts[0], own / "start")
        write_tensors({"none": torch.zeros(1), **problem.sealed}, own / "sealed")
