from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from assay.cards import (
    FAMILIES,
    HOOKS,
    TRACKS,
    Evaluation,
    SubmissionCard,
    TaskCard,
    read_card,
    spending_problem,
)
from assay.errors import CardError
from assay.method import Method
from assay.paths import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TASK = """\
slug = "toy"
version = 1
title = "A toy"
summary = "For tests."
family = "classification"
tier = "lite"
n_classes = 10
reference = "sgd"
access = ["sample_indices"]

[dataset]
name = "digits"
source = "UCI"
licence = "CC BY 4.0"

[split]
train = 100
val = 100

[model]
name = "mlp"

[metric]
name = "accuracy"
direction = "maximize"
chance = 0.1
margin = 0.01

[[targets]]
name = "easy"
value = 0.5

[[targets]]
name = "stretch"
value = 0.9

[budget]
batches = 10
batch_size = 2
seconds = 5

[[citation]]
title = "One"
year = 2019
identifier = "arXiv:1"

[[citation]]
title = "Two"
year = 2020
identifier = "arXiv:2"
"""

BREAKS = {
    "version = 1": ("version = 0", "version"),
    'family = "classification"': ('family = "vision"', "family"),
    "n_classes = 10": ("n_classes = -1", "n_classes"),
    'access = ["sample_indices"]': ('access = ["test_labels"]', "access.0"),
    'source = "UCI"': ('source = ""', "dataset.source"),
    "train = 100": ('train = "many"', "split.train"),
    'direction = "maximize"': ('direction = "up"', "metric.direction"),
    "margin = 0.01": ("margin = 0", "metric.margin"),
    "chance = 0.1": ("chance = nan", "metric.chance"),
    'name = "stretch"': ('name = "hard"', "targets.1.name"),
    "value = 0.5": ("value = inf", "targets.0.value"),
    "batches = 10": ("batches = 0", "budget.batches"),
    "seconds = 5": ("seconds = -5", "budget.seconds"),
    "year = 2020": ("year = 20", "citation.1.year"),
    'identifier = "arXiv:1"': ("pages = 3", "citation.0.pages"),
    'tier = "lite"': ('tier = "lite"\ncolour = "red"', "colour"),
}


def write_card(folder: Path, text: str, slug: str = "toy") -> Path:
    path = folder / slug / "card.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("kind", "model"), [("tasks", TaskCard), ("submissions", SubmissionCard)], ids=str
)
def test_every_card_of_this_checkout_reads_and_round_trips(kind: str, model: Any) -> None:
    paths = sorted((ROOT / kind).glob("*/card.toml"))
    assert paths
    for path in paths:
        card = read_card(path, model)
        assert model.model_validate_json(card.model_dump_json()) == card
        declared = tomllib.loads(path.read_text())
        assert model(**{**card.model_dump(), **declared}) == card


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chosen=st.sets(st.sampled_from(sorted(BREAKS)), min_size=1))
def test_every_problem_is_named_at_once_with_its_line(tmp_path: Path, chosen: set[str]) -> None:
    text = TASK
    for good in chosen:
        assert text.count(good) == 1
        text = text.replace(good, BREAKS[good][0])
    path = write_card(tmp_path, text)
    with pytest.raises(CardError) as caught:
        read_card(path, TaskCard)
    lines = text.splitlines()
    for good in chosen:
        bad, key = BREAKS[good]
        number = lines.index(bad.splitlines()[-1]) + 1
        expected = f"{path}:{number}: {key}"
        assert any(problem.startswith(expected) for problem in caught.value.problems), (
            expected,
            caught.value.problems,
        )
    named = {BREAKS[good][1] for good in chosen} | {"citation.0.identifier"}
    for problem in caught.value.problems:
        assert any(f": {key}" in problem for key in named), problem


def test_a_missing_key_is_reported_at_its_table(tmp_path: Path) -> None:
    text = TASK.replace("batch_size = 2\n", "").replace('title = "A toy"\n', "")
    path = write_card(tmp_path, text)
    with pytest.raises(CardError) as caught:
        read_card(path, TaskCard)
    table = text.splitlines().index("[budget]") + 1
    assert sorted(caught.value.problems) == sorted(
        [f"{path}:1: title: is missing", f"{path}:{table}: budget.batch_size: is missing"]
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"slug = ",
        b'slug = "a"\nslug = "b"\n',
        b"x = " + b"[" * 10_000,
        b"x = " + b"9" * 5000,
        b"x = 2020-13-45\n",
        b"\x00",
    ],
    ids=["not-utf8", "cut", "twice", "nested", "digits", "date", "null"],
)
def test_what_is_not_toml_is_one_problem(tmp_path: Path, content: bytes) -> None:
    path = write_card(tmp_path, "")
    path.write_bytes(content)
    with pytest.raises(CardError, match=r"card\.toml: (not valid TOML|cannot be read as UTF-8)"):
        read_card(path, TaskCard)


def test_a_method_may_require_number_formats_and_nothing_else(tmp_path: Path) -> None:
    """With other parts of a recipe an author could choose the tasks that a method enters."""
    path = write_card(tmp_path, 'slug = "toy"\ntitle = "T"\n[requires]\ndimension = [2]\n')
    with pytest.raises(CardError, match=r"requires\.dimension.*'weight_bits' or 'activation_bits'"):
        read_card(path, SubmissionCard)


def test_a_missing_card_and_a_wrong_folder_name(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot be read"):
        read_card(tmp_path / "nowhere" / "card.toml", TaskCard)
    path = write_card(tmp_path, TASK, "elsewhere")
    with pytest.raises(CardError, match=r"card\.toml:1: slug: is 'toy', expected .* 'elsewhere'"):
        read_card(path, TaskCard)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 200), st.sampled_from(["linear", "log"]), st.integers(1, 5000))
def test_evaluation_points(points: int, spacing: Any, total: int) -> None:
    batches = Evaluation(points=points, spacing=spacing).batches(total)
    assert batches == sorted(set(batches))
    assert batches[0] >= 1
    assert batches[-1] == total
    assert len(batches) <= points


@pytest.mark.parametrize(
    ("batches", "most"),
    [(120, 152), (1000, 1100)],  # 32 batches; a tenth
)
def test_how_far_beyond_its_budget_a_run_may_end(batches: int, most: int) -> None:
    card = read_card(ROOT / "tasks/digits_mlp/card.toml", TaskCard)
    size = card.budget.batch_size
    card = card.model_copy(update={"budget": card.budget.model_copy(update={"batches": batches})})
    points = card.evaluation.thresholds(card.budget)[:-1]
    assert spending_problem([*points, most * size], card) is None
    assert "beyond the budget" in (spending_problem([*points, most * size + 1], card) or "")


def test_tracks_and_hooks_name_what_a_method_has() -> None:
    assert all(hasattr(Method, hook) for hook in HOOKS)
    assert all(allowed <= set(HOOKS) for allowed in TRACKS.values())
    assert SubmissionCard(slug="a", title="a").families == list(FAMILIES)


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        ("chance = 0.1", "chance = nan", "metric.chance: expected a finite number (got 'nan')"),
        ("chance = 0.1", 'chance = "low"', "metric.chance: expected a number (got 'low')"),
        ("batch_size = 2", "batch_size = 2.5", "budget.batch_size: expected a whole number"),
        ('title = "A toy"', "title = 7", "title: expected a text (got '7')"),
        ('title = "A toy"', 'title = "A toy"\ncolour = 1', "colour: is not a key of this card"),
        (
            "[metric]",
            "[recipe]\nrate = nan\n[metric]",
            "recipe.rate: expected a finite number (got 'nan')",
        ),
        (
            "[metric]",
            "[recipe]\nrate = [1]\n[metric]",
            "recipe.rate: expected a number, a text or a bool (got '[1]')",
        ),
    ],
)
def test_a_wrong_value_is_one_problem_in_plain_words(
    tmp_path: Path, good: str, bad: str, expected: str
) -> None:
    assert TASK.count(good) == 1
    path = write_card(tmp_path, TASK.replace(good, bad))
    with pytest.raises(CardError) as caught:
        read_card(path, TaskCard)
    (problem,) = caught.value.problems
    assert expected in problem
    assert "Input should" not in problem


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ('library = "timm.optim.Lion"', "parity.library"),
        ('library = "torch.optim.Adam.step"', "parity.library"),
        ("settings.betas = {}", "parity.settings.betas"),
        ("values.period = []", "parity.values.period"),
        ('base = "Not A Slug"', "parity.base"),
        ('bugs = [""]', "parity.bugs.0"),
        ("equal = true", "parity.equal"),
    ],
)
def test_what_a_method_is_compared_with_is_validated(tmp_path: Path, line: str, where: str) -> None:
    path = write_card(tmp_path, f'slug = "toy"\ntitle = "Toy"\n[parity]\n{line}\n')
    with pytest.raises(CardError, match=f"{where}"):
        read_card(path, SubmissionCard)


def test_what_a_method_is_compared_with_is_read(tmp_path: Path) -> None:
    text = (
        '[parity]\nlibrary = "torch.optim.Adam"\nbase = "sgd"\n'
        'settings = {betas = ["beta1", 0.999], amsgrad = true, foreach = false}\n'
    )
    card = read_card(write_card(tmp_path, f'slug = "toy"\ntitle = "T"\n{text}'), SubmissionCard)
    assert card.parity.settings["betas"] == ["beta1", 0.999]
    assert (card.parity.settings["amsgrad"], card.parity.bugs) == (True, [])


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("linear", [1.0, 0.75, 0.25, 0.0]),
        ("constant", [1.0] * 4),
        ("drop", [1.0, 1.0, 1.0, 0.1]),
    ],
)
def test_the_schedule_of_a_task_is_a_factor_on_its_rate(
    schedule: str, factors: list[float]
) -> None:
    card = TaskCard(**tomllib.loads(TASK) | {"schedule": schedule})
    assert [card.lr_factor(elapsed) for elapsed in (0.0, 0.25, 0.75, 1.0)] == factors
