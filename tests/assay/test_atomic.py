"""Files appear whole or not at all, and what cannot be written says what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from assay import atomic


def test_a_new_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    assert atomic.write_new(path, b"one")
    assert not atomic.write_new(path, b"two")
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    for data in (b"one", b"two"):
        atomic.write(path, data)
        assert path.read_bytes() == data

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write(path, b"three")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_publishes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    with pytest.raises(ValueError, match="broken"), atomic.new_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise ValueError("broken")
    assert list(path.parent.iterdir()) == []
    with atomic.new_file(path) as temporary:
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "read-only for you: use --out"),
        (errno.EACCES, "read-only for you: use --out"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_the_reason_is_in_plain_words(number: int, says: str) -> None:
    error = atomic.storage_error("there", OSError(number, os.strerror(number)), "use --out")
    assert str(error).startswith("cannot write to there: ")
    assert says in str(error)
