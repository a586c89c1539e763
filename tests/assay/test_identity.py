from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest
from assay.identity import bare, canonical_json, code_hash, content_id, derive_seed
from assay.paths import ROOT
from hypothesis import given
from hypothesis import strategies as st

SOURCE = '''"""What the module is about."""

from __future__ import annotations

RATE = 0.5  # of labels
NAME = "a" 'b'
TEXT = f"{RATE!r:>{10}} {{kept}} {'q'}"


class Noise:
    """One draw."""

    rate: float = RATE
    """Share that is flipped."""

    def flip(self, labels: list[int], *, by: int = 1) -> list[int]:
        """Shift every label."""
        if not labels:
            return []
        # a reason
        return [(label + by) % 10 for label in labels]
'''

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner),
    max_leaves=8,
)  # fmt: skip


def hash_of(folder: Path, source: str | bytes, name: str = "task.py") -> str:
    path = folder / name
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    return code_hash([path])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@given(JSON)
def test_canonical_json_is_one_spelling(value: object) -> None:
    import json

    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text("abcd", max_size=3), st.integers(), min_size=2))
def test_canonical_json_ignores_the_order_of_keys(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}])
def test_canonical_json_refuses_what_json_cannot_say(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_golden_ids_and_seeds() -> None:
    """Constants of ruleset 1: records on disk are named by them."""
    assert content_id({"b": [1, 2.5, "é"], "a": None}) == "21fddaeebc6c84f1"
    assert derive_seed("assay-1", "tuning", "digits_mlp", 0, "split") == 1143652446946031384


@given(JSON, JSON)
def test_different_content_has_a_different_id(one: object, other: object) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert (content_id(one) == content_id(other)) == same


@given(st.lists(st.text("abc", min_size=1, max_size=3) | st.integers(0, 99), max_size=4))
def test_seeds_are_repeatable_and_fit_every_generator(name: list[str | int]) -> None:
    seed = derive_seed("root", *name)
    assert seed == derive_seed("root", *name)
    assert 0 <= seed < 2**63
    assert seed != derive_seed("root", *name, "more")
    assert seed != derive_seed("other", *name)


def test_seeds_of_many_names_differ() -> None:
    names = [
        (task, repetition, part)
        for task in ("digits_mlp", "digits_cnn")
        for repetition in range(50)
        for part in ("split", "init", "order")
    ]
    assert len({derive_seed("assay-2", *name) for name in names}) == len(names)


def test_code_hash_ignores_comments_docstrings_and_blank_lines(folder: Path) -> None:
    reworded = (
        SOURCE.replace("What the module is about.", "Told otherwise,\non two lines.")
        .replace('"""One draw."""', '"""One draw, reworded."""  # and a remark')
        .replace('"""Share that is flipped."""', "")
        .replace("  # of labels", "")
        .replace("        # a reason\n", "        # another\n    # reason\n\n\n")
        .replace("RATE = 0.5", "\n# before\nRATE  =  0.5")
    )
    assert reworded != SOURCE
    assert hash_of(folder, reworded) == hash_of(folder, SOURCE)
    assert hash_of(folder, SOURCE.replace("\n", "\r\n")) == hash_of(folder, SOURCE)
    assert hash_of(folder, SOURCE.rstrip("\n")) == hash_of(folder, SOURCE)


@given(st.data())
def test_code_hash_ignores_a_comment_after_any_statement(folder: Path, data: st.DataObject) -> None:
    lines = SOURCE.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    words = data.draw(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))
    lines[at] += f"  # {words}"
    assert hash_of(folder, "\n".join(lines) + "\n") == hash_of(folder, SOURCE)


def significant_tokens() -> list[tokenize.TokenInfo]:
    tokens = tokenize.tokenize(io.BytesIO(SOURCE.encode()).readline)
    kinds = {tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING}
    return [t for t in tokens if t.type in kinds and not t.string.startswith('"""')]


@pytest.mark.parametrize("token", significant_tokens(), ids=lambda t: f"{t.start}-{t.string}")
def test_code_hash_sees_a_change_of_any_token(folder: Path, token: tokenize.TokenInfo) -> None:
    lines = SOURCE.splitlines(keepends=True)
    (row, begin), (_, end) = token.start, token.end
    changed = {tokenize.NAME: token.string + "_", tokenize.NUMBER: token.string + "1"}.get(
        token.type, token.string[:-1] + "x" + token.string[-1]
    )
    line = lines[row - 1]
    lines[row - 1] = line[:begin] + changed + line[end:]
    assert hash_of(folder, "".join(lines)) != hash_of(folder, SOURCE)


def test_code_hash_sees_nesting_joined_tokens_and_file_names(folder: Path) -> None:
    assert hash_of(folder, "if a:\n    b\nc\n") != hash_of(folder, "if a:\n    b\n    c\n")
    assert hash_of(folder, "a = not b\n") != hash_of(folder, "a = notb\n")
    assert hash_of(folder, "x = 1\n", "one.py") != hash_of(folder, "x = 1\n", "other.py")
    assert hash_of(folder, "x = 1  # a\n", "data.csv") != hash_of(folder, "x = 1\n", "data.csv")


def test_code_hash_covers_what_runs_depend_on_of_a_card(folder: Path) -> None:
    card = 'title = "A"\nfamilies = ["functions"]\n[[claims]]\ntext = "best"\n'
    own = hash_of(folder, card, "card.toml")
    for same in ("A", "best"):
        assert hash_of(folder, card.replace(same, "Other"), "card.toml") == own
    assert hash_of(folder, card + "# words\n", "card.toml") == own
    assert hash_of(folder, card.replace("functions", "quantization"), "card.toml") != own
    assert hash_of(folder, "new = 1\n" + card, "card.toml") != own
    assert hash_of(folder, "not TOML", "card.toml") != hash_of(folder, "not toml", "card.toml")


def test_code_hash_does_not_depend_on_the_python_that_computes_it(folder: Path) -> None:
    """3.11, 3.12 and 3.13 gave this hash; from 3.12 on an f-string is several tokens."""
    assert hash_of(folder, SOURCE)[:16] == "8c62bb29cba041c0"


def test_code_hash_takes_what_is_not_python_as_bytes(folder: Path) -> None:
    for broken in (b"x = (1\n", b"  x\n y\n", b"x = '\xff\xfe'\n", b"'''"):
        assert hash_of(folder, broken) == hash_of(folder, broken)
        assert hash_of(folder, broken) != hash_of(folder, broken + b"#")


def test_code_hash_is_that_of_a_set_of_files(folder: Path) -> None:
    one, other = folder / "one.py", folder / "other.py"
    one.write_text("x = 1\n")
    other.write_text("y = 2\n")
    assert code_hash([one, other]) == code_hash([other, one])
    assert code_hash([one, other]) != code_hash([one])


class _WithoutDocstrings(ast.NodeTransformer):
    """Bare strings as statements, emptied."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
        return node


HASHED = [*ROOT.glob("submissions/*/*.py"), *ROOT.glob("tasks/*/*.py")]
LONGER = ROOT.glob("suite/assay/*.py")


@pytest.mark.parametrize("path", sorted([*HASHED, *LONGER]), ids=lambda path: path.parent.name)
def test_a_bare_source_does_the_same_has_the_same_hash_and_nothing_beside(
    path: Path, folder: Path
) -> None:
    source = path.read_bytes()
    left = bare(source)
    expected = _WithoutDocstrings().visit(ast.parse(source))
    assert ast.dump(expected, include_attributes=False) == ast.dump(ast.parse(left))
    assert len(left.splitlines()) == len(source.splitlines())
    assert bare(left) == left
    kinds = [t.type for t in tokenize.tokenize(io.BytesIO(left).readline)]
    assert tokenize.COMMENT not in kinds
    (folder / path.name).write_bytes(left)
    assert code_hash([folder / path.name]) == code_hash([path])


def test_a_bare_source_keeps_lines_and_reads_as_utf_8() -> None:
    source = b'# coding: latin-1\ndef f():\n    """A\n    B."""  # C\nx = "\xe9"\r\ny = """#1"""\n'
    left = bare(source).decode()
    assert left == '\ndef f():\n    ""\n  \nx = "\u00e9"\ny = """#1"""\n'
    assert bare(b"def (:\n") == b"def (:\n"
    assert bare(b"\xff\xfe # not text") == b"\xff\xfe # not text"
