"""The bits of data that a submission carries: what is counted, and what is flagged."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from assay.detectors.source import oddities
from assay.detectors.source_data import LIMITS, SourceData, source_data
from assay.paths import ROOT
from assay.plugins.files import method_files, read_files

N_WORDS = 2000
HONEST = [
    path
    for folder in ("submissions", "tests/plugins")
    for path in sorted((ROOT / folder).iterdir())
    if path.name != "syntax_error" and (path / "method.py").is_file()
]
ADAM = (ROOT / "submissions" / "adam" / "method.py").read_text()


def files(folder: Path) -> dict[str, bytes]:
    """What a worker gets in a run."""
    return read_files(method_files(folder / "method.py"))


@pytest.mark.parametrize("folder", HONEST, ids=lambda path: path.name)
def test_no_honest_method_is_flagged(folder: Path) -> None:
    data = source_data(files(folder))
    assert data.excess == []
    assert 0 < data.total_bits == sum(data.parts.values()) < LIMITS["total"]


def words(n_different: int) -> list[str]:
    """A network of N_WORDS words."""
    draw = random.Random(0)
    letters = "bcdfghklmnprst"
    known = [f"{a}e{b}" for a in letters for b in letters][:n_different]
    return draw.choices(known, k=N_WORDS)


def rows(parts: list[str], n: int) -> list[list[str]]:
    return [parts[at : at + n] for at in range(0, len(parts), n)]


def names() -> str:
    return "\n".join(f"{word}_{number} = 1" for number, word in enumerate(words(16)))


def few_names() -> str:
    return "".join(f"y = {', '.join(row)}\n" for row in rows(words(3), 10))


def attributes() -> str:
    return "".join(f"y.{'.'.join(row)}\n" for row in rows(words(4), 20))


def annotations() -> str:
    return "".join(f"def f{n}({', '.join(dict.fromkeys(row))}): ...\n"
                   for n, row in enumerate(rows(words(16), 20)))  # fmt: skip


def operators() -> str:
    draw = random.Random(0)
    parts = draw.choices("+-*/%@&|^", k=N_WORDS)
    return "".join(f"y = x {' x '.join(row)} x\n" for row in rows(parts, 40))


def fstrings() -> str:
    return "".join(f"y = f'{{y:{'}{y:'.join(row)}}}'\n" for row in rows(words(16), 10))


def strings() -> str:
    return "".join(f"y = '{word}'\n" for word in words(16))


def half_docstrings() -> str:
    """Strings beside strings are no docstrings: they stay."""
    return "".join(f"'{word}' ''\n" for word in words(16))


def numbers() -> str:
    draw = random.Random(0)
    return "".join(f"y = {draw.randrange(4)}\n" for _ in range(N_WORDS))


def spaces() -> str:
    draw = random.Random(0)
    return "".join(f"y{' ' * draw.randrange(1, 4)}= 1\n" for _ in range(N_WORDS))


def blank_lines() -> str:
    draw = random.Random(0)
    return "".join("y = 1" + "\n" * draw.randrange(1, 5) for _ in range(N_WORDS))


def no_python() -> str:
    return "(" + " ".join(words(16))


@pytest.mark.parametrize(
    "hidden",
    [
        names, few_names, attributes, annotations, operators, fstrings, strings, half_docstrings,
        numbers, spaces, blank_lines, no_python,
    ],
    ids=lambda one: one.__name__,
)  # fmt: skip
def test_a_network_of_2000_words_is_flagged(hidden: Callable[[], str]) -> None:
    source = {"method.py": f"{ADAM}\n{hidden()}".encode()}
    honest, data = source_data({"method.py": ADAM.encode()}), source_data(source)
    # What was drawn from three possibilities or more takes 1.58 bits, however it is written.
    assert data.total_bits - honest.total_bits > 1.58 * N_WORDS
    assert data.excess


def test_excess_is_an_oddity() -> None:
    source = {"method.py": few_names().encode()}
    assert set(source_data(source).excess) <= set(oddities(source))


def test_bytes_that_are_no_text_count_each_for_itself() -> None:
    data = random.Random(0).randbytes(1000)
    assert source_data({"method.py": data}).total_bits > 8 * 900


def test_names_of_many_files_are_flagged() -> None:
    source = {f"{word}{n}.py": b"" for n, word in enumerate(words(16)[:60])}
    assert any("in its files" in text for text in source_data(source).excess)


def test_what_no_worker_gets_counts_nothing() -> None:
    text = " ".join(words(16))
    plain = {"method.py": b"x = 1\n", "card.toml": b""}
    noted = {"method.py": b"x = 1\n", "card.toml": f"# {text}".encode()}
    assert source_data(plain) == source_data(noted)
    documented = {"method.py": f'"""{text}"""\n# {text}\nx = 1\n'.encode()}
    assert source_data(documented).text < 30


def test_data_files_count_in_full() -> None:
    data = source_data({"method.py": b"", "table.bin": bytes(1000)})
    assert data.data == 8000
    assert SourceData(data=8000).total_bits == 8000
