"""Methods on functions: the same bits as with the function in the worker, the same counts."""

import pytest
import torch
from assay.families.oracle import GRACE, BudgetSpent
from assay.method import Method
from assay.paths import ROOT
from assay.plugins.loading import load_method, load_task
from assay.task import Seeds

from tests.assay.worker.conftest import session

N_BATCHES = 60


def short(slug):
    task = load_task(ROOT / "tasks" / slug)
    budget = task.card.budget.model_copy(update={"batches": N_BATCHES})
    task.card = task.card.model_copy(update={"budget": budget})
    return task


def method_of(name):
    folder = "submissions" if (ROOT / "submissions" / name).is_dir() else "tests/plugins"
    return load_method(ROOT / folder / name / "method.py")


def on_function(task, problem, method, oracle=None, **values):
    own = method(method.Hyperparameters(**values))
    return session(task, own, problem.train, problem.starts[0], oracle=oracle)


def trained(own):
    points = []
    own.train_batches(10 * N_BATCHES, points.append)
    assert own.stopped
    return points


@pytest.mark.parametrize("slug", ["beale", "noisy_quadratic_100d"])
@pytest.mark.parametrize(
    ("name", "values"),
    [("adam", {}), ("sgd", {"lr": 1e-4}), ("lbfgs", {}), ("sam", {}), ("schedule_free", {})],
)
def test_a_method_gets_the_same_bits_for_the_same_price(slug, name, values, monkeypatch):
    task = short(slug)
    problem = task.prepare(Seeds("test", slug, 0))
    oracle = task.oracle(problem, 0)
    found = trained(on_function(task, problem, method_of(name), oracle, **values))
    function = task.model_for(problem, 0)
    monkeypatch.setattr(task, "build_model", lambda train: function)
    expected = trained(on_function(task, problem, method_of(name), **values))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.batch, one.passes, one.example_passes) == (
            other.batch, other.passes, other.example_passes,
        )  # fmt: skip
        assert one.train_loss == other.train_loss
        assert all(torch.equal(one.state[key], other.state[key]) for key in other.state)
    assert [mark.example_passes for mark in oracle.marks] == [p.example_passes for p in found]


@pytest.mark.parametrize(
    "name", ["adahessian", "psgd_kron", "forward_gradient", "finite_difference_gr", "global_random"]
)
@pytest.mark.filterwarnings("ignore")  # of torch, as it loads its transforms
def test_a_method_trains_on_a_function_and_pays_what_it_declares(name):
    task, method = short("noisy_quadratic_100d"), method_of(name)
    problem = task.prepare(Seeds("test", "noisy_quadratic_100d", 0))
    own = on_function(task, problem, method, task.oracle(problem, 0))
    points = trained(own)
    assert points[-1].example_passes == N_BATCHES
    assert own.plan.batch == N_BATCHES / own.method.passes_per_batch
    assert own.counter.passes == N_BATCHES
    assert not torch.equal(points[-1].state["x"], problem.starts[0]["x"])


class Greedy(Method):
    """Asks on and on within one batch."""

    def training_step(self, step):
        while True:
            step.forward()


class Idle(Method):
    """Asks for nothing, and says that it did more."""

    def training_step(self, step):
        step.count_pass(100)


def test_a_batch_ends_where_the_budget_does():
    task = short("beale")
    problem = task.prepare(Seeds("test", "beale", 0))
    own = on_function(task, problem, Greedy, task.oracle(problem, 0))
    (point,) = trained(own)
    assert (point.batch, point.example_passes) == (1, N_BATCHES + GRACE)
    with pytest.raises(BudgetSpent):
        own.model(problem.train["inputs"][:1])


def test_no_batch_is_free_and_what_a_method_counts_itself_is_nothing():
    task = short("beale")
    problem = task.prepare(Seeds("test", "beale", 0))
    points = trained(on_function(task, problem, Idle, task.oracle(problem, 0)))
    assert points[-1].batch == points[-1].example_passes == N_BATCHES
