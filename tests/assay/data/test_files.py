from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from assay import data
from assay.data.catalogue import DATASETS, DataFile, Download
from assay.data.files import fetch
from assay.errors import DataError, UnknownName

from tests.assay.data.conftest import cifar10_contents, idx, publish


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def offer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, contents: dict[str, bytes], archive: bytes
) -> None:
    """Publish CIFAR-10 as an archive at a file:// address; nothing lies in the data directory."""
    files = tuple(DataFile(path, sha256(content)) for path, content in contents.items())
    (folder / "published.tar.gz").write_bytes(archive)
    download = Download(
        (folder / "published.tar.gz").as_uri(), DataFile("published", sha256(archive)), archive=True
    )
    entry = replace(DATASETS["cifar10"], files=files, downloads=(download,))
    monkeypatch.setitem(DATASETS, "cifar10", entry)


def tar(contents: dict[str, bytes], **links: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return buffer.getvalue()


def test_every_data_set_says_what_is_missing_and_where_to_put_it(data_dir: Path) -> None:
    for name in ("cifar10", "cifar100", "fashion_mnist"):
        found = data.status(name)
        first = data_dir / data.dataset(name).files[0].path
        assert (found.state, found.path) == ("missing", first)
        for expected in (str(first), f"assay data prepare {name}", "ASSAY_DATA", "http"):
            assert expected in found.advice
        with pytest.raises(DataError, match="is missing"):
            data.load(name)
    assert data.status("cifar10n").path == data.status("cifar10").path
    assert data.status("digits").state == "present"


def test_an_unknown_data_set_gets_a_suggestion() -> None:
    for function in (data.status, data.load, data.prepare):
        with pytest.raises(UnknownName, match="cifar10"):
            function("cifar_10")


def test_a_changed_file_is_named_with_both_digests(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents())
    assert data.status("cifar10").state == "present"
    path = data_dir / "cifar-10-batches-py/data_batch_3"
    expected = sha256(path.read_bytes())
    path.write_bytes(path.read_bytes()[:-1])
    found = data.status("cifar10")
    assert (found.state, found.path) == ("corrupt", path)
    for part in (str(path), expected, sha256(path.read_bytes()), "Delete it"):
        assert part in found.advice
    with pytest.raises(DataError, match="truncated"):
        data.load("cifar10")


def test_prepare_fetches_an_archive_once(
    folders: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = cifar10_contents()
    offer(folders, monkeypatch, contents, tar({**contents, "../outside": b"x", "/tmp/y": b"x"}))
    data.prepare("cifar10")
    assert data.load("cifar10")["inputs"].shape == (35, 3, 32, 32)
    there = {str(path.relative_to(folders)) for path in folders.rglob("*") if path.is_file()}
    cached = {path for path in there if path.startswith("cache/cifar10-")}
    assert there - cached == {"published.tar.gz", *(f"data/{path}" for path in contents)}
    assert len(cached) == 1
    (folders / "published.tar.gz").unlink()
    data.prepare("cifar10")
    (data_dir / "cifar-10-batches-py/test_batch").unlink()
    with pytest.raises(DataError, match="could not be fetched"):
        data.prepare("cifar10")


def test_prepare_fetches_single_files(
    folders: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = {"train_x": (6, 28, 28), "train_y": (6,), "test_x": (2, 28, 28), "test_y": (2,)}
    files, downloads = [], []
    for name, shape in shapes.items():
        content = idx(numpy.full(shape, 3, numpy.uint8))
        (folders / name).write_bytes(content)
        files.append(DataFile(f"fashion-mnist/{name}", sha256(content)))
        downloads.append(Download((folders / name).as_uri(), files[-1]))
    entry = replace(DATASETS["fashion_mnist"], files=tuple(files), downloads=tuple(downloads))
    monkeypatch.setitem(DATASETS, "fashion_mnist", entry)
    data.prepare("fashion_mnist")
    found = data.load("fashion_mnist")
    assert found["inputs"].shape == (6, 1, 28, 28)
    assert found["test_targets"].tolist() == [3, 3]
    assert sorted(path.name for path in (data_dir / "fashion-mnist").iterdir()) == sorted(shapes)


def test_a_fetched_file_that_is_not_the_published_one_is_thrown_away(
    folders: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = cifar10_contents()
    offer(folders, monkeypatch, contents, tar(contents))
    (folders / "published.tar.gz").write_bytes(b"<html>captive portal</html>")
    with pytest.raises(DataError, match=r"digest .* expected"):
        fetch("cifar10")
    assert list(data_dir.rglob("*")) == []


@pytest.mark.parametrize("kind", ["lacks", "differs", "links"])
def test_an_archive_with_other_members_is_thrown_away(
    folders: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    contents = cifar10_contents()
    name = "cifar-10-batches-py/data_batch_1"
    other = {path: content for path, content in contents.items() if path != name}
    links = {}
    if kind == "differs":
        other[name] = b"other"
    if kind == "links":
        links[name] = "/etc/hostname"
    offer(folders, monkeypatch, contents, tar(other, **links))
    with pytest.raises(DataError, match="data_batch_1"):
        fetch("cifar10")
    assert [path for path in data_dir.rglob("*") if path.is_file()] == []


def test_fetch_refuses_to_replace_a_corrupt_file_silently(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(data_dir, monkeypatch, "cifar10", cifar10_contents())
    (data_dir / "cifar-10-batches-py/test_batch").write_bytes(b"")
    with pytest.raises(DataError, match="Delete it"):
        fetch("cifar10")
