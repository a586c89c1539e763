"""Methods of installed packages: found without importing, hashed with what they import, and run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from assay.engine.cells import make_cells
from assay.engine.pool import Pool
from assay.errors import PluginError
from assay.plugins import registry
from assay.plugins.packages import lacking_packages
from assay.plugins.registry import (
    find_method,
    find_task,
    installed_problems,
    method_entries,
    method_ref,
)
from assay.publication.pack import unpublishable

FILES = {
    "demo/__init__.py": "from .start import BEGIN\n",
    "demo/start.py": "BEGIN = 1\n",
    "demo/sub/__init__.py": "",
    "demo/sub/losses.py": """\
from assay import Method
from demo.common import SCALE
import demo_other


class Scaled(Method):
    track = "loss"
    families = ["classification"]

    def compute_loss(self, outputs, batch):
        from .late import LATE

        return super().compute_loss(outputs, batch) * SCALE * LATE


class Plain(Method):
    pass
""",
    "demo/sub/late.py": "LATE = 1.0\n",
    "demo/common.py": "from . import start\nSCALE = 1.0\n",
    "demo/unused.py": "1 / 0\n",
    "demo/methods/__init__.py": "",
    "demo/methods/in_folder/card.toml": 'slug = "in_folder"\ntitle = "F"\ndata = ["t.txt"]\n',
    "demo/methods/in_folder/t.txt": "1",
    "demo/methods/in_folder/helper.py": "X = 1\n",
    "demo/methods/in_folder/method.py": """\
from pathlib import Path
from assay import Method
from demo.common import SCALE
from .helper import X

assert (Path(__file__).parent / "t.txt").read_text() == "1"


class F(Method):
    def compute_loss(self, outputs, batch):
        return super().compute_loss(outputs, batch) * SCALE
""",
    "demo_other.py": "1 / 0\n",
}
USED = {"demo/__init__.py", "demo/start.py", "demo/sub/__init__.py", "demo/sub/losses.py",
        "demo/sub/late.py", "demo/common.py"}  # fmt: skip
Install = Callable[[str], Path]


def forget() -> None:
    registry.task_entries.cache_clear()
    registry.method_entries.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put the package on sys.path, outside of site-packages as an editable install is."""
    place = tmp_path / "project"

    def make(points: str) -> Path:
        for name, text in FILES.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        about = place / "demo-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[assay.submissions]\n{points}\n")
        monkeypatch.syspath_prepend(place)
        forget()
        return place

    yield make
    assert not any(name == "demo" or name.startswith("demo.") for name in sys.modules)
    forget()


def test_a_class_of_a_package_is_a_method(install: Install) -> None:
    place = install("scaled = demo.sub.losses:Scaled\nplain = demo.sub.losses:Plain")
    scaled, plain = method_entries()["scaled"], find_method("plain")
    assert (scaled.card.track, scaled.card.families) == ("loss", ["classification"])
    assert (plain.card.track, plain.card.title) == ("open", "Plain")
    assert scaled.source == place / "demo/sub/losses.py"
    assert set(scaled.files) == USED
    assert "is a single file" in str(unpublishable(scaled))
    assert "sgd" in method_entries()


@pytest.mark.parametrize("name", sorted(USED))
@pytest.mark.parametrize("slug", ["scaled", "in_folder"])
def test_a_change_of_any_module_that_is_imported_changes_the_hash(
    install: Install, name: str, slug: str
) -> None:
    place = install("scaled = demo.sub.losses:Scaled\nall = demo.methods")
    before = method_ref(find_method(slug)).code_hash
    (place / "demo/unused.py").write_text("2 / 0\n")
    assert method_ref(find_method(slug)).code_hash == before
    (place / name).write_text((place / name).read_text() + "changed = 1\n")
    changes = slug == "scaled" or "sub" not in name
    assert (method_ref(find_method(slug)).code_hash != before) is changes


def test_a_folder_in_a_package_cannot_be_published_without_what_it_imports(
    install: Install,
) -> None:
    install("all = demo.methods")
    said = unpublishable(find_method("in_folder"))
    assert said is not None
    assert (
        "imports demo/__init__.py, demo/common.py, demo/start.py of its installed package" in said
    )


@pytest.mark.parametrize("slug", ["scaled", "in_folder"])
def test_it_trains_in_the_sandbox(install: Install, pool: Pool, make_task: Any, slug: str) -> None:
    place = install("scaled = demo.sub.losses:Scaled\nall = demo.methods")
    losses = place / "demo/sub/losses.py"
    losses.write_text(losses.read_text().replace("import demo_other\n", ""))
    task, method = make_task(), find_method(slug)
    (cell,) = make_cells([(task, method)], pool, "quick")
    spec = next(iter(cell.specs.values()))
    record = pool.run(cell.job(spec), cell.reproduce(spec))
    assert (record.status, record.message) == ("completed", "")
    assert record.reproduce.startswith(f"assay run {slug} --task ")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("demo.absent:X", "there is no module 'demo.absent'"),
        ("absent.module:X", "there is no module 'absent.module'"),
        ("absent", "there is no module 'absent'"),
        ("demo.sub.losses:Absent", "losses.py has no class Absent"),
        ("demo.sub", "'demo.sub' holds no folder with a card.toml"),
        ("demo.common", "'demo.common' holds no folder with a card.toml"),
        ("demo..common:X", "there is no module"),
        (":X", "there is no module"),
    ],
)
def test_a_broken_entry_point_is_one_line_and_breaks_nothing_else(
    install: Install, value: str, says: str
) -> None:
    install(f"broken = {value}\nplain = demo.sub.losses:Plain")
    assert {"plain", "sgd"} <= set(method_entries())
    (problem,) = installed_problems().values()
    assert says in problem
    assert "\n" not in problem
    with pytest.raises(PluginError, match="installed method 'broken'"):
        find_method("broken")


def test_malformed_cards_and_taken_slugs_of_packages_are_one_line_each(install: Install) -> None:
    place = install("sgd = demo.sub.losses:Plain\nBad-Name = demo.sub.losses:Plain\n"
                    "all = demo.methods")  # fmt: skip
    (place / "demo/methods/in_folder/card.toml").write_text("slug = 1\n")
    forget()
    said = installed_problems()
    assert set(said) == {"sgd", "Bad-Name", "in_folder"}
    assert "the slug sgd is taken" in said["sgd"]
    assert "'Bad-Name' is no slug" in said["Bad-Name"]
    assert method_entries()["sgd"].entry_point == ""


def test_missing_packages_are_named_with_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "method.py").write_text("")

    def said(packages: list[str]) -> str | None:
        card = f'slug = "mine"\ntitle = "Mine"\npackages = {packages}\n'
        (folder / "card.toml").write_text(card)
        return lacking_packages(find_method(str(folder)).card)

    assert said([]) is None
    assert said(["numpy", "torch>=2", "Pytorch.Optimizer>=1"]) is None
    missing = said(["numpy>=999", "no-such-distribution", "torch"])
    assert missing is not None
    assert "numpy>=999 (" in missing
    assert "no-such-distribution (not installed)" in missing
    assert missing.endswith("pip install 'numpy>=999' no-such-distribution")


def test_check_takes_the_slug_of_an_installed_method(install: Install, pool: Pool) -> None:
    from assay.checking.check import _resolve, check_method

    place = install("scaled = demo.sub.losses:Scaled")
    losses = place / "demo/sub/losses.py"
    losses.write_text(losses.read_text().replace("import demo_other\n", ""))
    ((kind, path),) = _resolve("scaled")
    assert kind == "method"
    failures = [
        r.detail
        for r in check_method(pool, path, [find_task("digits_mlp")])
        if r.status == "failed"
    ]
    assert failures == []
