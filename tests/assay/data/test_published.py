"""The real files, where this machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from assay import data

REAL = Path(os.environ.get("ASSAY_DATA") or "~/assay-data").expanduser()


@pytest.fixture(autouse=True)
def real_files(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(REAL))


def needs(name: str) -> None:
    missing = [file.path for file in data.dataset(name).files if not (REAL / file.path).exists()]
    if missing:
        pytest.skip(f"{REAL} has no {missing[0]}; fetch it with: assay data prepare {name}")


@pytest.mark.parametrize(
    ("name", "shape", "n_test", "per_class"),
    [
        ("fashion_mnist", (60000, 1, 28, 28), 10000, 6000),
        ("cifar10", (50000, 3, 32, 32), 10000, 5000),
        ("cifar100", (50000, 3, 32, 32), 10000, 500),
    ],
)
def test_published_sizes_and_channel_constants(
    name: str, shape: tuple[int, ...], n_test: int, per_class: int
) -> None:
    needs(name)
    assert data.status(name).state == "present"
    found, entry = data.load(name), data.dataset(name)
    assert tuple(found["inputs"].shape) == shape
    assert set(found["targets"].bincount().tolist()) == {per_class}
    assert set(found["test_targets"].bincount().tolist()) == {n_test // entry.n_classes}
    pixels = found["inputs"].flatten(2).transpose(0, 1).flatten(1).float() / 255
    assert pixels.mean(1).tolist() == pytest.approx(entry.channel_mean, abs=1e-4)
    assert pixels.std(1).tolist() == pytest.approx(entry.channel_sd, abs=1e-4)


def test_human_labels_have_the_published_noise() -> None:
    needs("cifar10")
    needs("cifar10n")
    found = data.load("cifar10n")
    wrong = found["human_targets"] != found["targets"]
    assert float(wrong.double().mean()) == pytest.approx(0.4021, abs=5e-5)
    trucks_as_cars = found["human_targets"][found["targets"] == 9] == 1
    assert float(trucks_as_cars.double().mean()) == pytest.approx(0.28, abs=0.005)


@pytest.mark.parametrize(
    ("name", "n_columns", "counts"),
    [("mammography", 6, [7595, 254]), ("pima", 8, [500, 268])],
)
def test_tables_have_the_published_rows_each_once(
    name: str, n_columns: int, counts: list[int]
) -> None:
    needs(name)
    found = data.load(name)
    assert found["inputs"].shape == (sum(counts), n_columns)
    assert found["targets"].bincount().tolist() == counts
