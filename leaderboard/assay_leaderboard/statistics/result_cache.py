"""Results of bootstraps kept between builds of the site, by a hash of what they depend on.

Where one method has new records, the results of the others stay valid. With 100 methods on 25 tasks
this saves 8 of 12 CPU seconds of the rankings at all tuning budgets (tests/benchmarks/board.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import (
    dtype_to_descr,
    read_array,
    read_array_header_1_0,
    read_magic,
    write_array_header_1_0,
)
from numpy.typing import NDArray

Rows = NDArray[np.float64]
Make = Callable[[list[int]], Rows]


class ResultCache:
    """Rows of numbers computed before, and those used this time."""

    def __init__(self) -> None:
        self._old: dict[str, tuple[dict[bytes, int], Rows]] = {}
        self._new: dict[str, tuple[list[bytes], list[Rows]]] = {}

    @classmethod
    def load(cls, path: Path | None) -> ResultCache:
        """The rows that `save` wrote; none if the file is absent or malformed."""
        cache = cls()
        if path is None:
            return cache
        try:
            with path.open("rb") as file:
                for name in map(str, read_array(file, allow_pickle=False).tolist()):
                    keys = read_array(file, allow_pickle=False).tolist()
                    rows = _mapped(file)
                    if rows.shape == (len(keys), _width(name)):
                        cache._old[name] = {key: i for i, key in enumerate(keys)}, rows
        except (OSError, ValueError, TypeError, EOFError):
            return cls()
        return cache

    def save(self, path: Path) -> None:
        """Write the rows that were used this time, and no others.

        Raises:
            OSError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            np.save(file, np.array([*self._new], dtype=np.str_))
            for name, (keys, rows) in self._new.items():
                np.save(file, np.array(keys, dtype=np.bytes_))
                shape, descr = (len(keys), _width(name)), dtype_to_descr(np.dtype(np.float64))
                header = {"shape": shape, "fortran_order": False, "descr": descr}
                write_array_header_1_0(file, header)
                for row in rows:  # one array for the reader, without joining them in memory
                    file.write(row.data)

    def rows(self, table: str, width: int, keys: Sequence[str], make: Make) -> Rows:
        """The row of each key, (keys, width); see `each`."""
        return np.array(self.each(table, width, keys, make)).reshape(len(keys), width)

    def each(self, table: str, width: int, keys: Sequence[str], make: Make) -> list[Rows]:
        """The row (width,) of each key; a row may be read-only memory of the file.

        Args:
            table: name of the kind of rows.
            width: numbers in each.
            keys: hashes of everything that each row is computed from, in hexadecimal.
            make: computes the rows of the keys at these places.
        """
        name, wanted = f"{table} {width}", [key.encode() for key in keys]
        places, old = self._old.get(name, ({}, np.empty((0, width))))
        missing = [i for i, key in enumerate(wanted) if key not in places]
        made = dict(zip(missing, make(missing), strict=True)) if missing else {}
        found = [made[i] if i in made else old[places[key]] for i, key in enumerate(wanted)]
        own_keys, own_rows = self._new.setdefault(name, ([], []))
        own_keys += wanted
        own_rows += found
        return found


def _mapped(file: BinaryIO) -> Rows:
    """The next array in a file, mapped into memory.

    Raises:
        ValueError: there is no such array.
    """
    if read_magic(file) != (1, 0):
        raise ValueError("written by something else")
    shape, fortran_order, dtype = read_array_header_1_0(file)
    if fortran_order or dtype != np.float64 or len(shape) != 2:
        raise ValueError("not rows of numbers")
    start, n = file.tell(), math.prod(shape)
    rows = np.asarray(np.memmap(file, dtype, "r", start, shape)) if n else np.empty(shape)
    file.seek(start + rows.nbytes)  # mapping has moved to the end
    return rows


def _width(name: str) -> int:
    return int(name.rpartition(" ")[2])
