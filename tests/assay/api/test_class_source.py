"""A class of a cell or a module becomes a method file that stands alone."""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from assay.api.class_source import method_text, slug_of, write_method
from assay.errors import AssayError
from assay.plugins.loading import load_method

METHOD = """
class Halved(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: float = 0.3

    def compute_loss(self, outputs, batch, task_loss):
        return half(task_loss(outputs, batch.targets))
"""
Cell = Callable[[str], dict[str, type]]


@pytest.fixture
def cell() -> Iterator[Cell]:
    """Runs source as a notebook does: in one namespace, under names that are no files."""
    module = types.ModuleType("notebook_of_a_test")
    sys.modules[module.__name__] = module
    names: list[str] = []

    def run(text: str) -> dict[str, type]:
        name = f"<cell-of-a-test-{len(names)}>"
        names.append(name)
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(module))
        return vars(module)

    yield run
    del sys.modules[module.__name__]
    for name in names:
        linecache.cache.pop(name, None)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("MyMethod", "my_method"), ("AgreeingSGD", "agreeing_sgd"), ("SGD2", "sgd2"),
     ("LRSchedule", "lr_schedule"), ("Adam", "adam"), ("my_own", "my_own")],
)  # fmt: skip
def test_slugs(name: str, slug: str) -> None:
    assert slug_of(type(name, (), {})) == slug


def test_what_the_class_needs_is_taken_and_no_more(cell: Cell, tmp_path: Path) -> None:
    text = (
        "import json, math\nfrom assay import Choice, Method\nimport torch.nn.functional as F\n"
        "RATE = 0.5\nratio: float = RATE\nunused = json.dumps(1)\n\n"
        "def identity(function):\n    return function\n\n"
        "@identity\ndef half(loss):\n    return loss * ratio * math.cos(0) + other(0)\n\n"
        "def other(n):\n    return half if n else 0.0\n"
        f"{METHOD}\nresult = [1 for Halved in (1,)]\n"
    )
    made = method_text(cell(text)["Halved"])
    assert made.startswith("# Made by assay.run from the class Halved.\nfrom assay import Method\n")
    for part in ("import math\n", "RATE = 0.5\n", "ratio: float = RATE\n", "@identity\ndef half"):
        assert part in made
    for part in ("json", "Choice", "torch", "unused", "result"):
        assert part not in made
    path = write_method(cell(text)["Halved"], tmp_path)
    assert path == tmp_path / "halved.py" and path.read_text() == made
    loaded = load_method(path)
    assert loaded({}).compute_loss(1.0, types.SimpleNamespace(targets=0), lambda *_: 4.0) == 2.0


def test_names_of_other_cells_are_found(cell: Cell) -> None:
    cell("import math as m\nfrom assay import Method\nfrom collections.abc import Iterator as It\n")
    cell("SHARE = 0.5\nPAIR = (1, 'two')\nend = lambda: 0.0\n")
    cell("def half(loss: It) -> float:\n    return loss * SHARE + m.sin(0) + end()\n")
    made = method_text(cell(METHOD)["Halved"])
    assert "import math as m\n" in made and "from assay import Method\n" in made
    assert "from collections.abc import Iterator as It\n" in made
    assert "SHARE = 0.5\n" in made and "PAIR" not in made
    assert made.index("def half(") < made.index("class Halved(")


def test_the_file_depends_on_nothing_else_of_the_cell(cell: Cell) -> None:
    start = "from assay import Method\n"
    half = "def half(x):\n    return x / 2\n"
    texts = [start + half + METHOD, start + "n = 1\n" + half + "\n\n" + METHOD + "print\n"]
    assert len({method_text(cell(text)["Halved"]) for text in texts}) == 1
    assert "from __future__ import annotations\n" in method_text(
        cell("from __future__ import annotations\n" + texts[0])["Halved"]
    )


def test_a_class_without_functions_is_found(cell: Cell) -> None:
    text = "from assay import Method\nclass Slow(Method):\n    pass\n"
    assert "class Slow(Method):\n    pass\n" in method_text(cell(text)["Slow"])


def test_a_class_of_a_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = "def half(x):\n    return x / 2\n"
    (tmp_path / "my_module_of_a_test.py").write_text("from assay import Method\n" + half + METHOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_module_of_a_test as module  # type: ignore[import-not-found]

    assert "return x / 2\n" in method_text(module.Halved)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("", r"half \(not defined\)"),
        ("class Of:\n    def __call__(self, x): ...\nhalf = Of()\n", None),
        ("with open('/dev/null'):\n    half = object()\n", r"half \(a object whose source"),
        ("from assay import Method as half\n", None),
    ],
    ids=["undefined", "an instance whose class is there", "a live object", "an import"],
)
def test_what_is_missing_is_named(cell: Cell, before: str, says: str | None) -> None:
    made = cell("from assay import Method\n" + before + METHOD)["Halved"]
    if says is None:
        assert "half" in method_text(made)
        return
    with pytest.raises(AssayError, match=f"the class Halved needs what cannot be .*{says}.*put it"):
        method_text(made)


def test_a_class_without_source_is_refused() -> None:
    namespace: dict[str, type] = {"__name__": __name__}  # type: ignore[dict-item]
    exec("from assay import Method\nclass Typed(Method):\n    pass\n", namespace)
    with pytest.raises(AssayError, match=r"Typed has no source here.*notebook cell"):
        method_text(namespace["Typed"])


def test_a_class_inside_a_function_is_refused() -> None:
    from assay import Method

    class Inner(Method):
        pass

    with pytest.raises(AssayError, match="defined inside another class or a function"):
        method_text(Inner)


def test_what_is_no_method_or_named_like_one_is_refused(cell: Cell, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="expected a subclass of assay.Method"):
        write_method(int, tmp_path)
    text = "from assay import Method\nclass Adam(Method):\n    pass\n"
    with pytest.raises(AssayError, match="would be called adam, as an entered method is"):
        write_method(cell(text)["Adam"], tmp_path)
    assert list(tmp_path.iterdir()) == []
