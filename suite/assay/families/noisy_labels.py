"""Noisy labels: training and validation labels are corrupted alike, test labels are clean."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn

from assay.cards import TaskCard
from assay.errors import PluginError, UnknownName
from assay.families import metrics
from assay.families.classification import Classification
from assay.task import Problem, Seeds, Tensors

NOISES = ("symmetric", "asymmetric", "instance", "human")
CONFUSABLE: Mapping[str, Mapping[int, int]] = {
    "digits": {2: 7, 3: 8, 5: 6, 6: 5, 7: 1},
    "cifar10": {9: 1, 2: 0, 3: 5, 5: 3, 4: 7},
}
"""Asymmetric noise: the class that each class is taken for; classes not named keep their labels.

Patrini et al., "Making Deep Neural Networks Robust to Label Noise", CVPR 2017: 2 -> 7, 3 -> 8,
5 <-> 6, 7 -> 1 for handwritten digits; truck -> automobile, bird -> airplane, cat <-> dog,
deer -> horse for CIFAR-10.
"""
RATE_SD = 0.1
"""Spread of the examples' own flip rates under instance-dependent noise (Xia et al. 2020)."""


class NoisyLabels(Classification):
    """Classification with wrong labels among those given.

    Reads from the card, beside what Classification reads: `recipe.noise`, one of NOISES, and
    `recipe.noise_rate`, the share of all given labels that is wrong; for asymmetric noise also
    `recipe.flip_rate`, the share that is wrong in each class that CONFUSABLE names.

    Validation labels get the same noise as training labels: without clean labels to train on, there
    are none to select by. Sealed `clean_targets` are the true labels of the training
    examples. Human labels (Wei et al., ICLR 2022) are the same in every repetition.
    """

    def __init__(self, card: TaskCard) -> None:
        super().__init__(card)
        self.noise = str(card.recipe.get("noise"))
        if self.noise not in NOISES:
            raise UnknownName("noise", self.noise, NOISES)
        wanted = ("noise_rate", "flip_rate") if self.noise == "asymmetric" else ("noise_rate",)
        for name in wanted:
            rate = card.recipe.get(name)
            if not isinstance(rate, float) or not 0 <= rate <= 1:
                raise PluginError(
                    f"task {card.slug}: recipe.{name} must be a share, 0.0 to 1.0, got {rate!r}"
                )
        self.rate = float(card.recipe[wanted[-1]])
        if self.noise == "asymmetric" and card.dataset.name not in CONFUSABLE:
            raise PluginError(
                f"task {card.slug}: asymmetric noise is defined for {', '.join(CONFUSABLE)}, not "
                f"for {card.dataset.name}: choose another recipe.noise"
            )

    def corrupt(
        self, problem: Problem, published: Tensors, positions: Mapping[str, Tensor], seeds: Seeds
    ) -> Problem:
        """Replace the labels of train and val; the clean ones of train are sealed."""
        clean = problem.train["targets"]
        if self.noise == "human":
            if "human_targets" not in published:
                raise PluginError(
                    f"task {self.card.slug}: the data set {self.card.dataset.name} has no human "
                    "labels: choose another recipe.noise"
                )
            train, val = (published["human_targets"][positions[name]] for name in ("train", "val"))
        else:
            train = self._noisy(clean, problem.train["inputs"], seeds, "train")
            val = self._noisy(
                problem.sealed["val_targets"], problem.sealed["val_inputs"], seeds, "val"
            )
        return Problem(
            {**problem.train, "targets": train},
            problem.starts,
            {**problem.sealed, "val_targets": val, "clean_targets": clean},
        )

    def _noisy(self, targets: Tensor, inputs: Tensor, seeds: Seeds, part: str) -> Tensor:
        generator = Generator().manual_seed(seeds[f"noise/{part}"])
        if self.noise == "symmetric":
            return symmetric(targets, self.rate, self.n_classes, generator)
        if self.noise == "asymmetric":
            return asymmetric(targets, self.rate, CONFUSABLE[self.card.dataset.name], generator)
        features = self.decode(inputs).flatten(1)
        weights = torch.randn(
            (self.n_classes, features.shape[1], self.n_classes),
            generator=Generator().manual_seed(seeds["noise/weights"]),
        )
        return instance_dependent(targets, features, self.rate, weights, generator)

    def secondary(self, problem: Problem, model: nn.Module, logits: Tensor) -> dict[str, float]:
        """Log loss, and `memorisation`: corrupted train examples predicted as they are labelled.

        `memorisation` is left out where no label is corrupted.
        """
        given = problem.train["targets"]
        wrong = given != problem.sealed["clean_targets"]
        if not wrong.any():
            return super().secondary(problem, model, logits)
        predicted = metrics.predictions(self.logits(model, problem.train["inputs"][wrong]))
        memorisation = metrics.accuracy(predicted, given[wrong])
        return {**super().secondary(problem, model, logits), "memorisation": memorisation}


def symmetric(targets: Tensor, rate: float, n_classes: int, generator: Generator) -> Tensor:
    """Exactly round(rate * n_c) labels of each class c moved to another class, uniformly.

    The "exclusive" convention, T_ii = 1 - rate and T_ij = rate / (K - 1) (Han et al.,
    "Co-teaching", NeurIPS 2018): a flipped label is never the true one.

    Args:
        targets: (n,) true labels.
        rate: share of labels to flip, 0..1.
        n_classes: K.
        generator: what the flips and the new labels are drawn from.
    """
    noisy = targets.clone()
    for label in metrics.present(targets):
        chosen = _chosen(targets, label, rate, generator)
        steps = torch.randint(1, n_classes, chosen.shape, generator=generator)
        noisy[chosen] = (label + steps) % n_classes
    return noisy


def asymmetric(
    targets: Tensor, rate: float, confusable: Mapping[int, int], generator: Generator
) -> Tensor:
    """Exactly round(rate * n_c) labels of each class named in `confusable` moved as it says.

    Which labels move is decided by the true label alone, so that 5 -> 3 and 3 -> 5 do not undo each
    other (Patrini et al., CVPR 2017).
    """
    noisy = targets.clone()
    for label, taken_for in confusable.items():
        noisy[_chosen(targets, label, rate, generator)] = taken_for
    return noisy


def _chosen(targets: Tensor, label: int, rate: float, generator: Generator) -> Tensor:
    """Positions of round(rate * n_c) random examples of class `label`."""
    members = (targets == label).nonzero().squeeze(1)
    order = torch.randperm(len(members), generator=generator)
    return members[order[: round(rate * len(members))]]


def instance_dependent(
    targets: Tensor, features: Tensor, rate: float, weights: Tensor, generator: Generator
) -> Tensor:
    """Labels whose flips depend on the example (Xia et al., NeurIPS 2020, algorithm 2).

    Each example has its own flip rate q ~ N(rate, 0.1^2) truncated to 0..1; where it flips, the
    new class is drawn from softmax(x W_y) over the other classes. Here x is standardised; the
    authors' code takes raw pixels, whose softmax is one-hot.

    Args:
        targets: (n,) true labels.
        features: (n, d) standardised inputs x.
        rate: mean flip rate, 0..1.
        weights: (K, d, K), i.i.d. N(0, 1); W_y belongs to true class y.
        generator: what the rates and labels are drawn from.
    """
    low, high = torch.special.ndtr(torch.tensor([-rate, 1 - rate]).double() / RATE_SD)
    quantiles = torch.rand(len(targets), generator=generator, dtype=torch.float64)
    rates = rate + RATE_SD * torch.special.ndtri(low + (high - low) * quantiles)
    noisy = targets.clone()
    for label in metrics.present(targets):
        members = (targets == label).nonzero().squeeze(1)
        scores = features[members].double() @ weights[label].double()
        scores[:, label] = -torch.inf
        chances = rates[members, None] * scores.softmax(1)
        chances[:, label] = 1 - rates[members]
        drawn = torch.multinomial(chances.clamp(min=0), 1, generator=generator)
        noisy[members] = drawn.squeeze(1)
    return noisy
