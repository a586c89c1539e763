from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from assay.errors import BadWeights
from assay.identity import sha256
from assay.untrusted.weights import (
    MAX_HEADER_BYTES,
    Layout,
    read_snapshot,
    read_snapshots,
    snapshot_bytes,
)
from torch import Tensor

LAYOUT: Layout = {"bias": ("F32", (3,)), "weight": ("F32", (2, 3)), "count": ("I64", ())}
Header = dict[str, dict[str, Any]]


def tensors() -> dict[str, Tensor]:
    return {
        "bias": torch.arange(3.0),
        "weight": torch.arange(6.0).reshape(2, 3),
        "count": torch.tensor(7),
    }


GOOD = snapshot_bytes(tensors())


def cut(data: bytes) -> tuple[Header, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def pack(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_what_was_written_is_read() -> None:
    state, digest = read_snapshot(GOOD, LAYOUT)
    assert digest == sha256(GOOD)
    assert set(state) == set(LAYOUT)
    for name, tensor in tensors().items():
        assert torch.equal(state[name], tensor)


def changed(name: str, key: str, value: Any) -> Callable[[Header, bytes], bytes]:
    def game(header: Header, body: bytes) -> bytes:
        header[name][key] = value
        return pack(header, body)

    return game


def duplicate_tensor(header: Header, body: bytes) -> bytes:
    text = json.dumps(header)
    return pack((text[:-1] + ', "bias": ' + json.dumps(header["bias"]) + "}").encode(), body)


def duplicate_key(header: Header, body: bytes) -> bytes:
    return pack(json.dumps(header).replace('"dtype"', '"dtype": "F64", "dtype"', 1).encode(), body)


def metadata(header: Header, body: bytes) -> bytes:
    return pack({"__metadata__": {"a": "b"}, **header}, body)


def extra_tensor(header: Header, body: bytes) -> bytes:
    n = len(body)
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [n, n + 4]}
    return pack({**header, "labels": entry}, body + b"\0" * 4)


def empty_extra_tensor(header: Header, body: bytes) -> bytes:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return pack({**header, "nothing": entry}, body)


def missing_tensor(header: Header, body: bytes) -> bytes:
    del header["bias"]
    return pack(header, body)


def overlap(header: Header, body: bytes) -> bytes:
    begin = header["weight"]["data_offsets"][0]
    header["bias"]["data_offsets"] = [begin, begin + 12]
    return pack(header, body)


def gap(header: Header, body: bytes) -> bytes:
    for entry in header.values():
        entry["data_offsets"] = [offset + 4 for offset in entry["data_offsets"]]
    return pack(header, b"\0" * 4 + body)


def extra_member(header: Header, body: bytes) -> bytes:
    header["bias"]["note"] = 1
    return pack(header, body)


def missing_member(header: Header, body: bytes) -> bytes:
    del header["bias"]["shape"]
    return pack(header, body)


def not_finite(value: float) -> Callable[[Header, bytes], bytes]:
    def game(header: Header, body: bytes) -> bytes:
        begin = header["bias"]["data_offsets"][0]
        return pack(header, body[:begin] + struct.pack("<f", value) + body[begin + 4 :])

    return game


GAMES: dict[str, Callable[[Header, bytes], bytes]] = {
    "empty": lambda header, body: b"",
    "seven bytes": lambda header, body: b"\0" * 7,
    "zero length": lambda header, body: b"\0" * 8,
    "huge length": lambda header, body: struct.pack("<Q", 2**63) + body,
    "longest length": lambda header, body: b"\xff" * 8 + body,
    "length beyond the file": lambda header, body: struct.pack("<Q", 60_000) + body,
    "huge header": lambda header, body: pack(
        json.dumps(header).encode().ljust(MAX_HEADER_BYTES + 1), body
    ),
    "deep header": lambda header, body: pack(b"[" * 60_000, body),
    "long number": lambda header, body: pack(b'{"a":' + b"9" * 5000 + b"}", body),
    "list": lambda header, body: pack([header], body),
    "not JSON": lambda header, body: pack(b"{'bias'}", body),
    "not UTF-8": lambda header, body: pack(b'{"\xff": 1}', body),
    "UTF-16": lambda header, body: pack(json.dumps(header).encode("utf-16-le"), body),
    "byte order mark": lambda header, body: pack(
        b"\xef\xbb\xbf" + json.dumps(header).encode(), body
    ),
    "duplicate tensor": duplicate_tensor,
    "duplicate key": duplicate_key,
    "metadata": metadata,
    "extra tensor": extra_tensor,
    "empty extra tensor": empty_extra_tensor,
    "missing tensor": missing_tensor,
    "overlap": overlap,
    "gap": gap,
    "extra member": extra_member,
    "missing member": missing_member,
    "trailing bytes": lambda header, body: pack(header, body + b"\0"),
    "truncated": lambda header, body: pack(header, body[:-1]),
    "no data": lambda header, body: pack(header, b""),
    "too large": lambda header, body: pack(header, body + b"\0" * 100_000),
    "entry is a list": lambda header, body: pack({**header, "bias": []}, body),
    "wrong dtype": changed("bias", "dtype", "I32"),
    "unknown dtype": changed("bias", "dtype", "F99"),
    "dtype is a list": changed("bias", "dtype", ["F32"] * 1000),
    "wrong shape": changed("bias", "shape", [1, 3]),
    "transposed": changed("weight", "shape", [3, 2]),
    "shape is a number": changed("bias", "shape", 3),
    "shape of floats": changed("bias", "shape", [3.0]),
    "shape of booleans": changed("bias", "shape", [True]),
    "negative shape": changed("bias", "shape", [-3]),
    "huge shape": changed("bias", "shape", [2**64]),
    "offsets of floats": changed("bias", "data_offsets", [8.0, 20.0]),
    "offsets of booleans": changed("bias", "data_offsets", [False, True]),
    "negative offsets": changed("bias", "data_offsets", [-12, 0]),
    "offsets backwards": changed("bias", "data_offsets", [12, 0]),
    "offsets beyond the file": changed("bias", "data_offsets", [2**40, 2**40 + 12]),
    "three offsets": changed("bias", "data_offsets", [0, 12, 24]),
    "null offsets": changed("bias", "data_offsets", None),
    "NaN": not_finite(float("nan")),
    "infinity": not_finite(float("-inf")),
}


@pytest.mark.parametrize("name", GAMES)
def test_games_with_the_format_are_bad_weights(name: str) -> None:
    data = GAMES[name](*cut(GOOD))
    assert data != GOOD
    with pytest.raises(BadWeights) as caught:
        read_snapshot(data, LAYOUT)
    assert len(str(caught.value)) < 1000


def test_shapes_of_one_are_not_booleans() -> None:
    """In Python [True] == [1]; in the file's own reader it is an error."""
    entry = {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}
    data = pack({"scale": entry}, b"\0" * 4)
    with pytest.raises(BadWeights, match="scale: is F32"):
        read_snapshot(data, {"scale": ("F32", (1,))})


def test_a_file_holds_its_snapshots_one_behind_the_other(tmp_path: Path) -> None:
    path = tmp_path / "snapshots"
    other = snapshot_bytes({**tensors(), "count": torch.tensor(8)})
    path.write_bytes(GOOD + other)
    found = list(read_snapshots(path, [len(GOOD), len(other)], LAYOUT))
    assert [digest for _, digest in found] == [sha256(GOOD), sha256(other)]
    assert [int(state["count"]) for state, _ in found] == [7, 8]
    assert list(read_snapshots(tmp_path / "missing", [], LAYOUT)) == []


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([len(GOOD)], "bytes behind the last snapshot"),
        ([2 * len(GOOD)], "bytes that belong to no tensor"),
        ([len(GOOD)] * 3, "snapshot header"),
        ([len(GOOD) - 1, len(GOOD) + 1], "bytes that belong to no tensor"),
        ([len(GOOD), len(GOOD), 10**15], "snapshot of 1,000,000,000,000,000 bytes, expected at"),
    ],
)
def test_sizes_that_do_not_fit_the_file_are_bad_weights(
    tmp_path: Path, sizes: list[int], said: str
) -> None:
    path = tmp_path / "snapshots"
    path.write_bytes(GOOD * 2)
    with pytest.raises(BadWeights, match=said):
        list(read_snapshots(path, sizes, LAYOUT))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(GOOD)
    link, fifo, folder = tmp_path / "link", tmp_path / "fifo", tmp_path / "folder"
    link.symlink_to(good)
    os.mkfifo(fifo)
    folder.mkdir()
    for path in (link, fifo, folder, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(BadWeights, match="snapshots cannot be read"):
            list(read_snapshots(path, [len(GOOD)], LAYOUT))


def test_two_thousand_mutations_are_bad_weights_or_finite_tensors_of_the_layout() -> None:
    draw = random.Random(20)
    refused = 0
    for _ in range(2000):
        data = bytearray(GOOD)
        for _ in range(draw.choice((1, 1, 2, 5))):
            at = draw.randrange(len(data))
            match draw.randrange(5):
                case 0:
                    data[at] = draw.randrange(256)
                case 1:
                    data[at] ^= 1 << draw.randrange(8)
                case 2:
                    del data[at : at + draw.randrange(1, 9)]
                case 3:
                    data[at:at] = draw.randbytes(draw.randrange(1, 9))
                case _:
                    data[at : at + 2] = draw.choice((b'""', b"{}", b"[]", b"1,", b"\xff\xff"))
        try:
            state, _ = read_snapshot(bytes(data), LAYOUT)
        except BadWeights:
            refused += 1
            continue
        assert {name: tuple(t.shape) for name, t in state.items()} == {
            name: shape for name, (_, shape) in LAYOUT.items()
        }
        assert all(bool(torch.isfinite(t).all()) for t in state.values())
    assert 1000 < refused < 2000
