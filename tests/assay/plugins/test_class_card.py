"""What a single file says of itself in class attributes, read without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
from assay.cards import FAMILIES, SubmissionCard
from assay.errors import PluginError
from assay.plugins.registry import find_method

HEAD = "raise SystemExit\nfrom assay import Method\nimport assay\n"


def card(folder: Path, text: str) -> SubmissionCard:
    path = folder / "my_method.py"
    path.write_text(HEAD + text)
    return find_method(str(path)).card


@pytest.mark.parametrize(
    ("text", "families", "track", "access"),
    [
        ("class M(Method):\n    pass\n", list(FAMILIES), "open", []),
        ('class M(Method):\n    families = ["functions"]\n', ["functions"], "open", []),
        ('class M(Method):\n    families = ("functions",)\n', ["functions"], "open", []),
        (
            'class M(assay.Method):\n    track: str = "loss"\n    access = ["noise_rate"]\n',
            list(FAMILIES), "loss", ["noise_rate"],
        ),
        (
            'class Base(Method):\n    track = "loss"\n\nclass Other:\n    track = "open"\n\n'
            'class M(Base):\n    access = ["noise_rate"]\n',
            list(FAMILIES), "loss", ["noise_rate"],
        ),
        (
            'from assay import Method as X\nclass M(X):\n    track = "loss"\n',
            list(FAMILIES), "loss", [],
        ),
        (
            'class A(Method):\n    track = "loss"\nclass B(Method): pass\n',
            list(FAMILIES), "open", [],
        ),
        ("class M(Method):\n    syntax error\n", list(FAMILIES), "open", []),
    ],
)  # fmt: skip
def test_class_attributes_are_the_card(
    tmp_path: Path, text: str, families: list[str], track: str, access: list[str]
) -> None:
    found = card(tmp_path, text)
    assert (found.families, found.track, found.access) == (families, track, access)
    assert found.slug == "my_method"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("families = FAMILIES", "line 5: families: expected a value that is written out"),
        ("track = 'lo' + 'ss'", "line 5: track: expected a value that is written out"),
        ("families = ['function']", "attribute of the class: families.0: expected 'class"),
        ("families = []", "attribute of the class: families"),
        ("families = 'functions'", "attribute of the class: families"),
        ("access = ['labels']", "attribute of the class: access.0"),
        ("track = 'fast'", "attribute of the class: track"),
        ("track = " + "(" * 150 + ")" * 150, ""),
    ],
)
def test_an_attribute_that_cannot_be_used_is_one_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(PluginError) as caught:
        card(tmp_path, f"class M(Method):\n    {line}\n")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_card_beside_it_wins(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "card.toml").write_text('slug = "mine"\ntitle = "Mine"\ntrack = "loss"\n')
    (folder / "method.py").write_text("class M(Method):\n    track = nonsense\n")
    assert find_method(str(folder)).card.track == "loss"
    assert find_method(str(folder / "method.py")).card.track == "loss"


@pytest.mark.parametrize(
    "line",
    ["import helper", "from helper import x", "from .helper import x", "from . import helper",
     "def late():\n    import helper.inner", "import pack"],
)  # fmt: skip
def test_a_file_that_imports_its_neighbour_is_told_to_be_a_folder(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    with pytest.raises(
        PluginError, match=r"a single file runs alone; make a folder with card.toml"
    ):
        card(tmp_path, line + "\n")


def test_a_neighbour_with_the_name_of_a_library_is_not_meant(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "random.py").write_text("")
    assert card(tmp_path, "import random\nimport torch.nn\nimport absent_library\n").slug
