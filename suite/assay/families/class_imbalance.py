"""Class imbalance: some classes have few training examples; val and test have enough of each."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from assay.cards import TaskCard
from assay.errors import PluginError, UnknownName
from assay.families import metrics
from assay.families.classification import Classification, stratified_order
from assay.task import Problem, Seeds, Tensors

PROFILES = ("exponential", "step")


class ClassImbalance(Classification):
    """Classification with few training examples of some classes.

    Reads from the card, beside `dataset`, `model` and `recipe.augment`: `split.largest`, training
    examples of the largest class; `split.val` and, where the publisher defines no test set,
    `split.test`, which keep the published proportions of classes; `recipe.profile`, one of
    PROFILES; `recipe.ratio`, largest over smallest class; `recipe.permute`, whether every
    repetition draws anew which classes are large (otherwise class 0 is the largest, as published).

    Validation is not imbalanced: with a handful of examples of a class, selection would be luck.
    """

    def __init__(self, card: TaskCard) -> None:
        super().__init__(card)
        profile, ratio = str(card.recipe.get("profile")), card.recipe.get("ratio")
        if profile not in PROFILES:
            raise UnknownName("profile", profile, PROFILES)
        if not isinstance(ratio, (int, float)) or ratio < 1:
            raise PluginError(f"task {card.slug}: recipe.ratio must be at least 1, got {ratio!r}")
        self.profile, self.ratio = profile, float(ratio)

    def split(self, published: Tensors, seeds: Seeds) -> dict[str, Tensor]:
        """Val and test as in Classification; of the rest, the profile's number of each class.

        Raises:
            PluginError: too few examples of a class are left beside val and test, or the profile
                leaves a class without any.
        """
        targets = published["targets"]
        names = ("val",) if "test_inputs" in published else ("test", "val")
        self._expect_split((*names, "largest"))
        counts = class_counts(
            self.profile,
            largest=int(self.card.split["largest"]),
            ratio=self.ratio,
            n_classes=self.n_classes,
        )
        if min(counts) < 1:
            raise PluginError(
                f"task {self.card.slug}: the card leaves the smallest class without a training "
                "example: choose a larger split.largest or a smaller recipe.ratio"
            )
        order = stratified_order(targets, Generator().manual_seed(seeds["split"]))
        parts = self._slices(order, names)
        rest = order[sum(len(part) for part in parts.values()) :]
        chosen: list[Tensor] = []
        for label, wanted in zip(self._classes(seeds), counts, strict=True):
            members = rest[targets[rest] == label]
            if len(members) < wanted:
                raise PluginError(
                    f"task {self.card.slug}: the card takes {wanted} training examples of class "
                    f"{label}, but {len(members)} are left beside val and test"
                )
            chosen.append(members[:wanted])
        return {**parts, "train": torch.cat(chosen)}

    def _classes(self, seeds: Seeds) -> list[int]:
        """Classes from the largest to the smallest."""
        if not self.card.recipe.get("permute"):
            return list(range(self.n_classes))
        generator = Generator().manual_seed(seeds["imbalance"])
        return [int(label) for label in torch.randperm(self.n_classes, generator=generator)]

    def secondary(self, problem: Problem, model: nn.Module, logits: Tensor) -> dict[str, float]:
        """Log loss, macro F1, the worst class's recall and mean recalls by class size.

        `many`, `medium` and `few` are the thirds of the range of class sizes on a log scale; one
        that holds no class is left out.
        """
        targets = problem.sealed["test_targets"]
        predicted = metrics.predictions(logits)
        recalls = metrics.recalls(predicted, targets)
        sizes = problem.train["targets"].bincount(minlength=self.n_classes).tolist()
        groups: dict[str, list[float]] = {}
        for label, recall in recalls.items():
            groups.setdefault(size_group(sizes[label], max(sizes), min(sizes)), []).append(recall)
        return {
            **super().secondary(problem, model, logits),
            "macro_f1": metrics.macro_f1(predicted, targets),
            "worst_class": min(recalls.values()),
            **{name: sum(found) / len(found) for name, found in sorted(groups.items())},
        }


def class_counts(profile: str, *, largest: int, ratio: float, n_classes: int) -> list[int]:
    """Training examples per class, largest class first.

    "exponential": n_c = int(largest * ratio^(-c / (K - 1))), c = 0..K-1 (Cui et al., CVPR 2019;
    code of Cao et al., NeurIPS 2019). "step": the first half of the classes has `largest`, the
    other half int(largest / ratio) (Buda et al., Neural Networks 2018).
    """
    if profile == "step":
        n_large = n_classes // 2
        return [largest] * n_large + [int(largest / ratio)] * (n_classes - n_large)
    smallest = 1 / ratio  # as the authors' code has it: other orders of rounding differ by one
    return [int(largest * smallest ** (c / (n_classes - 1))) for c in range(n_classes)]


def size_group(size: int, largest: int, smallest: int) -> str:
    """The third of the range smallest..largest, on a log scale, in which `size` lies."""
    third = (largest / smallest) ** (1 / 3)
    if size > largest / third:
        return "many"
    return "few" if size <= smallest * third else "medium"
