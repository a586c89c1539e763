"""Builds that keep what has not changed: the same bytes as a build from scratch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assay.identity import sha256
from assay.records import log

from tests.assay_leaderboard.site.conftest import Files, files_of, made
from tests.benchmarks import site as simulation

N_TASKS = 3


def test_the_same_records_make_the_same_bytes(site: Files, simulated: Any, tmp_path: Path) -> None:
    """In one process or two, with a cache or without, from parts that were kept."""
    assert made(tmp_path / "again").n_kept == 0
    assert files_of(tmp_path / "again") == site
    assert made(tmp_path / "pool", jobs=2, cache=True).n_kept == 0
    assert files_of(tmp_path / "pool") == site
    assert made(tmp_path / "kept", cache=True).n_kept == N_TASKS
    assert files_of(tmp_path / "kept") == site


def test_one_new_cell_remakes_its_task_alone(simulated: Any, tmp_path: Path) -> None:
    made(tmp_path / "site", cache=True)
    before = files_of(tmp_path / "site")
    simulation.rewrite(simulated.root, "t01")
    assert made(tmp_path / "site", cache=True).n_kept == N_TASKS - 1
    after = files_of(tmp_path / "site")
    assert after["task/t01/index.html"] != before["task/t01/index.html"]
    assert after["run/t00/m003.html"] == before["run/t00/m003.html"]
    made(tmp_path / "scratch")
    assert after == files_of(tmp_path / "scratch")


def test_a_site_is_left_alone_where_nothing_has_changed(
    site: Files, simulated: Any, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    first, folder = made(out, cache=True), out.stat().st_ino
    again = made(out, cache=True)
    assert again == first.model_copy(update={"n_kept": N_TASKS})
    assert out.stat().st_ino == folder
    (out / "log" / "index.html").unlink()
    (out / "mine.html").write_text("of somebody else")
    assert made(out, cache=True) == again
    assert files_of(out) == site and out.stat().st_ino != folder


def test_a_report_that_changes_is_shown(simulated: Any, tmp_path: Path) -> None:
    made(tmp_path / "site", cache=True)
    (simulated.results / "queue.json").write_text("[]")
    made(tmp_path / "site", cache=True)
    assert not (tmp_path / "site" / "queue").exists()
    waiting = {"slug": "new", "state": "open", "tasks": [], "since": "", "next_action": "wait"}
    (simulated.results / "queue.json").write_text(json.dumps([waiting]))
    made(tmp_path / "site", cache=True)
    assert (tmp_path / "site" / "queue" / "index.html").exists()


def test_a_refusal_is_shown_at_once(simulated: Any, tmp_path: Path) -> None:
    """It is counted beside the results of its task, whose records do not change."""
    made(tmp_path / "site", cache=True)
    before = files_of(tmp_path / "site")
    refused = tmp_path / f"t01--m000-v1--{sha256(b'no bundle')[:16]}.zip"
    refused.write_bytes(b"no bundle")
    log.append(simulated.results, "refuse", refused, note="a test")
    assert made(tmp_path / "site", cache=True).n_kept == N_TASKS - 1
    after = files_of(tmp_path / "site")
    assert after["method/m000/index.html"] != before["method/m000/index.html"]


def spoil_text(part: Path) -> None:
    part.write_text("{", encoding="utf-8")


def spoil_schema(part: Path) -> None:
    part.write_text('{"table": 1}')


def spoil_path(part: Path) -> None:
    files = part.with_name("files.json")
    kept = json.loads(files.read_text())
    kept["files"][0]["path"] = "../../outside.html"
    files.write_text(json.dumps(kept))


def spoil_file(part: Path) -> None:
    page = next(part.parent.rglob("index.html"))
    page.unlink()
    page.write_text("<script>alert(1)</script>")


@pytest.mark.parametrize("spoil", [spoil_text, spoil_schema, spoil_path, spoil_file])
def test_a_damaged_cache_is_as_good_as_none(
    site: Files, simulated: Any, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    made(tmp_path / "first", cache=True)
    spoil(next(tmp_path.glob("cache/site/*/task-t00/*/part.json")))
    assert made(tmp_path / "second", cache=True).n_kept == N_TASKS - 1
    assert files_of(tmp_path / "second") == site
    assert not list(tmp_path.rglob("outside.html"))


def test_a_page_that_was_edited_in_a_site_does_not_come_back(
    site: Files, simulated: Any, tmp_path: Path
) -> None:
    """A site and the cache share files: what is written over in one is written over in both."""
    made(tmp_path / "first", cache=True)
    page = tmp_path / "first" / "task" / "t00" / "index.html"
    with page.open("a") as file:
        file.write("<p>mine")
    assert made(tmp_path / "first", cache=True).n_kept == N_TASKS - 1
    assert files_of(tmp_path / "first") == site


def test_the_bootstraps_that_are_kept_may_be_damaged(simulated: Any, tmp_path: Path) -> None:
    made(tmp_path / "site", cache=True)
    memos = list(tmp_path.glob("cache/site/*/memos/*.memo"))
    assert len(memos) == 4
    for path in memos:
        path.write_bytes(bytes(path.stat().st_size))
    simulation.rewrite(simulated.root, "t01")
    made(tmp_path / "site", cache=True)
    made(tmp_path / "scratch")
    assert files_of(tmp_path / "site") == files_of(tmp_path / "scratch")


def test_the_cache_holds_one_state_of_a_task(simulated: Any, tmp_path: Path) -> None:
    for _ in range(2):
        made(tmp_path / "site", cache=True)
        simulation.rewrite(simulated.root, "t02")
    assert len(list(tmp_path.glob("cache/site/*/task-t02/*"))) == 1
