"""What a run left: plain files are copied out, and any tree is cleared away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from assay.sandbox import limits
from assay.sandbox.handover import empty, hand_over


@pytest.fixture
def results(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    folder = tmp_path / "results"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    yield folder, handle
    os.close(handle)


def test_only_plain_files_are_handed_over(tmp_path: Path, results: tuple[Path, int]) -> None:
    left = tmp_path / "left"
    (left / "shared" / "family" / "deeper").mkdir(parents=True)
    (left / "outcome.json").write_text("{}")
    (left / "shared" / "family" / "findings.jsonl").write_text("x")
    (left / "shared" / "family" / "deeper" / "hidden").write_text("x")
    (left / "link").symlink_to("/etc/passwd")
    os.mkfifo(left / "pipe")
    (left / ".hidden").write_text("x")
    (left / "new\nline").write_text("x")
    with (left / "sparse").open("wb") as file:
        file.truncate(2 * limits.LIMITS.disk_bytes)
    disk = os.open(tmp_path, os.O_RDONLY)
    try:
        hand_over(disk, "left", results[1])
    finally:
        os.close(disk)
    found = {str(path.relative_to(results[0])) for path in results[0].rglob("*") if path.is_file()}
    assert found == {"outcome.json", "shared/family/findings.jsonl"}


def test_any_tree_can_be_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    before = os.getcwd()
    os.chdir(left)
    try:
        for _ in range(1500):  # longer than any path may be
            os.mkdir("d")
            os.chdir("d")
        os.chdir(left)
    finally:
        os.chdir(before)
    (left / "locked").mkdir()
    (left / "locked" / "file").write_text("x")
    (left / "locked").chmod(0)
    (left / "dangling").symlink_to("nowhere")
    empty(left)
    assert list(left.iterdir()) == []
