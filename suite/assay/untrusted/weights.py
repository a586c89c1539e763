"""Snapshots: tensors that a worker wrote, read by the scorer as hostile bytes.

safetensors accepts duplicate keys, NaN, empty tensors, a megabyte of metadata and headers that take
long to parse. So the header is checked here first: it must be small and without metadata, have
exactly the names, types and shapes of the task's own model, and use every byte of data once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import _TYPES, load, save, save_file
from torch import Tensor

from assay.errors import BadWeights
from assay.identity import sha256
from assay.untrusted.files import open_regular

MAX_HEADER_BYTES = 64 * 1024
Layout = Mapping[str, tuple[str, tuple[int, ...]]]


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write CPU tensors as one safetensors file."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def snapshot_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """CPU tensors as the bytes of one safetensors file."""
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def read_snapshots(
    path: Path, sizes: Sequence[int], layout: Layout
) -> Iterator[tuple[dict[str, Tensor], str]]:
    """The snapshots in a file, each as read_snapshot gives it; only one is in memory at a time.

    Args:
        path: of the file, in which the snapshots lie one behind the other; there need be none if
            there are no snapshots.
        sizes: of the snapshots in bytes, in order.
        layout: of each.

    Raises:
        BadWeights: anything but a regular file with exactly these snapshots.
    """
    if not sizes:
        return
    limit = 8 + MAX_HEADER_BYTES + sum(_n_bytes(*entry) for entry in layout.values())
    try:
        with open_regular(path) as file:
            for size in sizes:
                if size > limit:
                    raise BadWeights(f"snapshot of {size:,} bytes, expected at most {limit:,}")
                yield read_snapshot(file.read(size), layout)
            if file.read(1):
                raise BadWeights("bytes behind the last snapshot")
    except OSError as error:
        raise BadWeights(f"snapshots cannot be read: {error.strerror}") from error


def read_snapshot(data: bytes, layout: Layout) -> tuple[dict[str, Tensor], str]:
    """The tensors of a snapshot and the SHA-256 of its bytes.

    Raises:
        BadWeights: anything but exactly `layout` with finite values.
    """
    check_header(data, layout)
    try:
        state = load(data)
    except Exception as error:  # the file is hostile: any error in the reader means bad weights
        raise BadWeights(f"snapshot cannot be read: {error}") from error
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BadWeights(f"{name} holds values that are not finite")
    return state, sha256(data)


def relative_distance(
    state: Mapping[str, Tensor], start: Mapping[str, Tensor], names: Collection[str]
) -> float | None:
    """|w - w_0| / |w_0| over the tensors `names` that both have; None if none or |w_0| = 0."""
    moved = origin = 0.0
    for name in names:
        if name in state and name in start:
            begin = start[name].double()
            moved += float((state[name].double() - begin).square().sum())
            origin += float(begin.square().sum())
    ratio = math.sqrt(moved / origin) if origin else math.inf
    return ratio if math.isfinite(ratio) else None


def check_header(data: bytes, layout: Layout) -> None:
    """Check a safetensors header against `layout`.

    Raises:
        BadWeights: see read_snapshot.
    """
    length = int.from_bytes(data[:8], "little") if len(data) >= 8 else -1
    if not 2 <= length <= MAX_HEADER_BYTES or 8 + length > len(data):
        raise BadWeights(f"snapshot header of {length} bytes, expected 2..{MAX_HEADER_BYTES}")
    try:
        # Decoded here: json would guess UTF-16 from bytes, which safetensors does not read.
        text = data[8 : 8 + length].decode()
        pairs = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise BadWeights(f"snapshot header is not valid: {error}") from error
    if not isinstance(pairs, dict):
        raise BadWeights("snapshot header is not an object")
    if set(pairs) != set(layout):
        extra, missing = sorted(set(pairs) - set(layout)), sorted(set(layout) - set(pairs))
        parts = [f"unexpected tensors {extra[:5]}"] if extra else []
        parts += [f"missing tensors {missing[:5]}"] if missing else []
        raise BadWeights(f"snapshot does not fit the task's model: {'; '.join(parts)}")
    ends = []
    for name, (dtype, shape) in layout.items():
        ends.append(_check_entry(name, pairs[name], dtype, shape))
    position = 0
    for begin, end in sorted(ends):
        if begin != position:
            raise BadWeights("snapshot data overlap or leave gaps")
        position = end
    if position != len(data) - 8 - length:
        raise BadWeights("snapshot has bytes that belong to no tensor")


def _check_entry(name: str, entry: Any, dtype: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """The byte range of one tensor."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise BadWeights(f"{name}: malformed header entry")
    given = entry["shape"]
    whole = isinstance(given, list) and all(type(extent) is int for extent in given)
    if entry["dtype"] != dtype or not whole or given != list(shape):
        raise BadWeights(
            f"{name}: is {entry['dtype']!s:.20} {given!s:.80}, expected {dtype} {list(shape)}"
        )
    offsets = entry["data_offsets"]
    whole = isinstance(offsets, list) and len(offsets) == 2
    if not whole or not all(type(value) is int and value >= 0 for value in offsets):
        raise BadWeights(f"{name}: malformed data offsets")
    if offsets[1] - offsets[0] != _n_bytes(dtype, shape):
        raise BadWeights(f"{name}: data offsets do not fit its shape")
    return offsets[0], offsets[1]


def _n_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    size = torch.empty(0, dtype=_TYPES[dtype]).element_size()
    for extent in shape:
        size *= extent
    return size


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate keys")
    return found
