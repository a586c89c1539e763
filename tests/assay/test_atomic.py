"""Files appear whole or not at all, and what cannot be written says what to do."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay import atomic
from assay.records.store import MIRROR_STATE, MLFLOW_RUNS, MirrorState, Store


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
        (errno.EPERM, "the system does not permit it, whatever the mode says: use --out"),
        (errno.EDQUOT, "your quota of the disk is used up"),
        (errno.EEXIST, "there is a file of this name: use --out"),
        (errno.ENOTDIR, "a part of the path is a file: use --out"),
        (errno.ENOLCK, "No locks available"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_the_reason_is_in_plain_words(number: int, says: str) -> None:
    error = atomic.storage_error("there", OSError(number, os.strerror(number)), "use --out")
    assert str(error).startswith("cannot write to there: ")
    assert says in str(error)


def failing(number: int) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", failing(number))
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    path = tmp_path / "file"
    assert atomic.write_new(path, b"one")
    assert not atomic.write_new(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.setattr(os, "link", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        atomic.write_new(tmp_path / "other", b"one")
    assert list(tmp_path.iterdir()) == [path]


def test_contention_is_told_from_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".lock"
    with atomic.locked(path) as held:
        assert held
        with pytest.raises(BlockingIOError), atomic.locked(path):
            pass
    for number in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
        monkeypatch.setattr(fcntl, "flock", failing(number))
        with atomic.locked(path) as held:
            assert not held
    monkeypatch.setattr(fcntl, "flock", failing(errno.EPERM))
    with pytest.raises(PermissionError), atomic.locked(path):
        pass


@pytest.mark.parametrize(("umask", "mode"), [(0o007, 0o660), (0o027, 0o640), (0o077, 0o600)])
def test_modes_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        atomic.write_new(tmp_path / "a", b"one")
        atomic.write(tmp_path / "b", b"one")
        with atomic.new_file(tmp_path / "c"):
            pass
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def test_a_lock_that_is_a_pipe_is_not_waited_for_and_a_link_is_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "dangling").symlink_to("me@host.1")
    for name, says in (("pipe", "a pipe or socket"), ("link", "a link"), ("dangling", "a link")):
        with pytest.raises(OSError) as error, atomic.locked(tmp_path / name):
            pass
        assert says in str(atomic.storage_error(name, error.value, "choose another"))
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "me@host.1").exists()


def test_pipes_links_and_folders_in_a_results_folder_are_passed_over(tmp_path: Path) -> None:
    store, folder = Store(tmp_path), tmp_path / "runs" / "task" / "method"
    folder.mkdir(parents=True)
    os.mkfifo(tmp_path / MIRROR_STATE)
    os.mkfifo(tmp_path / MLFLOW_RUNS)
    os.mkfifo(folder / "0123456789abcdef.json")
    (folder / ".#0123456789abcdef.json").symlink_to("me@host.1")
    (folder / f"{atomic.TEMPORARY}folder").mkdir()
    store.sweep()
    assert store.mirror_state() == MirrorState() and store.mlflow_runs() == {}
    problems: list[str] = []
    assert not list(store.runs(problems))
    assert any("is not a regular file" in problem for problem in problems)
    store.keep_mlflow_runs({"a": "b"})  # in the pipe's place
    assert store.mlflow_runs() == {"a": "b"}
