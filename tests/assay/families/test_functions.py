"""The synthetic functions as mathematics: formulas, minima, gradients, instances."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from assay.cards import TaskCard
from assay.errors import CardError
from assay.paths import ROOT
from assay.plugins.loading import load_task
from assay.plugins.registry import task_entries
from assay.task import Seeds
from torch import Tensor

FUNCTIONS = sorted(slug for slug, e in task_entries().items() if e.card.family == "functions")
POINTS = sorted(set(FUNCTIONS) - {"matrix_factorization"})
RANDOM = [slug for slug in FUNCTIONS if not task_entries()[slug].card.deterministic]


def folder(slug: str) -> Path:
    return ROOT / "tasks" / slug


def seeds(slug: str, repetition: int = 0) -> Seeds:
    return Seeds("test", slug, repetition)


def gradient(task, z: list[float]) -> Tensor:
    point = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(task.formula(point), point)[0]


def value(task, z: list[float]) -> float:
    return float(task.formula(torch.tensor(z, dtype=torch.float64)))


MINIMIZERS = {
    "diffgrad_f1": [-0.3],
    "diffgrad_f2": [-0.6429185944718618],
    "diffgrad_f3": [0.0],
    "rosenbrock": [1.0, 1.0],
    "beale": [3.0, 0.5],
    "rastrigin_10d": [0.0] * 10,
    "ackley_10d": [0.0] * 10,
    "noisy_quadratic_100d": [0.0] * 100,
    "reddi_online": [-1.0],
}


def test_every_point_function_has_a_known_minimizer_here():
    assert set(MINIMIZERS) == set(POINTS)


@pytest.mark.parametrize("slug", POINTS)
def test_the_card_states_the_value_at_the_known_minimizer(slug):
    task = load_task(folder(slug))
    assert value(task, MINIMIZERS[slug]) == pytest.approx(task.recipe.minimum, abs=1e-12)


@pytest.mark.parametrize("slug", POINTS)
def test_no_nearby_point_lies_below_the_minimum(slug):
    task = load_task(folder(slug))
    generator = torch.Generator().manual_seed(1)
    best = torch.tensor(MINIMIZERS[slug], dtype=torch.float64)
    for scale in (1e-3, 1e-1, 1.0):
        for _ in range(50):
            z = best + scale * torch.randn(len(best), generator=generator, dtype=torch.float64)
            if slug == "reddi_online":
                z = z.clamp(-1, 1)
            assert float(task.formula(z)) >= task.recipe.minimum - 1e-12


# Gradients by hand, at points on every branch.
def f2_slope(x: float) -> float:
    return math.sin(8 * x) + 8 * x * math.cos(8 * x) + 3 * x * x


@pytest.mark.parametrize(
    ("slug", "z", "expected"),
    [
        ("diffgrad_f1", [-1.0], [-1.4]),
        ("diffgrad_f1", [0.5], [0.6]),
        ("diffgrad_f2", [-1.0], [-40.0]),
        ("diffgrad_f2", [-0.7], [f2_slope(-0.7)]),
        ("diffgrad_f2", [0.3], [f2_slope(0.3)]),
        ("diffgrad_f3", [-1.0], [-2.0]),
        ("diffgrad_f3", [-0.45], [1.0]),
        ("diffgrad_f3", [-0.2], [-0.875]),
        ("diffgrad_f3", [0.2], [0.875]),
        ("diffgrad_f3", [0.45], [-1.0]),
        ("diffgrad_f3", [0.75], [1.5]),
        ("rosenbrock", [-1.2, 1.0], [-215.6, -88.0]),
        ("beale", [1.0, 1.0], [0.0, 2 * (1.5 + 2 * 2.25 + 3 * 2.625)]),
        ("reddi_online", [0.3], [2.0]),
    ],
)
def test_gradient_by_hand(slug, z, expected):
    task = load_task(folder(slug))
    assert gradient(task, z).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("slug", "x", "expected"),
    [
        ("diffgrad_f1", 0.2, 0.05),
        ("diffgrad_f2", -0.9, 0.85),
        ("diffgrad_f2", 0.0, 0.85),
        ("diffgrad_f2", 0.5880534752307282, 0.465318103457427),
        ("diffgrad_f3", 0.5, 0.25),
        ("diffgrad_f3", -0.5, 0.25),
        ("diffgrad_f3", 0.4, 0.35),
    ],
)
def test_published_values_of_the_diffgrad_functions(slug, x, expected):
    assert value(load_task(folder(slug)), [x]) == pytest.approx(expected, abs=1e-12)


def test_ten_dimensional_gradients_by_hand():
    z = torch.linspace(-1.3, 2.1, 10, dtype=torch.float64)
    two_pi = 2 * torch.pi
    rastrigin = 2 * z + 10 * two_pi * torch.sin(two_pi * z)
    assert torch.allclose(gradient(load_task(folder("rastrigin_10d")), z.tolist()), rastrigin)
    rms = (z * z).mean().sqrt()
    ackley = (
        20 * torch.exp(-0.2 * rms) * 0.2 * z / (10 * rms)
        + torch.exp(torch.cos(two_pi * z).mean()) * two_pi * torch.sin(two_pi * z) / 10
    )
    assert torch.allclose(gradient(load_task(folder("ackley_10d")), z.tolist()), ackley)


def test_ackley_has_a_finite_gradient_at_its_kink():
    assert gradient(load_task(folder("ackley_10d")), [0.0] * 10).tolist() == [0.0] * 10


@pytest.mark.parametrize(
    ("slug", "start"),
    [
        ("rastrigin_10d", [0.99] + [0.0] * 9),
        ("ackley_10d", [0.9] + [0.0] * 9),
    ],
)
def test_the_global_basin_ends_at_the_second_best_minimum(slug, start):
    task = load_task(folder(slug))
    z = torch.tensor(start, dtype=torch.float64)
    for _ in range(400):
        z = z - 2e-3 * gradient(task, z.tolist())
    assert float(gradient(task, z.tolist()).abs().max()) < 1e-2
    gap = float(task.formula(z)) - task.recipe.minimum
    assert gap == pytest.approx(task.recipe.basin_gap, rel=1e-3)


def test_noisy_quadratic_has_the_condition_number_of_its_card():
    task = load_task(folder("noisy_quadratic_100d"))
    centre = torch.zeros(100, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(task.formula, centre).diagonal()
    assert float(hessian.max() / hessian.min()) == pytest.approx(task.recipe.condition)
    assert float(hessian.max()) == pytest.approx(1.0)


def test_noise_of_the_quadratic_has_the_shape_of_its_hessian():
    task = load_task(folder("noisy_quadratic_100d"))
    sealed = task.prepare(seeds("noisy_quadratic_100d")).sealed
    along = sealed["0.noise"] @ sealed["0.rotation"].T
    ratio = along.std(0) / (task.recipe.noise_sd * task.eigenvalues.sqrt().float())
    assert float((ratio - 1).abs().max()) < 0.12
    assert float((along.mean(0) / along.std(0)).abs().max()) < 4 / task.card.budget.batches**0.5


def test_noise_moves_value_and_gradient_and_nothing_else():
    task = load_task(folder("noisy_quadratic_100d"))
    problem = task.prepare(seeds("noisy_quadratic_100d"))
    model = task.model_for(problem, 0)
    model.load_state_dict(dict(problem.starts[0]))
    rows = problem.train["inputs"][:2]
    clean = torch.autograd.grad(model.value(), model.x)[0]
    noisy = torch.autograd.grad(model(rows), model.x)[0]
    assert torch.allclose(noisy - clean, problem.sealed["0.noise"][:2].mean(0), atol=1e-5)


def test_reddi_draws_each_gradient_once_per_epoch_and_stays_in_its_interval():
    task = load_task(folder("reddi_online"))
    problem = task.prepare(seeds("reddi_online"))
    model, rows = task.model_for(problem, 0), problem.train["inputs"]
    slopes = [float(torch.autograd.grad(model(row[None]), model.x)[0]) for row in rows]
    assert sorted(slopes) == [-10.0] * 100 + [1202.0]
    assert task.card.budget.batches % len(slopes) == 0
    for far, kept in ((3.0, 1.0), (-3.0, -1.0), (0.25, 0.25)):
        with torch.no_grad():
            model.x.fill_(far)
        task.project(model)
        assert float(model.x.detach()) == kept


def test_fixed_starts_are_for_claims_alone():
    for slug in FUNCTIONS:
        card = task_entries()[slug].card
        fixed = card.recipe.get("start_low") == card.recipe.get("start_high", 0)
        assert (card.deterministic, card.tier == "paper") == (fixed, fixed)


@pytest.mark.parametrize("slug", RANDOM)
def test_every_repetition_is_another_problem_and_always_the_same(slug):
    task = load_task(folder(slug))
    one, again, other = (task.prepare(seeds(slug, r)) for r in (0, 0, 1))
    assert one.sealed.keys() == again.sealed.keys()
    assert all(torch.equal(one.sealed[key], again.sealed[key]) for key in one.sealed)
    for start, same in zip(one.starts, again.starts, strict=True):
        assert all(torch.equal(start[key], same[key]) for key in start)
    key = next(iter(one.starts[0]))
    assert not torch.equal(one.starts[0][key], other.starts[0][key])
    if len(one.starts) > 1:
        assert not torch.equal(one.starts[0][key], one.starts[1][key])


@pytest.mark.parametrize("slug", FUNCTIONS)
def test_a_worker_gets_row_numbers_alone_and_every_tensor_can_be_stored(slug, tmp_path):
    from safetensors.torch import load_file, save_file

    task = load_task(folder(slug))
    problem = task.prepare(seeds(slug))
    assert problem.train["inputs"][:, 0].tolist() == list(range(len(problem.train["targets"])))
    assert problem.train.keys() == {"inputs", "targets"}
    assert not problem.train["targets"].any()
    save_file(dict(problem.sealed), tmp_path / "sealed")
    stored, model = problem.train, task.model_for(problem, 0)
    assert set(task.layout(problem)) == set(problem.starts[0])
    for number, start in enumerate(problem.starts):
        save_file(dict(start), tmp_path / f"{number}")
        model.load_state_dict(load_file(tmp_path / f"{number}"))
        loss = task.loss(model(stored["inputs"][:1]), stored["targets"][:1])
        assert loss.shape == ()
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("slug", FUNCTIONS)
def test_no_start_lies_in_the_global_basin(slug):
    task = load_task(folder(slug))
    for repetition in range(3):
        problem = task.prepare(seeds(slug, repetition))
        assert len(problem.starts) == task.recipe.n_starts
        for number, start in enumerate(problem.starts):
            model = task.model_for(problem, number).double()
            assert task.gap(model, start) > task.recipe.basin_gap


@pytest.mark.parametrize("slug", ["rastrigin_10d", "ackley_10d"])
def test_shift_and_rotation_change_neither_values_nor_gradient_lengths(slug):
    task = load_task(folder(slug))
    sealed = task.prepare(seeds(slug)).sealed
    train = {name: sealed[f"0.{name}"].double() for name in ("shift", "rotation", "noise")}
    identity = torch.eye(10, dtype=torch.float64)
    assert torch.allclose(train["rotation"] @ train["rotation"].T, identity, atol=1e-6)
    assert float(train["shift"].abs().max()) > 0.5
    z = torch.linspace(-2, 2, 10, dtype=torch.float64)
    x = torch.linalg.solve(train["rotation"], z) + train["shift"]
    model = task.build_model(train)
    model.load_state_dict({"x": x})
    found = torch.autograd.grad(model.value(), model.x)[0]
    assert float(model.value().detach()) == pytest.approx(value(task, z.tolist()), rel=1e-9)
    assert float(found.norm()) == pytest.approx(float(gradient(task, z.tolist()).norm()), rel=1e-5)


def test_random_rotations_prefer_no_sign():
    from assay.families.functions import random_rotation

    generator = torch.Generator().manual_seed(3)
    draws = torch.stack([random_rotation(3, generator) for _ in range(2000)])
    assert float(draws.mean(0).abs().max()) < 0.06
    assert float((draws**2).mean(0).sub(1 / 3).abs().max()) < 0.03


def test_matrix_factorization_has_its_singular_values_and_its_lowest_saddle():
    task = load_task(folder("matrix_factorization"))
    problem = task.prepare(seeds("matrix_factorization"))
    matrix = problem.sealed["0.matrix"].double()
    left, found, right = torch.linalg.svd(matrix)
    assert found[:4].flip(0).tolist() == pytest.approx(task.singular_values().tolist(), rel=1e-5)
    assert float(found[4]) < 1e-6
    model = task.build_model({"matrix": matrix})
    roots = found[:4].sqrt()
    full = {"u": left[:, :4] * roots, "v": right[:4].T * roots}
    assert task.gap(model, full) < 1e-12
    without = {key: factor.clone() for key, factor in full.items()}
    without["u"][:, 3] = without["v"][:, 3] = 0
    model.load_state_dict(without)
    slopes = torch.autograd.grad(model.value(), list(model.parameters()))
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-6
    assert task.gap(model, without) == pytest.approx(task.recipe.basin_gap, rel=1e-4)


def card_with(**recipe) -> TaskCard:
    card = task_entries()["rosenbrock"].card
    return card.model_copy(update={"recipe": {**card.recipe, **recipe}})


def test_a_recipe_with_mistakes_names_them_all():
    kind = type(load_task(folder("rosenbrock")))
    with pytest.raises(CardError) as caught:
        kind(card_with(gap_floor=0.0, starts=3))
    assert len(caught.value.problems) == 2
    assert "recipe.gap_floor" in str(caught.value)
    assert "recipe.starts" in str(caught.value)


def test_a_floor_above_the_basin_is_refused():
    """A start just above the basin would have no target left, and its progress would be 0 / 0."""
    kind = type(load_task(folder("rosenbrock")))
    with pytest.raises(CardError, match="recipe: `gap_floor <= basin_gap` must hold"):
        kind(card_with(gap_floor=1.0, basin_gap=0.5))


def test_starts_that_all_lie_in_the_basin_are_refused():
    kind = type(load_task(folder("rosenbrock")))
    task = kind(card_with(start_low=1.0, start_high=1.0))
    with pytest.raises(CardError, match="every start lies in the global basin"):
        task.prepare(seeds("rosenbrock"))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tasks").glob("*/landscape.json")), ids=lambda p: p.parent.name
)
def test_landscape_is_the_function_within_the_plot_bounds(path):
    task, drawn = load_task(path.parent), json.loads(path.read_text())
    recipe, axes = task.recipe, drawn["axes"]
    bounds = [(recipe.plot_x_low, recipe.plot_x_high), (recipe.plot_y_low, recipe.plot_y_high)]
    assert [(axis[0], axis[-1]) for axis in axes] == bounds[: recipe.dimension]
    points = list(itertools.product(*axes))
    assert len(points) == len(drawn["values"])
    for z, value in list(zip(points, drawn["values"], strict=True))[::7]:
        formula = float(task.formula(torch.tensor(z, dtype=torch.float64)))
        assert value == pytest.approx(formula, rel=1e-3, abs=1e-3)


def test_every_function_with_plot_bounds_has_a_landscape():
    bounded = {
        p.parent for p in (ROOT / "tasks").glob("*/card.toml") if "plot_x_low" in p.read_text()
    }
    assert bounded == {path.parent for path in (ROOT / "tasks").glob("*/landscape.json")}


def test_curve_holds_the_place_of_small_functions_alone():
    two = load_task(folder("beale"))
    problem = two.prepare(seeds("beale"))
    model = two.model_for(problem, 1).double()
    state = {"x": torch.tensor([3.0, 0.5]) + problem.sealed["1.shift"]}
    assert two.position(model, state) == pytest.approx({"x": 3.0, "y": 0.5}, abs=1e-6)
    assert two.position(model, {"x": torch.tensor([math.nan, 0.0])}) == {}
    ten = load_task(folder("ackley_10d"))
    many = ten.prepare(seeds("ackley_10d"))
    start = many.starts[0]
    assert ten.position(ten.model_for(many, 0).double(), start) == {}
