"""A method's folder is a package: what of it is hashed, what reaches a worker, and how much."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from assay.cards import SubmissionCard, read_card
from assay.engine.cells import make_cells
from assay.engine.pool import Pool
from assay.errors import CardError, PluginError
from assay.plugins.files import code_files
from assay.plugins.loading import load_method, load_task
from assay.plugins.registry import find_method, find_task, method_ref, task_ref

CARD = 'slug = "mine"\ntitle = "Mine"\n'
METHOD = """\
from pathlib import Path

from assay import Method

from . import helper
from .helper import BASE

HERE = Path(__file__).parent
SCALE = float((HERE / "table.csv").read_text())


class Mine(Method):
    def compute_loss(self, outputs, batch):
        names = sorted(path.name for path in HERE.iterdir())
        assert names == ["card.toml", "helper.py", "inner.py", "method.py", "table.csv"], names
        return super().compute_loss(outputs, batch) * SCALE * helper.ONE * BASE
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    made.mkdir()
    (made / "card.toml").write_text(CARD + 'data = ["table.csv"]\n')
    (made / "method.py").write_text(METHOD)
    (made / "helper.py").write_text("from .inner import ONE\nBASE = 1.0\n")
    (made / "inner.py").write_text("ONE = 1.0\n")
    (made / "table.csv").write_text("1.0")
    return made


def digest(folder: Path) -> str:
    return method_ref(find_method(str(folder))).code_hash


def test_helpers_and_data_files_reach_the_worker_and_nothing_else_does(
    folder: Path, pool: Pool, make_task: Any
) -> None:
    (folder / "notes.txt").write_text("not listed")
    (folder / "other.toml").write_text("")
    (folder / "equations.py").write_text("NOT_FOR_RUNS = 1\n")
    task, method = make_task(), find_method(str(folder))
    (cell,) = make_cells([(task, method)], pool, "quick")
    spec = next(iter(cell.specs.values()))
    record = pool.run(cell.job(spec), cell.reproduce(spec))
    assert (record.status, record.message) == ("completed", "")


@pytest.mark.parametrize("name", ["helper.py", "inner.py", "table.csv", "method.py", "card.toml"])
def test_every_file_that_is_used_is_in_the_hash(folder: Path, name: str) -> None:
    before = digest(folder)
    more = {".py": "\nx = 1\n", ".toml": "version = 2\n", ".csv": "\n"}
    with (folder / name).open("a") as file:
        file.write(more[Path(name).suffix])
    assert digest(folder) != before


def test_what_is_no_file_of_the_method_is_ignored(folder: Path) -> None:
    before = digest(folder)
    (folder / ".#method.py").symlink_to("nobody@nowhere.1")
    (folder / "gone.py").symlink_to("nowhere.py")
    (folder / "itself.py").symlink_to("itself.py")
    (folder / "folder.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    (folder / ".hidden.py").write_text("x = 1")
    (folder / "notes.txt").write_text("x")
    assert digest(folder) == before
    (folder / "odd name.py").write_text("x = 1")
    assert digest(folder) != before


def test_equations_and_what_they_are_compared_with_change_no_hash(folder: Path) -> None:
    method = find_method(str(folder))
    before, contents = digest(folder), method.contents
    assert method.equations is None
    (folder / "equations.py").write_bytes(b"#" * 400_001)
    with (folder / "card.toml").open("a") as file:
        file.write(
            '[parity]\nlibrary = "torch.optim.Adam"\nbugs = ["one"]\nsettings.amsgrad = true'
        )
    assert digest(folder) == before
    assert method.contents.keys() == contents.keys()
    assert method.equations == folder / "equations.py"


def test_a_task_has_no_file_that_its_hash_leaves_out(tmp_path: Path) -> None:
    task = tmp_path / "toy"
    shutil.copytree(find_task("rosenbrock").folder, task, copy_function=shutil.copyfile)
    before = code_files(task)
    (task / "equations.py").write_text("x = 1\n")
    assert code_files(task) == sorted([*before, task / "equations.py"])


@pytest.mark.parametrize("name", ["a\udce9.py", "a\nb.py", "a\u202eb.py"])
def test_a_name_that_cannot_be_printed_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("x = 1")
    with pytest.raises(PluginError) as caught:
        digest(folder)
    assert "rename 'a\\" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_link_to_a_file_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("ONE = 1.0\n")
    before = digest(folder)
    (folder / "inner.py").unlink()
    (folder / "inner.py").symlink_to("../elsewhere.py")
    assert digest(folder) == before


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"a.csv": None}, "a.csv: declared under `data` in card.toml, but there is no such file"),
        ({"a.csv": 65_537}, "a.csv: cannot be read as a data file of a method: it is larger than"),
        ({name: 60_000 for name in "abcde"}, "these have 300,000: a, b, c, d, e"),
        ({name: 50_000 for name in "abcde"}, None),
    ],
)
def test_data_files_are_bounded(
    folder: Path, data: dict[str, int | None], says: str | None
) -> None:
    (folder / "card.toml").write_text(f"{CARD}data = {list(data)}\n")
    for name, size in data.items():
        if size is not None:
            (folder / name).write_bytes(bytes(size))
    if says is None:
        digest(folder)
        return
    with pytest.raises(PluginError) as caught:
        digest(folder)
    assert says in str(caught.value)


def test_a_data_file_that_is_no_file(folder: Path) -> None:
    (folder / "table.csv").unlink()
    os.mkfifo(folder / "table.csv")
    with pytest.raises(PluginError, match="not a regular file"):
        digest(folder)


def test_code_is_bounded(folder: Path) -> None:
    (folder / "helper.py").write_bytes(b"#" * 100_001)
    with pytest.raises(PluginError, match="larger than 100,000 bytes"):
        digest(folder)


@pytest.mark.parametrize(
    "line",
    [
        'data = ["../secret"]',
        'data = ["/etc/passwd"]',
        'data = [".ssh"]',
        'data = ["a/b"]',
        'data = [""]',
        'data = ["helper.py"]',
        'data = ["card.toml"]',
        'data = "table.csv"',
        'data = ["a\\nb"]',
        f"data = {[f'f{n}' for n in range(17)]}",
        'packages = ["https://example.org/x.whl"]',
        'packages = ["x @ file:///etc/passwd"]',
        'packages = ["--index-url"]',
        'packages = ["x; python_version > \\"3\\""]',
        'packages = ["x y"]',
    ],
)
def test_a_card_that_lists_something_else(folder: Path, line: str) -> None:
    (folder / "card.toml").write_text(f"{CARD}{line}\n")
    with pytest.raises(CardError, match=r"card\.toml:3: (data|packages)"):
        read_card(folder / "card.toml", SubmissionCard)


def described(pool: Pool, folder: Path) -> str:
    from assay.engine.descriptions import describe_method

    try:
        describe_method(pool, find_method(str(folder)))
    except PluginError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("from .helper import BASE", ""),
        ("from .missing import x", "No module named 'assay_method_method.missing'"),
        ("import helper", "helper.py is in this folder: write `from . import helper`"),
        ("from ..up import x", "beyond top-level package"),
    ],
)
def test_imports_of_a_folder(pool: Pool, folder: Path, line: str, says: str) -> None:
    method = f"from assay import Method\n{line}\n\n\nclass M(Method):\n    pass\n"
    (folder / "method.py").write_text(method)
    said = described(pool, folder)
    assert says in said if says else said == ""


def test_a_range_in_place_of_a_type_is_told_where_ranges_stand(pool: Pool, folder: Path) -> None:
    (folder / "method.py").write_text(
        "from assay import LogUniform, Method\n\n\nclass M(Method):\n"
        "    class Hyperparameters(Method.Hyperparameters):\n"
        "        lr: LogUniform(1e-3, 1.0) = 0.1\n"
    )
    assert "write Annotated[float, LogUniform(low=0.001, high=1.0)]" in described(pool, folder)


def test_an_init_file_is_run_first(pool: Pool, folder: Path) -> None:
    (folder / "__init__.py").write_text("from .helper import BASE\n")
    method = "from assay import Method\nfrom . import BASE\n\n\nclass M(Method):\n    pass\n"
    (folder / "method.py").write_text(method)
    assert described(pool, folder) == ""
    (folder / "__init__.py").write_text("1 / 0\n")
    assert "ZeroDivisionError" in described(pool, folder)


def test_a_tasks_folder_may_have_helpers_too(make_task: Any) -> None:
    task = make_task("helped")
    source = (task.folder / "task.py").read_text()
    (task.folder / "task.py").write_text("from .helper import X\n" + source)
    (task.folder / "helper.py").write_text("X = 1\n")
    (task.folder / "landscape.json").write_text("{}")
    (task.folder / ".#task.py").symlink_to("nobody@nowhere.1")
    load_task(task.folder)
    before = task_ref(find_task(str(task.folder))).code_hash
    (task.folder / "landscape.json").write_text("[]")
    assert task_ref(find_task(str(task.folder))).code_hash == before


@pytest.mark.parametrize(
    ("imported", "says"),
    [
        ("from .inner import Own\n", ""),
        ("from .inner import Own, Other\n", "expected exactly one subclass of Method, found"),
        ("from assay import Method\n", "expected exactly one subclass of Method, found none"),
    ],
)
def test_a_class_may_be_defined_in_a_helper(tmp_path: Path, imported: str, says: str) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    (own / "card.toml").write_text(CARD)
    (own / "method.py").write_text(imported)
    body = "from assay import Method\n\n\nclass Own(Method):\n    pass\n\n\n"
    (own / "inner.py").write_text(body + "class Other(Method):\n    pass\n")
    if says:
        with pytest.raises(PluginError, match=says):
            load_method(own / "method.py")
    else:
        assert load_method(own / "method.py").__name__ == "Own"
