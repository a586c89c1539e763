"""Worker processes: what they share, what they say, how they end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from assay.errors import AssayError, StorageError, WorkerError
from assay_leaderboard.processes import Workers, available_cores, cores_at_hand

Shared = dict[str, int]
ADVICE = "try another day"


def add(shared: Shared, name: str, n: int) -> int:
    return shared[name] + n


def where(shared: Shared) -> int:
    return os.getpid()


def refuse(shared: Shared) -> None:
    raise StorageError("there is no room")


def die(shared: Shared) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(shared: Path, n: int) -> None:
    (shared / str(n)).touch()
    time.sleep(60)


def much(shared: Shared) -> bytes:
    return bytes(10_000_000)


def interrupted(shared: Shared) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("n", [1, 2])
def test_each_item_is_done_once_whatever_the_number_of_processes(n: int) -> None:
    with Workers({"a": 1, "b": 20}, n, ADVICE) as workers:
        first = workers.run(add, {name: (name, 300) for name in "ab"})
        second = workers.run(add, {"late": ("b", 4)})
        assert dict(first) == {"a": 301, "b": 320}
        assert dict(second) == {"late": 24}
        assert dict(workers.run(add, {})) == {}


@pytest.mark.parametrize(("n", "here"), [(1, True), (2, False)])
def test_one_process_is_this_one(n: int, here: bool) -> None:
    with Workers({}, n, ADVICE) as workers:
        assert (dict(workers.run(where, {"": ()})) == {"": os.getpid()}) is here


@pytest.mark.parametrize("n", [1, 2])
def test_what_goes_wrong_in_a_process_goes_wrong_here(n: int) -> None:
    with pytest.raises(AssayError, match="there is no room"), Workers({}, n, ADVICE) as workers:
        list(workers.run(refuse, {"": ()}))


def test_a_process_that_was_killed_is_said_to_be() -> None:
    with (
        pytest.raises(WorkerError, match="killed.*another day"),
        Workers({}, 2, ADVICE) as workers,
    ):
        list(workers.run(die, {"": ()}))


def test_nothing_more_is_begun_where_a_process_was_killed() -> None:
    with Workers({}, 2, ADVICE) as workers:
        for _ in range(2):
            with pytest.raises(WorkerError, match="killed.*another day"):
                list(workers.run(die, {"": ()}))


def test_ctrl_c_ends_a_process_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), Workers({}, 2, ADVICE) as workers:
        list(workers.run(interrupted, {"": ()}))
    assert capfd.readouterr() == ("", "")


def test_where_this_process_is_interrupted_nothing_more_is_begun(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Workers(tmp_path, 2, ADVICE) as workers:
        workers.run(sleep, {n: (n,) for n in range(9)})
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_done_is_handed_over_whole() -> None:
    """Else this process waits for the rest of it for ever."""
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt), Workers({}, 2, ADVICE) as workers:
            next(workers.run(much, {n: () for n in range(9)}))
            raise KeyboardInterrupt


def test_a_process_with_threads_keeps_its_work_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert cores_at_hand() == (available_cores() if sys.platform == "linux" else 1)
    monkeypatch.undo()
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    assert cores_at_hand() == 1
    done.set()
    other.join()
