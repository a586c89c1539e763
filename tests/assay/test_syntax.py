"""Whatever a stranger writes is read in time that grows with its length, or refused."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from assay.cards import SubmissionCard, read_card
from assay.checking.report import failed, told_once
from assay.detectors.source import oddities
from assay.errors import CardError, PluginError, UnknownName
from assay.identity import bare, source_hash
from assay.plugins.class_card import card_of_file
from assay.syntax import (
    MAX_FSTRING,
    MAX_PARTS,
    MAX_PYTHON_BYTES,
    MAX_TOML_BYTES,
    NotParsed,
    parse_python,
    parse_toml,
)
from assay.untrusted import strict_json, text

N = 4_500
Make = Callable[[int], str]


def read_toml(content: str, folder: Path) -> None:
    path = folder / "card.toml"
    path.write_text(content)
    with pytest.raises(CardError):
        read_card(path, SubmissionCard)
    source_hash([("card.toml", content.encode())])


def read_python(content: str, folder: Path) -> None:
    path = folder / "mine.py"
    path.write_text(content)
    try:
        card_of_file(path)
    except PluginError as error:
        assert "\n" not in str(error)
    source = {"method.py": content.encode()}
    oddities(source)
    source_hash(source.items())


def read_json(content: str, folder: Path) -> None:
    try:
        strict_json.parse(content.encode())
    except strict_json.NotStrict as error:
        assert len(str(error)) < 200


def read_text(content: str, folder: Path) -> None:
    text.unsafe(content, lines=True)
    text.active(content)
    text.private(content, ["somebody"])
    text.without_paths(content)
    text.plain_text(content)
    list(told_once([failed("a", content, "b"), failed("a", content + "1", "c")]))
    str(UnknownName("method", content, ["adam", "sgd"]))


def bases(n: int) -> str:
    rows = [f"class A{i}(A{i - 1}, A{i - 1}): ...\n" for i in range(1, n // 30)]
    return "class A0(Method): ...\n" + "".join(rows)


TOML: dict[str, Make] = {
    "parts of a key": lambda n: "a" + ".a" * (n // 2) + " = 1",
    "quoted parts": lambda n: '"a"' + ' . "a"' * (n // 6) + " = 1",
    "parts of a table": lambda n: "[a" + ".a" * (n // 2) + "]",
    "keys below it": lambda n: "[a" + ".a" * 30 + "]\n" + "b.c = 1\n" * (n // 8),
    "spaces in a header": lambda n: "x = 1\n[a" + " " * n + "\n",
    "unknown keys": lambda n: "".join(f"k{i} = 1\n" for i in range(n // 9)),
    "nested arrays": lambda n: "x = " + "[" * n,
    "nested tables": lambda n: "x = " + "{a=" * (n // 3),
    "digits": lambda n: "x = " + "9" * n,
    "open quotes": lambda n: "x = " + "'\"" * (n // 2),
    "distribution": lambda n: f'slug="a"\ntitle="a"\npackages = ["{"a" * n}"]',
    "pattern": lambda n: f'slug="a"\ntitle="a"\n[[claims]]\ntasks = ["{"[a-" * (n // 3)}"]',
}
PYTHON: dict[str, Make] = {
    "escaped quotes": lambda n: "\\'" * (n // 2),
    "spaces and a sign": lambda n: " " * n + "$",
    "triple quotes": lambda n: '"""' + '\\"""' * (n // 4),
    "a module's parts": lambda n: "import a" + ".a" * (n // 2),
    "a module's parts on lines": lambda n: "import a" + ".\\\na" * (n // 4),
    "fields of an f-string": lambda n: 'f"' + "{a}" * (n // 3) + '"',
    "fields of a format": lambda n: 'f"{a:' + "{b}" * (n // 3) + '}"',
    "strings": lambda n: "'a'\n" * (n // 4),
    "comments": lambda n: "#\n" * (n // 2),
    "bases": bases,
    "families": lambda n: "class A(Method):\n" + " families = ['a']\n" * (n // 18),
    "lists": lambda n: "x = " + "[" * 90 + "[]," * (n // 3) + "]" * 90,
    "open brackets": lambda n: "[" * n,
    "sum": lambda n: "1" + "+1" * (n // 2),
    "signs": lambda n: "-" * n + "1",
    "elif": lambda n: "if 1: ...\n" + "elif 1: ...\n" * (n // 12),
    "encoding": lambda n: "# coding: punycode\n" + "a" * n + "-" + "b" * 99,
    "encoded": lambda n: "x = '" + ("A" * 63 + " ") * (n // 64) + "'",
    "deeper lines": lambda n: "".join(" " * i + "if 1:\n" for i in range(int((2 * n) ** 0.5))),
}
JSON: dict[str, Make] = {
    "keys and one twice": lambda n: (
        '{"z":0,' + "".join(f'"{i}":0,' for i in range(n)) + '"z":0,"z":0}'
    ),
    "depth": lambda n: "[" * n,
    "digits": lambda n: "[" + "9" * n + "]",
    "fraction": lambda n: "[0." + "1" * n + "]",
    "escapes": lambda n: '["' + "\\u0061" * (n // 6) + '"]',
}
TEXT: dict[str, Make] = {
    "spaces": lambda n: " " * n,
    "brackets": lambda n: "(" * n,
    "slashes": lambda n: "/" * n,
    "path without end": lambda n: "/a" + "." * n,
    "half paths": lambda n: "/a. " * (n // 4),
    "tags": lambda n: "<" + " " * n + "<" * n,
    "links": lambda n: "data " * (n // 5) + ":" + " " * n,
}
CASES = [
    pytest.param(read, make, id=f"{read.__name__[5:]}: {name}")
    for read, table in ((read_toml, TOML), (read_python, PYTHON), (read_json, JSON),
                        (read_text, TEXT))
    for name, make in table.items()
]  # fmt: skip


@pytest.fixture
def no_collections() -> Iterator[None]:
    """The collector walks all that other tests left in this process, at moments of its own.

    To collect before would take longer than most of these tests.
    """
    gc.disable()
    yield
    gc.enable()


def seconds(read: Callable[[str, Path], None], content: str, folder: Path) -> float:
    start = time.process_time()
    read(content, folder)
    return time.process_time() - start


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize(("read", "make"), CASES)
def test_four_times_the_length_takes_four_times_the_time(
    read: Callable[[str, Path], None], make: Make, tmp_path: Path
) -> None:
    """Where time grows with the square it takes sixteen times as long; other work disturbs less."""
    ratio = 0.0
    for _ in range(4):
        one = seconds(read, make(N), tmp_path)
        ratio = seconds(read, make(4 * N), tmp_path) / max(one, 0.01)
        if ratio < 8:
            return
    pytest.fail(f"{ratio:.1f} times as long")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"#" * (MAX_TOML_BYTES + 1), "20,001 bytes, expected at most 20,000"),
        (b"a" + b".a" * MAX_PARTS + b" = 1", "a key of more than 32 parts"),
        (b"\xff", "UTF-8"),
        (b"x = [", "not valid TOML"),
    ],
)
def test_toml_is_refused_in_one_line(data: bytes, says: str) -> None:
    with pytest.raises(NotParsed, match=says):
        parse_toml(data)


@pytest.mark.parametrize(
    "data",
    [
        b'x = "a.a' + b".a" * 99 + b'"',
        b"x = '''\n" + b".a" * 99 + b"'''",
        b"# a" + b".a" * 99,
        b"x = [" + b"0.5, " * 99 + b"]",
        b"a" + b".a" * (MAX_PARTS - 1) + b" = 1",
    ],
)
def test_dots_in_texts_and_numbers_are_no_parts_of_a_key(data: bytes) -> None:
    parse_toml(data)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"#" * (MAX_PYTHON_BYTES + 1), "more than 100,000 bytes"),
        (b"import a" + b".a" * 99, "a name of more than 32 parts"),
        (b"f'" + b"{a}" * MAX_FSTRING + b"'", "an f-string of more than 5,000 characters"),
        (b"x = (", r"never closed \(line 1\)"),
        (b"-" * 9000 + b"1", "nested too deeply"),
        (b"1" + b"+1" * 9000, "nested too deeply"),
        (b"x = 'a", "no Python"),
        (b"x = $", "no Python"),
        (b"# coding: utf-7\n", "no Python"),
        (b"\x00", "no Python"),
    ],
)
def test_python_is_refused_in_one_line(source: bytes, says: str) -> None:
    with pytest.raises(NotParsed, match=says):
        parse_python(source)


@pytest.mark.parametrize(
    "source",
    [
        b"x = (1,  # a\n",
        b"x = 'a # b\n",
        b"# coding: utf-7\n# a\n",
        b"'a' # b\n$",
        b"x\n  y # a\n z",
    ],
)
def test_what_is_no_python_is_hashed_as_it_is(source: bytes) -> None:
    """A worker gets it as it is, so everything in it counts."""
    assert bare(source) == source
    assert source_hash([("a.py", source)]) != source_hash([("a.py", source.replace(b"a", b"c"))])


def test_a_line_feed_by_any_other_name_ends_a_comment() -> None:
    assert bare(b"x = 1 # a\ry = 2 # b\r\n") == b"x = 1 \ny = 2 \n"


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Up to Python 3.11.4 such a group, `(...)*+`, fails on text that it should match.

    With Debian 12's Python every method was "no Python" and had another hash than elsewhere. An
    atomic group around the repetition means the same and works.
    """
    root = Path(__file__).parents[2]
    files = [path for wing in ("suite", "leaderboard") for path in (root / wing).rglob("*.py")]
    wrong = re.compile(r"\)(?:[*+?]|\{[^{}\n]*\}+)\+[^ ]")
    found = [
        f"{path.name}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if wrong.search(line)
    ]
    assert len(files) > 100 and not found
