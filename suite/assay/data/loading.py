"""Data sets as tensors, by name: decoded once per machine, then memory-mapped."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from assay import atomic
from assay.data import formats
from assay.data.catalogue import ADDITION_MODULUS, DECODED, DatasetEntry, dataset
from assay.data.files import check, fetch
from assay.errors import DataError
from assay.paths import TEXTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

DECODER_VERSION = 1
"""Part of a cache file's name: raise it when a decoder gives other tensors."""
WINDOW = 16
"""Letters before the one that is to be predicted."""
_DECODED_HERE: dict[Path, str] = {}
"""Digests of what this process has decoded itself, by cache file."""


def cache_dir() -> Path:
    """The folder of decoded tensors: $ASSAY_CACHE, by default ~/.cache/assay."""
    return Path(os.environ.get("ASSAY_CACHE") or "~/.cache/assay").expanduser()


def load(name: str) -> dict[str, Tensor]:
    """The tensors of data set `name`, in published order. Never change them in place.

    `inputs` (n, ...), `targets` (n,) int64, and where the publisher defines a test set
    `test_inputs` and `test_targets`. Images with published channel constants are uint8, tokens
    int32. CIFAR-10N adds `human_targets` (n,) to CIFAR-10; the text adds `places` (n,).

    Raises:
        UnknownName: there is no such data set.
        DataError: a file is missing or not the published one, or the cache cannot be written.
    """
    entry = dataset(name)
    if not entry.files:
        makers = {
            "digits": _digits,
            "breast_cancer": _breast_cancer,
            "python_reference": _python_reference,
            "modular_addition": _modular_addition,
        }
        return _expected(name, makers[name]())
    path = cache_dir() / f"{name}-{_version(entry)}.safetensors"
    known = DECODED.get(path.stem) or _DECODED_HERE.get(path)
    mapped = None if known is None else _mapped(path, known)
    if mapped is None:
        known = _DECODED_HERE[path] = _decode(entry, path)
        _mapped.cache_clear()
        mapped = _mapped(path, known)
    if mapped is None:
        raise DataError(f"{path}: cannot be read back; set ASSAY_CACHE to another folder")
    return {**(load(entry.needs) if entry.needs else {}), **mapped}


def _expected(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors`, after a comparison with the digest of the catalogue, if it has one.

    Raises:
        DataError: they are others.
    """
    expected = DECODED.get(name)
    if expected is not None and digest(tensors) != expected:
        raise DataError(
            f"data set {name}: its tensors are not those of the published files. Reinstall the "
            "package that it comes with, for someone has changed the installed files."
        )
    return tensors


def prepare(name: str) -> None:
    """Download the missing files of data set `name`, check all, and decode them into the cache.

    Raises:
        UnknownName: there is no such data set.
        DataError: see files.fetch and load.
    """
    fetch(name)
    load(name)


def _version(entry: DatasetEntry) -> str:
    """A hash of the published files' digests and DECODER_VERSION."""
    text = "/".join([str(DECODER_VERSION), *(file.digest for file in entry.files)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _decode(entry: DatasetEntry, path: Path) -> str:
    """Check published files and decode them into a cache file; the digest of the tensors."""
    from safetensors.torch import save_file

    decoders = {
        "fashion_mnist": _fashion_mnist,
        "cifar10": _cifar10,
        "cifar100": _cifar100,
        "cifar10n": _cifar10n,
        "mammography": _mammography,
        "pima": _pima,
    }
    tensors = decoders[entry.name]([check(entry, file) for file in entry.files])
    found = digest(_expected(path.stem, tensors))
    if _mapped(path, found) is None:
        try:
            with atomic.new_file(path) as temporary:
                save_file(tensors, temporary)
        except OSError as error:
            raise DataError(
                f"cannot write {path}: {error}. Set ASSAY_CACHE to a folder with enough space."
            ) from error
    return found


@lru_cache
def _mapped(path: Path, expected: str) -> dict[str, Tensor] | None:
    """The tensors of a cache file, memory-mapped; None if there is none with this digest."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    return tensors if digest(tensors) == expected else None


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        found.update(tensors[name].contiguous().numpy().data)
    return found.hexdigest()


def _digits() -> dict[str, Tensor]:
    """1,797 images (n, 1, 8, 8) of handwritten digits, values 0..16 as float32."""
    import torch

    rows = torch.from_numpy(_table("digits.csv.gz", n_header_lines=0))
    return {
        "inputs": rows[:, :-1].float().reshape(-1, 1, 8, 8),
        "targets": rows[:, -1].long(),
    }


def _breast_cancer() -> dict[str, Tensor]:
    """569 tumours (n, 30); class 1 is malignant, the rarer one (class 0 in scikit-learn)."""
    import torch

    rows = torch.from_numpy(_table("breast_cancer.csv", n_header_lines=1))
    return {"inputs": rows[:, :-1].float(), "targets": 1 - rows[:, -1].long()}


def _table(name: str, n_header_lines: int) -> NDArray[np.float64]:
    """A table of numbers that scikit-learn brings, which takes 2 s of CPU time to import."""
    import numpy as np

    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("scikit-learn, which brings this data set, is not installed")
    path = Path(spec.origin).parent / "datasets" / "data" / name
    return np.loadtxt(path, delimiter=",", skiprows=n_header_lines)


def _python_reference() -> dict[str, Tensor]:
    """Letters of Python's reference, each after the WINDOW before it; 0 is a space, 1 to 26 a to z.

    `places` are the positions of the first letters in the text. Windows that occur more than once
    are left out, so that no split of the text has an input in two parts.
    """
    import torch

    text = " ".join((TEXTS / "python_reference.txt").read_text(encoding="ascii").split())
    counts = Counter(text[start : start + WINDOW] for start in range(len(text) - WINDOW))
    places = torch.tensor(
        [start for start in range(len(text) - WINDOW) if counts[text[start : start + WINDOW]] == 1]
    )
    codes = torch.tensor([max(0, ord(letter) - 96) for letter in text])
    windows = codes.unfold(0, WINDOW + 1, 1)[places]
    inputs, targets = windows[:, :WINDOW].to(torch.int32), windows[:, WINDOW].clone()
    return {"inputs": inputs, "targets": targets, "places": places}


def _modular_addition() -> dict[str, Tensor]:
    """All pairs (a, b) below p = ADDITION_MODULUS, (p^2, 2), in order; targets are (a + b) mod p.

    Power et al., "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets", 2022.
    """
    import torch

    numbers = torch.arange(ADDITION_MODULUS)
    pairs = torch.cartesian_prod(numbers, numbers)
    return {"inputs": pairs.to(torch.int32), "targets": pairs.sum(1) % ADDITION_MODULUS}


def _mammography(paths: list[Path]) -> dict[str, Tensor]:
    return _rows(paths[0], {"'-1'": 0, "'1'": 1})


def _pima(paths: list[Path]) -> dict[str, Tensor]:
    return _rows(paths[0], {"0": 0, "1": 1})


def _rows(path: Path, labels: Mapping[str, int]) -> dict[str, Tensor]:
    inputs, targets = formats.read_table(path, labels)
    return {"inputs": inputs, "targets": targets}


def _fashion_mnist(paths: list[Path]) -> dict[str, Tensor]:
    train_images, train_labels, test_images, test_labels = map(formats.read_idx, paths)
    return {
        "inputs": train_images[:, None],
        "targets": train_labels.long(),
        "test_inputs": test_images[:, None],
        "test_targets": test_labels.long(),
    }


def _cifar10(paths: list[Path]) -> dict[str, Tensor]:
    import torch

    batches = [formats.read_cifar(path, "labels", 10) for path in paths]
    images, labels = zip(*batches[:-1], strict=True)
    return {
        "inputs": torch.cat(images),
        "targets": torch.cat(labels),
        "test_inputs": batches[-1][0],
        "test_targets": batches[-1][1],
    }


def _cifar100(paths: list[Path]) -> dict[str, Tensor]:
    (images, labels), (test_images, test_labels) = (
        formats.read_cifar(path, "fine_labels", 100) for path in paths
    )
    return {
        "inputs": images,
        "targets": labels,
        "test_inputs": test_images,
        "test_targets": test_labels,
    }


def _cifar10n(paths: list[Path]) -> dict[str, Tensor]:
    clean, human = formats.read_human_labels(paths[0], "worse_label")
    if not clean.equal(load("cifar10")["targets"]):
        raise DataError(f"{paths[0]}: its clean labels are not CIFAR-10's, in CIFAR-10's order")
    return {"human_targets": human}
