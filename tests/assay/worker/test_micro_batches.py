"""step.micro_gradients: the gradients of the parts of a batch, in one pass."""

import pytest
import torch
from assay.method import Batch, Method
from assay.paths import ROOT
from assay.plugins.loading import load_task
from assay.task import Seeds
from assay.worker.micro_batches import micro_gradients
from assay.worker.pass_counter import PassCounter
from torch import nn

from tests.assay.worker.conftest import session


def mixed_loss(outputs, batch):
    """A loss that looks at labels, at mixed labels, and at the examples' indices."""
    per_example = nn.functional.cross_entropy(outputs, batch.targets, reduction="none")
    return (per_example * (1 + batch.indices)).mean()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(7)
    return Batch(
        torch.randn(6, 4, generator=generator, dtype=torch.float64),
        torch.tensor([0, 1, 2, 1, 0, 2]),
        torch.tensor([3, 0, 5, 1, 2, 4]),
    )


@pytest.fixture
def network():
    torch.manual_seed(2)
    layers = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)
    return nn.Sequential(*layers).double()  # norms of two examples magnify rounding


@pytest.mark.parametrize("mixed", [False, True])
def test_they_are_the_gradients_of_the_parts_one_by_one(batch, network, mixed):
    if mixed:
        batch.targets = torch.randn(6, 3, dtype=torch.float64).softmax(1)
    expected, losses = [], []
    for part in range(3):
        own = slice(2 * part, 2 * part + 2)
        sub = Batch(batch.inputs[own], batch.targets[own], batch.indices[own])
        loss = mixed_loss(network(sub.inputs), sub)
        expected.append(torch.autograd.grad(loss, list(network.parameters())))
        losses.append(loss.detach())
    network[1].reset_running_stats()
    counter = PassCounter()
    with counter:
        found, found_losses = micro_gradients(network, batch, mixed_loss, 4)  # 3 divides 6
    for number, part in enumerate(found):
        torch.testing.assert_close(part, torch.stack([own[number] for own in expected]))
    torch.testing.assert_close(found_losses, torch.stack(losses))
    assert counter.passes == 1
    assert all(p.grad is None for p in network.parameters())
    means = network[0](batch.inputs).mean(0)
    torch.testing.assert_close(network[1].running_mean, 0.1 * means.detach())
    assert network[1].num_batches_tracked == 1


class PartByPart(Method):
    """SGD by the mean of the parts' gradients: of the whole batch, where parts do not interact."""

    k = 4

    def training_step(self, step):
        for p, g in zip(step.model.parameters(), step.micro_gradients(self.k), strict=True):
            p.grad = g.mean(0)
        step.optimizer_step()


def session_of(method, slug):
    task = load_task(ROOT / "tasks" / slug)
    problem = task.prepare(Seeds("test", slug, 0))
    oracle = task.oracle(problem, 0) if task.card.family == "functions" else None
    own = method(method.Hyperparameters())
    return session(task, own, problem.train, problem.starts[0], oracle=oracle)


@pytest.mark.parametrize("slug", ["digits_mlp", "beale"])
def test_a_method_that_averages_them_trains_as_the_whole_batch_does(slug):
    one, other = session_of(PartByPart, slug), session_of(Method, slug)
    points = [], []
    for made, own in zip((one, other), points, strict=True):
        for _ in range(30):
            made.train_batches(1, own.append)
        own.append(made.take_point())
    for found, expected in zip(*points, strict=True):
        assert (found.batch, found.passes) == (expected.batch, expected.passes)
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
        for name, tensor in expected.state.items():
            torch.testing.assert_close(found.state[name], tensor, rtol=1e-3, atol=1e-5)
