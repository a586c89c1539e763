"""Reading what a stranger left: whole, bounded, and only regular files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from assay.untrusted.files import read_regular


@pytest.mark.parametrize("n", [0, 1, 9, 10])
def test_a_file_is_read_up_to_the_limit(tmp_path, n):
    path = tmp_path / "file"
    path.write_bytes(b"x" * n)
    assert read_regular(path, 10) == b"x" * n


def test_a_larger_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular(path, 10)


def test_a_file_that_holds_more_than_it_said_is_read_whole():
    path = Path(f"/proc/{os.getpid()}/status")
    assert path.stat().st_size == 0
    assert read_regular(path, 1_000_000).endswith(b"\n")
    with pytest.raises(OSError, match="larger than 20 bytes"):
        read_regular(path, 20)


def test_links_and_pipes_are_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError):
            read_regular(tmp_path / name, 10)
