"""Where Assay may be installed, what a run sees of it there, and how other places are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest
from assay import paths
from assay.sandbox import bubblewrap, limits, mechanisms, privileges

from tests.assay.sandbox.conftest import looks, needs_bubblewrap, needs_landlock, told, tries

ASKED = """
import sys
from unittest.mock import MagicMock

import assay.engine.pool
from assay.engine.outcomes import Refused
from assay.engine.pool import Pool
from assay.messages.worker import Describe, Description, Outcome, Run
from assay.records.schema import Compute

assay.engine.pool.ScorerClient = MagicMock()  # nothing is scored
with Pool(n_workers=1, compute=Compute(), mechanism=sys.argv[1]) as pool:
    for path in sys.argv[2:]:
        try:
            pool.answer(Describe(method=path, families=[], seconds=90), Description)
        except Refused as refused:
            print(refused)
"""


def installed(place: Path) -> tuple[Path, Path]:
    """A copy of this package with data beside its code, as in a wheel, in an environment.

    Gives the package and the environment's folder of packages.
    """
    package = place / "code" / "assay"
    shutil.copytree(paths.PACKAGE, package)
    (package / "bundled" / "tasks").mkdir(parents=True)
    (package / "bundled" / "tasks" / "card.toml").write_text("sealed")
    venv.create(place / "venv", symlinks=True)
    (packages,) = place.glob("venv/lib/python*/site-packages")
    packages.joinpath("code.pth").write_text(
        "\n".join(map(str, [place / "code", *bubblewrap.packages()]))
    )
    return package, packages


@needs_bubblewrap
def test_code_below_tmp_can_be_read_alone_and_tmp_is_a_runs_own(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        package, packages = installed(place)
        attempts = [
            "open('/tmp/kept', 'w')",
            "import tempfile; tempfile.mkstemp()",
            f"open('{place}/code/torch.py', 'w')",
            f"open('{place}/code/assay/new.py', 'w')",
            f"open('{packages}/new.pth', 'w')",
            f"import os; os.mkdir('{place}/new')",
            f"import os; os.chmod('{place}', 0o777)",
            f"import os; os.rename('{place}', '/tmp/moved')",
            f"import os; os.rename('{place}/code', '/tmp/moved')",
            "import os; os.rename('/tmp', '/moved')",
            f"open('{package}/bundled/tasks/card.toml')",
        ]
        listed = f"""
import os
places = ("/tmp", "/tmp/tmp", "{place}", "{place}/code", "{package}/bundled")
found = [sorted(os.listdir(place)) for place in places]
found.append(os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize)
"""
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
        modules = [looks(folders[0], tries(*attempts)), looks(folders[1], listed)]
        done = subprocess.run(
            [place / "venv" / "bin" / "python", "-I", "-c", ASKED, "bubblewrap", *modules],
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        first, second = (told(line) for line in done.stdout.splitlines() if "FOUND" in line)
        worked = [a for a, result in zip(attempts, first, strict=True) if result == "worked"]
        assert worked == attempts[:2]
        beside = [path.name for path in bubblewrap.islands()]  # where this environment lies so too
        assert second == [
            sorted(["run", "tmp", place.name, *beside]), [], ["code", "venv"], ["assay"], [],
            limits.LIMITS.disk_bytes,
        ]  # fmt: skip


@needs_landlock
def test_landlock_hides_what_a_wheel_has_beside_its_code(tmp_path: Path) -> None:
    package, _ = installed(tmp_path)
    attempts = [
        f"open('{package}/paths.py').read()", f"open('{package}/bundled/tasks/card.toml').read()"
    ]  # fmt: skip
    done = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-I", "-c", ASKED, "landlock",
         looks(tmp_path, tries(*attempts))],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert told(done.stdout) == ["worked", "PermissionError"]


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap exists for Linux alone")
@pytest.mark.parametrize("place", [paths.PACKAGE, Path("/tmp/run")], ids=["checkout", "run"])
def test_code_where_a_run_writes_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "islands", lambda: (place,))
    monkeypatch.setattr(shutil, "which", lambda name: name)
    problem = bubblewrap.bubblewrap_problem.__wrapped__()
    assert problem is not None
    assert str(place) in problem and "out of /tmp" in problem


def test_code_that_nobody_can_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    monkeypatch.setattr(mechanisms, "run_user", lambda _: 65534)
    monkeypatch.setattr(privileges, "can_mount", lambda: False)
    with tempfile.TemporaryDirectory() as closed:  # its owner's alone
        monkeypatch.setattr(mechanisms, "readable", lambda: (Path(closed),))
        problem = mechanisms.nobody_problem.__wrapped__()
    assert problem is not None
    assert "nobody" in problem and f"chmod o+x {closed}" in problem and "ordinary user" in problem


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_code_of_a_checkout_made_under_umask_077_is_told(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bubblewrap and Landlock let `nobody` through folders, but files keep their rights."""
    code = tmp_path / "a b" / "assay"
    (code / "worker").mkdir(parents=True)
    for folder in (code, code / "worker"):
        folder.chmod(0o755)
    module = code / "worker" / "serve.py"
    module.touch(0o644)
    (code / ".#serve.py").symlink_to("nowhere")
    monkeypatch.setattr(mechanisms, "PACKAGE", code)
    monkeypatch.setattr(mechanisms, "packages", lambda: [])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    problem = mechanisms.closed_code_problem.__wrapped__
    module.chmod(0o644)
    assert problem() is None
    module.chmod(mode)
    said = str(problem())
    assert f"cannot read {module}" in said and f"chmod -R o+rX '{code}'" in said
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert problem() is None  # an ordinary user's runs stay that user
