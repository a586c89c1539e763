"""What was computed before is taken over, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest
from assay_leaderboard.statistics.result_cache import ResultCache, Rows


def asked(cache: ResultCache, keys: list[str], width: int = 2) -> tuple[Rows, list[int]]:
    """Rows of the keys' lengths, and the places that had to be made."""
    made: list[int] = []

    def make(places: list[int]) -> Rows:
        made.extend(places)
        return np.array([[len(keys[i])] * width for i in places], dtype=np.float64)

    return cache.rows("lengths", width, keys, make), made


def test_only_what_is_not_known_is_made(tmp_path: Path) -> None:
    first = ResultCache()
    rows, made = asked(first, ["a", "bbb"])
    assert (rows.tolist(), made) == ([[1, 1], [3, 3]], [0, 1])
    first.save(tmp_path / "new" / "cache.npz")
    again = ResultCache.load(tmp_path / "new" / "cache.npz")
    rows, made = asked(again, ["bbb", "cc", "a", "bbb"])
    assert (rows.tolist(), made) == ([[3, 3], [2, 2], [1, 1], [3, 3]], [1])
    assert asked(again, ["a"], width=3)[1] == [0]


def test_tables_of_one_file_do_not_mix(tmp_path: Path) -> None:
    first, widths = ResultCache(), (3, 0, 1, 500)
    for width in widths:
        asked(first, ["a", "bbb"], width)
    asked(first, [], 7)
    first.save(tmp_path / "cache")
    again = ResultCache.load(tmp_path / "cache")
    for width in widths:
        assert asked(again, ["bbb", "c"], width)[1] == [1]
        assert asked(again, ["bbb", "a"], width)[0].tolist() == [[3] * width, [1] * width]
    again.save(tmp_path / "second")
    assert asked(ResultCache.load(tmp_path / "second"), ["c"], 500)[1] == []


def test_what_nobody_asked_for_is_forgotten(tmp_path: Path) -> None:
    asked(first := ResultCache(), ["a", "bbb"])
    first.save(tmp_path / "first")
    asked(second := ResultCache.load(tmp_path / "first"), ["a"])
    second.save(tmp_path / "second")
    assert asked(ResultCache.load(tmp_path / "second"), ["a", "bbb"])[1] == [1]


@pytest.mark.parametrize("damage", ["absent", "cut", "other", "archive", "misshapen", "objects"])
def test_a_file_that_is_no_memo_says_nothing(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cache"
    asked(cache := ResultCache(), ["a"])
    cache.save(path)
    if damage == "absent":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "other":
        path.write_bytes(b"text")
    elif damage == "archive":
        with path.open("wb") as file:
            np.savez(file, names=np.array(["lengths 2"]))
    else:
        rows = np.ones((1, 3)) if damage == "misshapen" else np.array([[1.0, None]], dtype=object)
        path.unlink()
        with path.open("wb") as file:
            for array in (np.array(["lengths 2"]), np.array(["a"]), rows):
                np.save(file, array)
    assert asked(ResultCache.load(path), ["a"])[1] == [0]
