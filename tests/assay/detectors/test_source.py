"""What the detectors read in a submission's source: data that is no code, and copies of others."""

from __future__ import annotations

import random
import string

import pytest
from assay.cards import TaskCard
from assay.detectors import detect
from assay.detectors.source import (
    Library,
    defined_hooks,
    max_entropy,
    oddities,
    resemblances,
    shape,
)
from assay.plugins import registry
from hypothesis import given
from hypothesis import strategies as st

CARD: TaskCard = registry.task_entries()["digits_cnn"].card


def sources_here() -> dict[str, dict[str, bytes]]:
    """Every submission of this checkout."""
    return {slug: entry.contents for slug, entry in registry.method_entries().items()}


def test_no_submission_of_this_checkout_is_flagged() -> None:
    here = sources_here()
    assert len(here) >= 25
    for source in here.values():
        assert detect([], source, CARD, [], others=here) == []


def random_text(n: int, alphabet: str) -> str:
    return "".join(random.Random(0).choices(alphabet, k=n))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("table = [" + "0.123, " * 100 + "]", "100 numbers in one literal"),
        ("labels = " + "7" * 200, "a whole number of"),
        ("labels = " + repr("x y " * 200), "a literal of 800 characters"),
        ("labels = b'" + "x y " * 200 + "'", "a literal of 800 characters"),
        ('"""' + random_text(90, string.ascii_letters + "+/") + '"""', "look encoded"),
        ("# " + random_text(4000, string.printable[:94]), "bits per byte"),
        ("x = 1\n" * 10_000, "expected at most 40,000"),
        ("x = (", "cannot be parsed"),
    ],
)
def test_data_in_source_is_flagged(code: str, said: str) -> None:
    assert any(said in text for text in oddities({"method.py": code.encode()}))


def test_a_file_that_is_no_source_is_flagged() -> None:
    assert oddities({"weights.bin": bytes(10)}) == [
        "weights.bin: neither Python nor TOML (10 bytes)"
    ]


@given(st.binary(max_size=3000))
def test_no_bytes_break_the_source_detectors(data: bytes) -> None:
    source = {"method.py": data, "card.toml": data}
    oddities(source)
    assert defined_hooks(source) <= {"compute_loss"} or data
    assert 0 <= max_entropy(data or b"x") <= 8
    resemblances(source, Library({"other": source}))


def renamed(source: str) -> str:
    """diffgrad_alias as a thief would hand it in."""
    names = {
        "AliasedDiffGrad": "Momentous",
        "DiffGradAlias": "MyOwn",
        "correction1": "c_one",
        "correction2": "c_two",
        "_update": "_apply",
        "step_size": "reach",
        "1e-3": "2e-3",
        "0.999": "0.99",
    }
    for old, new in names.items():
        source = source.replace(old, new)
    return source.replace('"""Control arm', '"""My own idea')


def test_a_renamed_copy_is_flagged() -> None:
    here = sources_here()
    stolen = renamed(here["diffgrad_alias"]["method.py"].decode()).encode()
    copy = {"card.toml": b'slug = "mine"', "method.py": stolen}
    (flag,) = detect([], copy, CARD, [], others=here)
    assert flag.code == "duplicate" and "diffgrad_alias: the same code" in flag.message
    changed = stolen.replace(b"xi = grad.abs()", b"grad.clamp_(-1, 1)\n        xi = grad.abs()")
    (flag,) = detect([], copy | {"method.py": changed}, CARD, [], others=here)
    assert "diffgrad_alias: likeness 0.9" in flag.message


@pytest.mark.parametrize(
    ("card", "code"),
    [
        (b'slug = "mine"\nsupersedes = "diffgrad_alias"', "derived"),
        (b'slug = "mine"\nderived_from = ["diffgrad_alias"]', "derived"),
        (b'slug = "mine"\n[paper]\nidentifier = "arXiv:1909.11015"', "duplicate"),
        (b'slug = "diffgrad_alias"', None),
    ],
)
def test_a_declared_relative_is_shown_as_derived(card: bytes, code: str | None) -> None:
    """The same paper is no declaration: a copy can name it too."""
    here = sources_here()
    source = {"card.toml": card, "method.py": here["diffgrad_alias"]["method.py"]}
    found = detect([], source, CARD, [], others=here)
    assert [flag.code for flag in found] == ([code] if code else [])


def test_the_original_is_not_flagged_beside_what_says_that_it_comes_from_it() -> None:
    here = sources_here()
    card = b'slug = "mine"\nderived_from = ["diffgrad_alias"]'
    variant = {"card.toml": card, "method.py": here["diffgrad_alias"]["method.py"]}
    assert resemblances(here["diffgrad_alias"], Library({**here, "mine": variant})) == []


def test_what_a_method_calls_is_part_of_its_shape() -> None:
    one, other = (b"from torch import optim\nx = optim.%s(1)" % n for n in (b"Adam", b"SGD"))
    assert shape({"m.py": one}) != shape({"m.py": other})
    assert shape({"m.py": one}) == shape({"m.py": one.replace(b"x =", b"y =")})
