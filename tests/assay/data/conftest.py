from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from assay.data.catalogue import DATASETS, DataFile


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def data_dir(folders: Path) -> Path:
    return folders / "data"


def images(n: int, seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=numpy.uint8)


def cifar_batch(n: int, *, seed: int = 0, key: bytes = b"labels", n_classes: int = 10) -> bytes:
    """A batch as the publisher's: protocol 2, byte-string keys, a list of ints, one array."""
    labels = [int(label) for label in numpy.random.default_rng(seed).integers(0, n_classes, n)]
    return pickle.dumps({key: labels, b"data": images(n, seed)}, protocol=2)


def idx(array: numpy.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def publish(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, contents: dict[str, bytes]
) -> None:
    """Write files and make their digests the published ones of data set `name`."""
    files = []
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        files.append(DataFile(path, "sha256:" + hashlib.sha256(content).hexdigest()))
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], files=tuple(files)))


def cifar10_contents(n: int = 7) -> dict[str, bytes]:
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {
        f"cifar-10-batches-py/{name}": cifar_batch(n, seed=seed) for seed, name in enumerate(names)
    }
