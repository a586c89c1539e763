"""The folder of a site: written whole or not at all, and nothing else is touched."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from assay.errors import AssayError, StorageError
from assay.paths import ROOT
from assay_leaderboard.site.build import build as building
from assay_leaderboard.site.build import plan
from assay_leaderboard.site.commands import app
from assay_leaderboard.site.output import OutputFile, write
from typer.testing import CliRunner

from tests.assay_leaderboard.site.conftest import files_of, made


def test_a_folder_of_other_things_is_not_touched(simulated: Any, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("years of work")
    with pytest.raises(AssayError, match="holds other things than a site"):
        made(out)
    assert files_of(out) == {"chapter.txt": b"years of work"}
    (tmp_path / "file").write_text("x")
    with pytest.raises(AssayError, match="is a file"):
        made(tmp_path / "file")


def test_an_empty_folder_and_a_site_are_replaced(simulated: Any, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    made(out)
    (out / "old.html").write_text("of an earlier build")
    made(out)
    assert "old.html" not in files_of(out)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_system_that_cannot_exchange_folders_renames_them(
    simulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay_leaderboard.site.output._exchanged", lambda one, other: False)
    made(tmp_path / "site")
    (tmp_path / "site" / "old.html").write_text("of an earlier build")
    made(tmp_path / "site")
    assert "old.html" not in files_of(tmp_path / "site")


@pytest.mark.parametrize("error", [AssayError("no"), OSError(28, "No space left on device")])
def test_a_build_that_fails_leaves_the_site_as_it_was(
    simulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    out = tmp_path / "site"
    made(out)
    before = files_of(out)

    def fail(*arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(building.json_twins, "manifest", fail)
    with pytest.raises(AssayError):
        made(out)
    assert files_of(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "site"]


def begun(simulated: Any, out: Path) -> subprocess.Popen[str]:
    """`assay site build` in two processes, once it has kept its first task."""
    # A shell that starts a command in the background makes it ignore SIGINT, and so its children.
    program = f"""
import signal
from pathlib import Path
from assay import paths
from assay.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
paths.ROOT, paths.RESULTS = Path({str(simulated.root)!r}), Path({str(simulated.results)!r})
main()
"""
    command = [sys.executable, "-c", program, "site", "build", "--jobs", "2", "--out", str(out)]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not kept_tasks():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    return running


def kept_tasks() -> set[Path]:
    return set(Path(os.environ["ASSAY_CACHE"]).glob("site/*/task-*/[!.]*/part.json"))


@pytest.mark.parametrize("tell", [os.killpg, os.kill], ids=["the group", "the parent alone"])
def test_ctrl_c_is_one_line_and_what_was_finished_is_kept(
    simulated: Any, tmp_path: Path, tell: Callable[[int, int], None]
) -> None:
    out = tmp_path / "place" / "site"
    made(out)
    before = files_of(out)
    running = begun(simulated, out)
    kept = kept_tasks()
    tell(running.pid, signal.SIGINT)
    said = running.communicate(timeout=60)  # which waits for all that could still write
    assert running.returncode == 130, said
    assert said == (
        "", f"interrupted: {out} is as it was; give the same command again to continue\n"
    )  # fmt: skip
    assert files_of(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["site"]
    assert kept <= kept_tasks()
    assert not list(Path(os.environ["ASSAY_CACHE"]).rglob(".writing-*"))


def test_no_process_outlives_a_build_that_was_killed(simulated: Any, tmp_path: Path) -> None:
    running = begun(simulated, tmp_path / "site")
    running.kill()
    running.communicate(timeout=60)  # which waits for all that could still write


def test_ctrl_c_that_comes_too_late_says_that_the_new_site_stands(
    simulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    made(tmp_path / "site")
    monkeypatch.setattr(plan.BuildPlan, "finished", interrupted)
    done = CliRunner().invoke(app, ["build", "--jobs", "1", "--no-cache"])
    assert done.exit_code == 130
    assert done.stderr == "interrupted: site is new and whole; give the same command again\n"


def test_what_a_killed_build_left_is_removed_and_one_at_work_is_not(
    simulated: Any, tmp_path: Path
) -> None:
    dead, alive = (tmp_path / f".site-building-{name}" for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / ".lock").touch()
    with (alive / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made(tmp_path / "site")
    assert alive.exists() and not dead.exists()


def test_a_place_that_cannot_be_written_is_said(simulated: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="--out"):
        made(tmp_path / "file" / "site")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../x", "a//x", ".hidden", "a/.x", "a\\x", "a\nb", "", "é"]
)
def test_names_that_lead_elsewhere_are_never_written(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError):
        write(tmp_path / "root", path, "x")
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_once(tmp_path: Path) -> None:
    first = write(tmp_path, "a/b.html", "x")
    assert first == OutputFile(path="a/b.html", n_bytes=1, sha256=sha256(b"x").hexdigest())
    with pytest.raises(StorageError):
        write(tmp_path, "a/b.html", "y")
