"""diffGrad's Fig. 4, replayed: lr 0.1, betas (0.95, 0.999), eps 1e-8, 300 iterations from -1."""

import functools

import pytest
from assay.paths import ROOT
from assay.plugins.loading import load_task
from assay.task import Seeds
from pytorch_optimizer import DiffGrad
from torch.optim import Adam

BETAS = (0.95, 0.999)
OPTIMIZERS = {
    "adam": functools.partial(Adam, lr=0.1, betas=BETAS, eps=1e-8),
    "adam, half the lr": functools.partial(Adam, lr=0.05, betas=BETAS, eps=1e-8),
    "diffgrad": functools.partial(DiffGrad, lr=0.1, betas=BETAS, eps=1e-8, weight_decouple=False),
    "adam, beta1 0.9": functools.partial(Adam, lr=0.1, betas=(0.9, 0.999), eps=1e-8),
}


@functools.cache
def trajectory(slug: str, optimizer: str, scale: float = 1.0) -> list[float]:
    """x after each of 300 steps on scale * F, from the task's own start."""
    task = load_task(ROOT / "tasks" / slug)
    problem = task.prepare(Seeds("test", slug, 0))
    model = task.model_for(problem, 0)
    model.load_state_dict(dict(problem.starts[0]))
    assert float(model.x.detach()) == -1.0
    steps = OPTIMIZERS[optimizer](model.parameters())
    xs = []
    for row in problem.train["inputs"]:
        steps.zero_grad()
        (scale * model(row[None])).backward()
        steps.step()
        xs.append(float(model.x.detach()))
    assert len(xs) == 300
    return xs


@pytest.mark.parametrize(
    ("slug", "optimizer", "end"),
    [
        ("diffgrad_f1", "adam", 0.2001),
        ("diffgrad_f1", "diffgrad", -0.3001),
        ("diffgrad_f1", "adam, half the lr", -0.3003),
        ("diffgrad_f2", "adam", 0.0001),
        ("diffgrad_f2", "diffgrad", -0.6430),
        ("diffgrad_f2", "adam, half the lr", -0.6431),
    ],
)
def test_where_the_published_runs_end(slug, optimizer, end):
    assert trajectory(slug, optimizer)[-1] == pytest.approx(end, abs=1.5e-4)


@pytest.mark.parametrize("optimizer", ["adam", "diffgrad", "adam, half the lr"])
def test_all_reach_the_global_basin_of_f3(optimizer):
    tail = trajectory("diffgrad_f3", optimizer)[-100:]
    assert max(abs(x) for x in tail) < 0.05


def test_the_first_overshoot_on_f3_is_smaller_with_diffgrad_but_its_tail_is_not_calmer():
    adam, diffgrad = (trajectory("diffgrad_f3", name) for name in ("adam", "diffgrad"))
    assert max(diffgrad) < max(adam)
    spread = [max(xs[-100:]) - min(xs[-100:]) for xs in (adam, diffgrad)]
    assert spread[1] > spread[0]


@pytest.mark.parametrize("slug", ["diffgrad_f1", "diffgrad_f2"])
def test_a_loss_a_thousand_times_larger_ends_diffgrad_where_adam_ends(slug):
    scaled = trajectory(slug, "diffgrad", 1000.0)[-1]
    assert scaled == pytest.approx(trajectory(slug, "adam")[-1], abs=5e-4)
    assert abs(scaled - trajectory(slug, "diffgrad")[-1]) > 0.4


@pytest.mark.parametrize("slug", ["diffgrad_f1", "diffgrad_f2"])
def test_a_loss_a_thousand_times_smaller_makes_diffgrad_adam_at_half_the_lr(slug):
    small = trajectory(slug, "diffgrad", 1e-3)
    half = trajectory(slug, "adam, half the lr", 1e-3)
    # Not exactly: sigmoid(0.04) = 0.51 on the slope of F2, where both start.
    assert max(abs(a - b) for a, b in zip(small, half, strict=True)) < 0.1
    assert small[-1] == pytest.approx(half[-1], abs=1e-3)


@pytest.mark.parametrize("slug", ["diffgrad_f1", "diffgrad_f2"])
def test_adam_does_not_see_the_scale_of_the_loss(slug):
    assert trajectory(slug, "adam", 1000.0)[-1] == pytest.approx(
        trajectory(slug, "adam")[-1], abs=5e-4
    )


@pytest.mark.parametrize(("slug", "end"), [("diffgrad_f1", -0.3), ("diffgrad_f2", -0.643)])
def test_with_beta1_of_0_9_adam_finds_the_global_minimum_too(slug, end):
    assert trajectory(slug, "adam, beta1 0.9")[-1] == pytest.approx(end, abs=2e-3)
