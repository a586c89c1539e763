"""Readers of published file formats. They execute nothing that a file contains."""

from __future__ import annotations

import gzip
import pickle
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DataError

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

_IDX_UINT8 = 0x08
_IMAGE_SHAPE = (3, 32, 32)


def read_cifar(path: Path, label_key: str, n_classes: int) -> tuple[Tensor, Tensor]:
    """One python batch of CIFAR-10 (`labels`) or CIFAR-100 (`fine_labels`).

    Format: https://www.cs.toronto.edu/~kriz/cifar.html

    Returns:
        Images (n, 3, 32, 32) uint8 and labels (n,) int64.

    Raises:
        DataError: the pickle needs other types than numbers and arrays, or holds no such batch.
    """
    import numpy
    import torch

    try:
        with path.open("rb") as file:
            batch = _ArrayUnpickler(file, encoding="bytes").load()
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path}: not a CIFAR batch: {error}") from error
    fields = batch if isinstance(batch, dict) else {}
    images, labels = fields.get(b"data"), fields.get(label_key.encode())
    if not isinstance(images, numpy.ndarray) or images.dtype != numpy.uint8:
        raise DataError(f"{path}: expected an array of bytes under 'data'")
    if images.ndim != 2 or images.shape[1] != 3 * 32 * 32:
        raise DataError(f"{path}: expected images of 3072 bytes, got the shape {images.shape}")
    if not isinstance(labels, list) or len(labels) != len(images):
        raise DataError(f"{path}: expected {len(images)} labels under {label_key!r}")
    if not all(isinstance(label, int) and 0 <= label < n_classes for label in labels):
        raise DataError(f"{path}: expected labels from 0 to {n_classes - 1}")
    return torch.from_numpy(images.copy()).view(-1, *_IMAGE_SHAPE), torch.tensor(labels)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numbers, strings, containers and numpy arrays, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The few functions that a pickled array names."""
        import _codecs

        import numpy
        from numpy._core.multiarray import _reconstruct

        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy", "ndarray"): numpy.ndarray,
            ("numpy", "dtype"): numpy.dtype,
            ("_codecs", "encode"): _codecs.encode,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data set needs")
        return allowed[module, name]


def read_idx(path: Path) -> Tensor:
    """A gzipped IDX file of bytes, as MNIST and Fashion-MNIST have them.

    Format: two zero bytes, type 0x08, the number of axes, each axis as a big-endian uint32, data.

    Returns:
        A uint8 tensor of the file's shape.

    Raises:
        DataError: not gzip, not IDX of bytes, or longer or shorter than its header says.
    """
    import torch

    try:
        with gzip.open(path) as file:
            content = file.read()
        zeros, kind, n_axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{n_axes}I", content, 4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path}: not a gzipped IDX file: {error}") from error
    if zeros or kind != _IDX_UINT8 or not n_axes:
        raise DataError(f"{path}: not an IDX file of bytes (it starts with {content[:4].hex()})")
    size, start = 1, 4 + 4 * n_axes
    for axis in shape:
        size *= axis
    if len(content) != start + size:
        raise DataError(
            f"{path}: holds {len(content) - start:,} bytes of data, its header says {size:,}"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:].view(shape).clone()


def read_table(path: Path, labels: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """A table without header: numbers, then a label, separated by commas.

    Of rows that are the same, the first is kept: train and test must not share examples.

    Args:
        path: the file.
        labels: the class of each label, as it is written in the file.

    Returns:
        Numbers (n, columns) float32 and classes (n,) int64, in the file's order.

    Raises:
        DataError: not such a file.
    """
    import torch

    try:
        lines = dict.fromkeys(path.read_text(encoding="ascii").splitlines())
        rows = [line.split(",") for line in lines]
        inputs = [[float(value) for value in values] for *values, _ in rows]
        targets = [labels[label] for *_, label in rows]
        found = torch.tensor(inputs), torch.tensor(targets)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a table of numbers: {error}") from error
    except KeyError as error:
        expected = ", ".join(labels)
        raise DataError(f"{path}: the label {error} is none of {expected}") from error
    if found[0].dim() != 2 or not found[0].numel() or not found[0].isfinite().all():
        raise DataError(f"{path}: expected rows of finite numbers, got {tuple(found[0].shape)}")
    return found


def read_human_labels(path: Path, key: str) -> tuple[Tensor, Tensor]:
    """Clean labels and the human ones called `key` from CIFAR-10N's CIFAR-10_human.pt.

    Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022; the keys are clean_label,
    aggre_label, worse_label and random_label1 to random_label3.

    Returns:
        Two tensors (n,) int64, in CIFAR-10's own order.

    Raises:
        DataError: not such a file.
    """
    import numpy
    import torch
    from numpy._core.multiarray import _reconstruct

    allowed: list[Any] = [
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        _reconstruct,
        numpy.ndarray,
        numpy.dtype,
        type(numpy.dtype(numpy.int64)),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            found = torch.load(path, weights_only=True)
        labels = [numpy.asarray(found[name], numpy.int64) for name in ("clean_label", key)]
    except Exception as error:  # a damaged archive can fail in any way
        raise DataError(f"{path}: not a file of human labels with {key!r}: {error}") from error
    return _labels(labels[0], path), _labels(labels[1], path)


def _labels(values: numpy.ndarray[Any, Any], path: Path) -> Tensor:
    import torch

    if values.ndim != 1 or not len(values) or values.min() < 0 or values.max() > 9:
        raise DataError(f"{path}: expected labels from 0 to 9, got the shape {values.shape}")
    return torch.from_numpy(values.copy())
