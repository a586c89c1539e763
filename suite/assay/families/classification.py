"""Classification: one labelled data set, one network, accuracy on held-out examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import SGD, Optimizer

from assay import data, models
from assay.cards import TaskCard
from assay.errors import PluginError, UnknownName
from assay.families import metrics, overflow
from assay.space import Hyperparameters, LogUniform
from assay.task import Problem, Scores, Seeds, Snapshot, Task, Tensors

SCORING_BATCH = 500
CROP_PADDING = 4


class Classification(Task):
    """A labelled data set, which every repetition splits anew.

    Reads from the card: `dataset.name`; `split.train`, `split.val` and, where the publisher
    defines no test set, `split.test` (numbers of examples, stratified by class); `model`;
    `recipe.augment` ("crop_flip"); `metric.name`.

    Images stay uint8 until `decode` standardises them by the published channel constants. Other
    inputs are standardised in `prepare`, by the mean and sd of the training examples.
    """

    class Reference(Hyperparameters):
        """SGD with Nesterov momentum 0.9."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: Annotated[float, LogUniform(1e-6, 1e-2)] = 5e-4

    def __init__(self, card: TaskCard) -> None:
        super().__init__(card)
        self.dataset = data.dataset(card.dataset.name)
        if card.n_classes != self.dataset.n_classes:
            raise PluginError(
                f"task {card.slug}: the card has {card.n_classes} classes, its data set "
                f"{card.dataset.name} has {self.dataset.n_classes}"
            )
        if card.metric.name not in metrics.METRICS:
            raise UnknownName("metric", card.metric.name, metrics.METRICS)
        self.augmentation = card.recipe.get("augment", "none")
        if self.augmentation not in ("none", "crop_flip"):
            raise UnknownName("augmentation", str(self.augmentation), ("none", "crop_flip"))

    @property
    def n_classes(self) -> int:
        """Classes of the data set."""
        return self.dataset.n_classes

    def prepare(self, seeds: Seeds) -> Problem:
        """Split, standardise, corrupt and initialise one repetition.

        Raises:
            DataError: a file of the data set is missing or not the published one.
            PluginError: the card's split does not fit the data set.
        """
        published = data.load(self.card.dataset.name)
        positions = self.positions(published, seeds)
        problem = self.corrupt(_gathered(published, positions), published, positions, seeds)
        start = self._network(problem.train, Generator().manual_seed(seeds["init"]))
        return Problem(problem.train, [start.state_dict()], problem.sealed)

    def positions(self, published: Tensors, seeds: Seeds) -> dict[str, Tensor]:
        """Positions of `train`, `val` and `test` in the published order.

        Each part is in random order: a stored order that depends on labels would tell a method
        the true labels of its training examples. An official test set is a part of its own, whose
        positions count from its own first example.
        """
        parts = self.split(published, seeds)
        if "test_targets" in published:
            parts["test"] = torch.arange(len(published["test_targets"]))
        return {name: _shuffled(part, seeds[f"order/{name}"]) for name, part in parts.items()}

    def split(self, published: Tensors, seeds: Seeds) -> dict[str, Tensor]:
        """Disjoint positions of `train`, `val` and, where the publisher defines none, `test`.

        The parts are stratified (see `stratified_order`), and their order tells the classes.
        """
        names = ("val", "train") if "test_inputs" in published else ("test", "val", "train")
        self._expect_split(names)
        order = stratified_order(published["targets"], Generator().manual_seed(seeds["split"]))
        return self._slices(order, names)

    def _expect_split(self, names: Sequence[str]) -> None:
        if sorted(names) != sorted(self.card.split):
            raise PluginError(
                f"task {self.card.slug}: the card's split has {sorted(self.card.split)}, "
                f"expected {sorted(names)}"
            )
        for name in names:
            size = self.card.split[name]
            if size != int(size) or size < 1:
                raise PluginError(
                    f"task {self.card.slug}: split.{name} is {size} on the card, expected a whole "
                    "number of examples, at least 1"
                )

    def _slices(self, order: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Consecutive parts of `order`, as long as the card's split says."""
        sizes = [int(self.card.split[name]) for name in names]
        if sum(sizes) > len(order):
            raise PluginError(
                f"task {self.card.slug}: the card's split takes {sum(sizes)} examples, but "
                f"{self.card.dataset.name} has {len(order)} to split"
            )
        parts = torch.split(order, [*sizes, len(order) - sum(sizes)])
        return dict(zip(names, parts, strict=False))

    def corrupt(
        self, problem: Problem, published: Tensors, positions: Mapping[str, Tensor], seeds: Seeds
    ) -> Problem:
        """Change the given labels; families override it. Default: nothing."""
        return problem

    def build_model(self, train: Tensors) -> nn.Module:
        """The card's network; logits (n, classes)."""
        return self._network(train, None)

    def _network(self, train: Tensors, generator: Generator | None) -> nn.Module:
        return models.build(
            self.card.model.name,
            self.card.model.parameters,
            in_shape=train["inputs"].shape[1:],
            n_classes=self.n_classes,
            generator=generator,
        )

    def decode(self, inputs: Tensor) -> Tensor:
        """Images (n, channels, h, w) from uint8 to standardised float32; other inputs unchanged.

        Channels come last in memory, which speeds convolutions up on a CPU.
        """
        if inputs.dtype != torch.uint8:
            return inputs
        scale, shift = self._constants(inputs.device)
        floats = inputs.to(torch.float32, memory_format=torch.channels_last)
        return floats.mul_(scale).add_(shift)

    def _constants(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Factor and summand, (channels, 1, 1), from 0..255 to mean 0 and sd 1 per channel."""
        mean = torch.tensor(self.dataset.channel_mean, device=device).view(-1, 1, 1)
        sd = torch.tensor(self.dataset.channel_sd, device=device).view(-1, 1, 1)
        return 1 / (255 * sd), -mean / sd

    def augment(self, inputs: Tensor, generator: Generator) -> Tensor:
        """Zero-pad by 4, crop at random, flip half of the images (He et al. 2016, section 4.2)."""
        if self.augmentation == "none":
            return inputs
        black = self._constants(inputs.device)[1]
        return crop_and_flip(inputs, black, generator)

    def reference_optimizer(self, parameters: Iterable[Any], reference: Any) -> Optimizer:
        """SGD with Nesterov momentum 0.9 and L2 weight decay on every parameter."""
        return SGD(
            parameters,
            lr=reference.lr,
            momentum=0.9,
            nesterov=True,
            weight_decay=reference.weight_decay,
            fused=True,  # one kernel for all tensors: short steps are mostly overhead otherwise
        )

    def score(self, problem: Problem, runs: Sequence[Sequence[Snapshot]]) -> Scores:
        """Score every snapshot on val and test; select on val, the latest of equals."""
        (snapshots,) = runs
        sealed, metric = problem.sealed, metrics.METRICS[self.card.metric.name]
        curve: list[dict[str, float]] = []
        test_logits: list[Tensor] = []
        for snapshot in snapshots:
            model = self.restore(problem, snapshot.state)
            val = metrics.predictions(self.logits(model, sealed["val_inputs"]))
            test_logits.append(self.logits(model, sealed["test_inputs"]))
            test = metrics.predictions(test_logits[-1])
            curve.append(
                {
                    "batch": snapshot.batch,
                    "passes": snapshot.passes,
                    "val": metric(val, sealed["val_targets"]),
                    "test": metric(test, sealed["test_targets"]),
                }
            )
        selected = max(range(len(curve)), key=lambda index: (curve[index]["val"], index))
        model = self.restore(problem, snapshots[selected].state)
        return Scores(
            val=curve[selected]["val"],
            test=curve[selected]["test"],
            test_last=curve[-1]["test"],
            test_oracle=max(point["test"] for point in curve),
            selected=selected,
            curve=curve,
            secondary=self.secondary(problem, model, test_logits[selected]),
        )

    def restore(self, problem: Problem, state: Tensors) -> nn.Module:
        """The network that a snapshot's tensors describe, in eval mode."""
        model = self.build_model(problem.train)
        model.load_state_dict(dict(state))
        return model.eval()

    def secondary(self, problem: Problem, model: nn.Module, logits: Tensor) -> dict[str, float]:
        """Further metrics of the selected `model`, whose logits on test are given."""
        return {"log_loss": metrics.log_loss(logits, problem.sealed["test_targets"])}

    @torch.inference_mode()
    def logits(self, model: nn.Module, inputs: Tensor) -> Tensor:
        """The model's outputs (n, classes) for stored inputs; NaN where numbers overflow."""
        parts = torch.split(inputs, SCORING_BATCH)
        return overflow.outputs(model, (self.decode(part) for part in parts))


def stratified_order(targets: Tensor, generator: Generator) -> Tensor:
    """A random order of (n,) labels in which every consecutive part has all classes in proportion.

    Examples are sorted by the quantile of their random rank within their class, so that a part has
    equal numbers of classes of equal size, up to two.
    """
    places = torch.empty(len(targets), dtype=torch.float64)
    for label in metrics.present(targets):
        members = (targets == label).nonzero().squeeze(1)
        shuffled = members[torch.randperm(len(members), generator=generator)]
        offset = torch.rand((), generator=generator, dtype=torch.float64)
        ranks = torch.arange(len(members), dtype=torch.float64)
        places[shuffled] = (ranks + offset) / len(members)
    return places.argsort(stable=True)


def _shuffled(positions: Tensor, seed: int) -> Tensor:
    """The same positions (n,) in a random order, drawn from a seed that nothing else uses."""
    return positions[torch.randperm(len(positions), generator=Generator().manual_seed(seed))]


def crop_and_flip(images: Tensor, black: Tensor, generator: Generator) -> Tensor:
    """Random crops of padded images, half of them mirrored.

    Args:
        images: (n, channels, h, w).
        black: (channels, 1, 1), the value of the padding.
        generator: what crops and mirrors are drawn from, on any device.

    Returns:
        (n, channels, h, w), channels last in memory.
    """
    n, channels, height, width = images.shape
    margin = CROP_PADDING
    padded = black.expand(n, channels, height + 2 * margin, width + 2 * margin).clone()
    padded[:, :, margin:-margin, margin:-margin] = images
    # One draw for all: the generator may live on another device than the images.
    draws = torch.rand((3, n, 1), generator=generator, device=generator.device).to(images.device)
    top, left = (draws[:2] * (2 * margin + 1)).long()
    mirrored = draws[2] < 0.5
    rows = top + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(n, width)
    columns = left + torch.where(mirrored, width - 1 - columns, columns)
    image = torch.arange(n, device=images.device)[:, None, None]
    cropped = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)


def _gathered(published: Tensors, positions: Mapping[str, Tensor]) -> Problem:
    """The examples at `positions`; inputs that are no images are standardised."""
    parts: dict[str, Tensor] = {}
    for name, where in positions.items():
        origin = "test_" if name == "test" and "test_inputs" in published else ""
        parts[f"{name}_inputs"] = published[f"{origin}inputs"][where]
        parts[f"{name}_targets"] = published[f"{origin}targets"][where]
    if parts["train_inputs"].dtype != torch.uint8:
        parts |= _standardised(parts)
    train = {"inputs": parts.pop("train_inputs"), "targets": parts.pop("train_targets")}
    return Problem(train, [], parts)


def _standardised(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All inputs, each channel or feature to mean 0 and sd 1 over the training examples."""
    reference = parts["train_inputs"]
    over = [axis for axis in range(reference.ndim) if axis != 1]
    mean = reference.mean(over, keepdim=True)
    sd = reference.std(over, keepdim=True, correction=0)
    sd = torch.where(sd > 0, sd, 1.0)
    return {
        name: (values - mean) / sd for name, values in parts.items() if name.endswith("_inputs")
    }
