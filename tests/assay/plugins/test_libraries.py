"""Libraries in the key of a task or method: found from imports, named with version and content."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from assay.errors import PluginError
from assay.identity import content_id
from assay.plugins import libraries as plugin_libraries
from assay.plugins import registry
from assay.plugins.libraries import foreign_imports, libraries
from assay.plugins.registry import MethodEntry, find_method, find_task, method_ref, task_ref
from assay.records.schema import MethodRef, RunSpec
from assay.ruleset import RULESET

Install = Callable[..., Path]
METHOD = "from assay import Method\n\n\nclass Mine(Method):\n    pass\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put files into a folder of sys.path, and a distribution's metadata beside them."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)

    def make(
        name: str,
        files: Mapping[str, str],
        version: str = "1.0",
        *,
        requires: tuple[str, ...] = (),
        recorded: bool = True,
    ) -> Path:
        for file, text in files.items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(text)
        if name:
            stem = name.replace("-", "_")
            for other in place.glob(f"{stem}-*.dist-info"):
                shutil.rmtree(other)
            about = place / f"{stem}-{version}.dist-info"
            about.mkdir()
            lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
            lines += [f"Requires-Dist: {one}" for one in requires]
            (about / "METADATA").write_text("\n".join(lines) + "\n")
            if recorded:
                (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        importlib.invalidate_caches()
        return place

    yield make
    assert not {"mylib", "plain", "deep"} & set(sys.modules), "nothing may be imported"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import math, os.path\nfrom collections import abc", []),
        ("import torch.nn\nfrom numpy import x\nimport sklearn, scipy.stats", []),
        ("from assay import Method\nimport assay.models, assay_leaderboard", []),
        ("from . import beside\nfrom .other import x", []),
        ("import mylib", ["mylib"]),
        ("from mylib.sub import x as y", ["mylib"]),
        ("def late():\n    import mylib.sub as m", ["mylib"]),
        ("try:\n    import fast\nexcept ImportError:\n    fast = None", ["fast"]),
        ("import pytorch_optimizer\nimport pandas", ["pandas", "pytorch_optimizer"]),
        ("import (", []),
    ],
)
def test_what_counts_as_a_library(text: str, names: list[str]) -> None:
    assert sorted(foreign_imports([text.encode()])) == names


def test_a_package_is_no_library_of_its_own() -> None:
    assert foreign_imports([b"import demo.x\nimport mylib"], "demo") == {"mylib"}


def test_without_imports_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_libraries.importlib.metadata, "distribution", None)
    assert libraries([]) == {}


def test_an_edited_file_and_another_version_are_noticed(install: Install) -> None:
    place = install("mylib", {"mylib/__init__.py": "", "mylib/sub/core.py": "RATE = 1\n"})
    first = libraries(["mylib"])
    assert list(first) == ["mylib"]
    version, mark = first["mylib"].split(" #")
    assert (version, len(mark)) == ("1.0", plugin_libraries.HASH_DIGITS)
    assert libraries(["mylib"]) == first
    (place / "mylib/sub/core.py").write_text("RATE = 2\n")
    second = libraries(["mylib"])
    assert second != first and second["mylib"].startswith("1.0 #")
    (place / "mylib/data.json").write_text("{}")
    assert libraries(["mylib"]) == second, "only Python files are covered"
    install("mylib", {"mylib/__init__.py": ""}, "1.1")
    assert libraries(["mylib"]) == {"mylib": second["mylib"].replace("1.0", "1.1")}


def test_the_place_of_a_library_does_not_matter(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = install("mylib", {"mylib/__init__.py": "A = 1\n"})
    before = libraries(["mylib"])
    place.rename(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert libraries(["mylib"]) == before


def test_a_name_that_is_not_the_distributions_is_found(install: Install) -> None:
    install("My-Wheel", {"other_name.py": "A = 1\n"})
    assert list(libraries(["other_name"])) == ["My-Wheel"]


def test_a_compiled_library_has_its_version_alone(install: Install) -> None:
    place = install("mylib", {"mylib/__init__.py": "", f"mylib/fast{EXTENSION_SUFFIXES[0]}": ""})
    assert libraries(["mylib"]) == {"mylib": "1.0"}
    (place / "mylib/__init__.py").write_text("A = 1\n")
    assert libraries(["mylib"]) == {"mylib": "1.0"}


def test_an_editable_installation_has_a_hash(install: Install, tmp_path: Path) -> None:
    """Its metadata name no modules: only that of the same name is known to be its."""
    place = install("mylib", {"mylib.py": "A = 1\n"}, recorded=False)
    first = libraries(["mylib"])["mylib"]
    assert first.startswith("1.0 #")
    (place / "mylib.py").write_text("A = 2\n")
    assert libraries(["mylib"])["mylib"] != first


def test_a_folder_of_sys_path_without_metadata_is_hashed_and_followed(install: Install) -> None:
    place = install("", {"plain/__init__.py": "from mylib import A\n"})
    alone = libraries(["plain"])
    assert list(alone) == ["plain"] and alone["plain"].startswith("#")
    install("mylib", {"mylib.py": "A = 1\n"})
    assert list(libraries(["plain"])) == ["mylib", "plain"]
    (place / "plain/__init__.py").write_text("A = 1\n")
    assert libraries(["plain"])["plain"] != alone["plain"]


def test_what_a_library_requires_counts_unless_assay_brings_it(install: Install) -> None:
    install("deep", {"deep.py": "A = 1\n"})
    requires = (
        "deep>=0.5", "numpy", "rich", "torch", "absent-one", "extra-one; extra == 'more'",
        "deep; python_version < '3'", "not a requirement !",
    )  # fmt: skip
    place = install("mylib", {"mylib.py": "import deep\n"}, requires=requires)
    before = libraries(["mylib"])
    assert list(before) == ["deep", "mylib"]
    (place / "deep.py").write_text("A = 2\n")
    after = libraries(["mylib"])
    assert after["deep"] != before["deep"] and after["mylib"] == before["mylib"]


def test_what_is_not_installed_is_left_out_and_then_noticed(install: Install) -> None:
    assert libraries(["mylib"], ["mylib>=1"]) == {}
    install("mylib", {"mylib.py": ""})
    assert list(libraries(["mylib"])) == list(libraries([], ["mylib>=1"])) == ["mylib"]


def test_malformed_metadata_is_no_traceback(install: Install, tmp_path: Path) -> None:
    place = install("", {"mylib.py": "A = 1\n"})
    about = place / "mylib-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_bytes(b"Name: \xff\xfe\n")
    importlib.invalidate_caches()
    assert list(libraries(["mylib"])) == ["mylib"]


def test_too_many_are_one_line(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("mylib", {"mylib.py": ""})
    install("deep", {"deep.py": ""})
    monkeypatch.setattr(plugin_libraries, "MAX_LIBRARIES", 1)
    with pytest.raises(PluginError, match="it needs 2 libraries, expected at most 1"):
        libraries(["mylib", "deep"])


def spec_of(method: MethodRef) -> RunSpec:
    return RunSpec(
        ruleset=RULESET.version, task=task_ref(find_task("digits_mlp")), method=method,
        repetition=0, point=0, hyperparameters={},
    )  # fmt: skip


def mine(tmp_path: Path, text: str) -> MethodEntry:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return find_method(str(path))


def test_a_library_edited_between_two_commands_makes_other_runs(
    install: Install, tmp_path: Path
) -> None:
    """Before, the runs of both commands stood in one cell, without a word."""
    place = install("mylib", {"mylib.py": "RATE = 1.0\n"})
    entry = mine(tmp_path, "import mylib\n" + METHOD)
    before = method_ref(entry)
    (place / "mylib.py").write_text("RATE = 9.0\n")
    after = method_ref(entry)
    assert before.code_hash == after.code_hash
    assert spec_of(before).id != spec_of(after).id


def test_a_ref_without_libraries_is_written_as_before(tmp_path: Path) -> None:
    ref = method_ref(mine(tmp_path, METHOD))
    assert ref.model_dump(mode="json").keys() == {"slug", "version", "code_hash"}
    assert ref.code is ref
    known = {"slug": "mine", "version": 1, "code_hash": ref.code_hash}
    assert content_id(ref.model_dump(mode="json")) == content_id(known)


def test_a_ref_with_libraries_is_read_as_it_was_written(install: Install, tmp_path: Path) -> None:
    install("mylib", {"mylib.py": ""})
    ref = method_ref(mine(tmp_path, "import mylib\n" + METHOD))
    read = MethodRef.model_validate_json(ref.model_dump_json())
    assert (read, hash(read)) == (ref, hash(ref))
    assert ref.code != ref and not ref.code.libraries
    assert len({ref, read, ref.code}) == 2


def test_a_task_has_libraries_too(install: Install, tmp_path: Path) -> None:
    install("mylib", {"mylib.py": ""})
    folder = tmp_path / "mytask"
    folder.mkdir()
    card = Path(find_task("digits_mlp").folder, "card.toml").read_text()
    (folder / "card.toml").write_text(card.replace('"digits_mlp"', '"mytask"', 1))
    (folder / "task.py").write_text("from assay.families.functions import Functions\nimport mylib")
    assert list(task_ref(find_task(str(folder))).libraries) == ["mylib"]


def test_the_suite_has_libraries_only_where_a_method_is_one_of_another_package() -> None:
    assert all(not task_ref(entry).libraries for entry in registry.task_entries().values())
    found = {
        slug: list(ref.libraries)
        for slug, entry in registry.method_entries().items()
        if (ref := method_ref(entry)).libraries
    }
    of_a_library = {
        slug
        for slug, entry in registry.method_entries().items()
        if b"\nimport pytorch_optimizer\n" in entry.contents["method.py"]
    }
    assert "diffgrad" in of_a_library
    assert found == {slug: ["pytorch_optimizer"] for slug in of_a_library}
