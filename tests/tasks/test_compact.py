"""The compact tasks: real images at seconds a run on one core."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from assay.cards import TaskCard, read_card
from assay.families.classification import Classification
from assay.models import build
from assay.paths import ROOT
from assay.quantization import QuantizedLayer, layer_bits, quantize_layers
from assay.task import Seeds

from tests.assay.data.conftest import images, publish

CARDS = [
    card
    for path in sorted((ROOT / "tasks").glob("*/card.toml"))
    if (card := read_card(path, TaskCard)).model.name == "compact"
]
MAX_IMAGES = 60_000
"""Images that a run trains on at most: about 12 seconds on one core of 2026."""


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.slug)
def test_runs_take_seconds(card: TaskCard) -> None:
    assert card.slug.endswith("_compact")
    assert card.tier == "standard"
    assert card.budget.example_passes <= MAX_IMAGES
    # Every point of the curve scores 10,000 test images, which costs a tenth of the training.
    assert card.evaluation.points <= 3


def cifar100_batch(per_class: int, seed: int) -> bytes:
    """A file as the publisher's: pickle of protocol 2, two lists of labels, one array."""
    fine = [label for label in range(100) for _ in range(per_class)]
    return pickle.dumps(
        {
            b"filenames": [b"made_up.png"] * len(fine),
            b"batch_label": b"made up",
            b"fine_labels": fine,
            b"coarse_labels": [label // 5 for label in fine],
            b"data": images(len(fine), seed),
        },
        protocol=2,
    )


def test_cifar100_on_made_up_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made up: the official files were not at hand when this task was made."""
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    contents = {
        "cifar-100-python/train": cifar100_batch(5, seed=0),
        "cifar-100-python/test": cifar100_batch(2, seed=1),
    }
    publish(tmp_path / "data", monkeypatch, "cifar100", contents)
    (card,) = (card for card in CARDS if card.slug == "cifar100_compact")
    task = Classification(card.model_copy(update={"split": {"train": 400, "val": 100}}))
    problem = task.prepare(Seeds("root", "task", 0))
    assert problem.train["inputs"].shape == (400, 3, 32, 32)
    assert problem.train["targets"].bincount().tolist() == [4] * 100
    assert problem.sealed["test_targets"].bincount().tolist() == [2] * 100
    # Labels belong to their images, whatever the order.
    published = pickle.loads(contents["cifar-100-python/train"], encoding="bytes")
    places = {row.tobytes(): i for i, row in enumerate(published[b"data"])}
    rows = problem.train["inputs"].flatten(1).numpy()
    found = [published[b"fine_labels"][places[row.tobytes()]] for row in rows]
    assert found == problem.train["targets"].tolist()
    model = task.restore(problem, problem.starts[0])
    logits = task.logits(model, problem.sealed["test_inputs"])
    assert logits.shape == (200, 100)
    assert bool(logits.isfinite().all())


def test_quantized_inputs_follow_a_rectifier() -> None:
    """Which quantize_layers supposes of every layer but the first: they are not negative."""
    model = build("compact", {}, in_shape=(3, 32, 32), n_classes=10)
    recipe = {"weight_bits": 2, "activation_bits": 4}
    bits = [(rule.weight, rule.input) for rule in layer_bits(model, recipe).values()]
    assert bits == [(8, 8), (2, 4), (2, 4), (2, 4), (8, 8)]
    quantized = quantize_layers(model.train(), recipe)
    lowest: list[float] = []
    for module in quantized.modules():
        if isinstance(module, QuantizedLayer):
            module.register_forward_pre_hook(
                lambda module, inputs: lowest.append(float(inputs[0].detach().min()))
            )
    quantized(torch.randn((8, 3, 32, 32), generator=torch.Generator().manual_seed(0)))
    assert lowest[0] < 0
    assert min(lowest[1:]) >= 0
    assert len(lowest) == 5
