from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from assay.data.formats import read_cifar, read_human_labels, read_idx, read_table
from assay.errors import DataError

from tests.assay.data.conftest import cifar_batch, idx, images


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_cifar_images_are_red_then_green_then_blue_rows(tmp_path: Path) -> None:
    found, labels = read_cifar(written(tmp_path / "b", cifar_batch(4, seed=3)), "labels", 10)
    assert found.shape == (4, 3, 32, 32)
    assert found.dtype == torch.uint8
    assert labels.dtype == torch.int64
    raw = images(4, seed=3)
    assert found[2, 1, 5, 7] == raw[2, 1024 + 5 * 32 + 7]


def test_cifar_batches_pickled_by_python_2_are_read(tmp_path: Path) -> None:
    # Protocol 2 with str keys and an array state as a py2 string: what the publisher distributes.
    raw = bytes(range(256)) * 12
    content = (
        b"\x80\x02}q\x00(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00"
        + raw
        + b"tbU\x06labels]K\x06au."
    )
    found, labels = read_cifar(written(tmp_path / "b", content), "labels", 10)
    assert bytes(found.flatten().tolist()) == raw
    assert labels.tolist() == [6]


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "b", pickle.dumps({b"data": Malicious()}, protocol=protocol))
    with pytest.raises(DataError, match="which no data set needs"):
        read_cifar(path, "labels", 10)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_batch_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(DataError, match="not a CIFAR batch"):
        read_cifar(written(tmp_path / "b", cifar_batch(3)[:cut]), "labels", 10)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "array of bytes"),
        ({b"data": numpy.zeros((2, 3072))}, "array of bytes"),
        ({b"data": numpy.zeros((2, 9), numpy.uint8)}, "3072"),
        ({b"data": images(2), b"labels": [1]}, "expected 2 labels"),
        ({b"data": images(2), b"labels": [1, 10]}, "from 0 to 9"),
        ({b"data": images(2), b"labels": [1, -1]}, "from 0 to 9"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, batch: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_cifar(written(tmp_path / "b", pickle.dumps(batch, protocol=2)), "labels", 10)


@pytest.mark.parametrize("shape", [(5,), (3, 4, 4)])
def test_idx_round_trip(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)
    found = read_idx(written(tmp_path / "f.gz", idx(array)))
    assert found.shape == shape
    assert found.numpy().tolist() == array.tolist()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"\0\0"),
        gzip.compress(b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0"),
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcd"),
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcdef"),
        idx(numpy.zeros(5, numpy.uint8))[:-4],
    ],
    ids=["empty", "not gzip", "short header", "wrong type", "too short", "too long", "cut off"],
)
def test_a_damaged_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"f\.gz"):
        read_idx(written(tmp_path / "f.gz", content))


def test_human_labels(tmp_path: Path) -> None:
    clean, worse = numpy.arange(10), numpy.arange(10)[::-1].copy()
    torch.save({"clean_label": clean, "worse_label": worse}, tmp_path / "h.pt")
    found = read_human_labels(tmp_path / "h.pt", "worse_label")
    assert found[0].tolist() == clean.tolist()
    assert found[1].tolist() == worse.tolist()


@pytest.mark.parametrize(
    "content", [{"clean_label": numpy.arange(3)}, {"clean_label": Malicious()}, 3]
)
def test_another_file_is_no_human_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "h.pt")
    with pytest.raises(DataError, match="not a file of human labels"):
        read_human_labels(tmp_path / "h.pt", "worse_label")
    assert not (tmp_path / "owned").exists()


def test_human_labels_outside_the_classes_are_refused(tmp_path: Path) -> None:
    torch.save({"clean_label": numpy.arange(11), "worse_label": numpy.arange(11)}, tmp_path / "h")
    with pytest.raises(DataError, match="from 0 to 9"):
        read_human_labels(tmp_path / "h", "worse_label")


def test_a_table_has_numbers_then_a_label_and_each_row_once(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", b"1,2.5,no\n-3,4e-1,yes\n1,2.5,no\n1,2.5,yes\n")
    inputs, targets = read_table(path, {"no": 0, "yes": 1})
    assert inputs.tolist() == [[1, 2.5], [-3, pytest.approx(0.4)], [1, 2.5]]
    assert (inputs.dtype, targets.tolist()) == (torch.float32, [0, 1, 1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1,2\n1,two,no\n",
        b"1,2,no\n1,no\n",
        b"1,2,maybe\n",
        b"1,nan,no\n",
        b"1,inf,no\n",
        b"no\nyes\n",
        b"1,2,no\n\n3,4,no\n",
        "1,2,nö\n".encode(),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"t\.csv"):
        read_table(written(tmp_path / "t.csv", content), {"no": 0, "yes": 1})
