"""A function behind an oracle: the same numbers as the function itself, each call counted."""

import copy

import pytest
import torch
from assay.errors import PluginError
from assay.families.oracle import GRACE, BudgetSpent, FunctionOracle, digest_of
from assay.families.oracle_model import OracleModel, row_numbers
from torch import func, nn
from torch.autograd import forward_ad, functional

N_ROWS = 5
ROWS = torch.tensor([[1.0], [3.0]])


class Curved(nn.Module):
    """A function of two unknowns of different shapes, with third derivatives and noise."""

    def __init__(self):
        super().__init__()
        self.u = nn.Parameter(torch.zeros(3))
        self.v = nn.Parameter(torch.zeros(2, 2))
        noise = torch.arange(15.0).view(N_ROWS, 3)
        self.register_buffer("noise", noise, persistent=False)

    def forward(self, inputs):
        noise = self.noise.index_select(0, inputs[:, 0].long()).mean(0)
        value = (self.u**3).sum() * self.v.sin().sum() + (self.v[0, 0] * self.u[1]) ** 2
        return value + noise @ self.u


def start():
    generator = torch.Generator().manual_seed(0)
    return {
        "u": torch.randn(3, generator=generator),
        "v": torch.randn(2, 2, generator=generator),
    }


def bare():
    function = Curved()
    function.load_state_dict(start())
    return function


def oracle(budget=1000, max_marks=2):
    return FunctionOracle(Curved(), n_rows=N_ROWS, budget=budget, max_marks=max_marks)


def named(model):
    return {name: p.detach().clone() for name, p in sorted(model.named_parameters())}


def ones(tensors):
    return {name: torch.ones_like(tensor) for name, tensor in tensors.items()}


def at(model):
    return lambda point: func.functional_call(model, point, (ROWS,))


def batch_of(point):
    return {name: torch.stack([t, 2 * t, t + 1]) for name, t in point.items()}


def backward(model):
    model(ROWS).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def retained(model):
    loss = model(ROWS)
    loss.backward(retain_graph=True)
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


def frozen(model):
    model.u.requires_grad_(False)
    model(ROWS).backward()
    return model.v.grad


def copied(model):
    return backward(copy.deepcopy(model))


def without_gradients(model):
    with torch.no_grad():
        return model(ROWS)


def hessian_product(model):
    """As AdaHessian does it."""
    parameters = [model.u, model.v]
    model(ROWS).backward(create_graph=True)
    return torch.autograd.grad(
        [p.grad for p in parameters], parameters, [torch.ones_like(p) for p in parameters]
    )


def gradient_penalty(model):
    parameters = [model.u, model.v]
    gradients = torch.autograd.grad(model(ROWS), parameters, create_graph=True)
    (model(ROWS) + 0.1 * sum((g**2).sum() for g in gradients)).backward()
    return [p.grad for p in parameters]


def dual_numbers(model):
    with torch.no_grad(), forward_ad.dual_level():
        point = named(model)
        dual = {name: forward_ad.make_dual(t, torch.ones_like(t)) for name, t in point.items()}
        return forward_ad.unpack_dual(at(model)(dual)).tangent


def functional_product(model):
    point = named(model)

    def value(*tensors):
        return at(model)(dict(zip(point, tensors, strict=True)))

    return functional.hvp(value, tuple(point.values()), tuple(ones(point).values()))


def directional(model):
    return func.jvp(at(model), (named(model),), (ones(named(model)),))


def forward_over_reverse(model):
    return func.jvp(func.grad(at(model)), (named(model),), (ones(named(model)),))


def reverse_over_forward(model):
    tangent = ones(named(model))
    return func.grad(lambda p: func.jvp(at(model), (p,), (tangent,))[1])(named(model))


def many_directions(model):
    point = named(model)
    tangents = {name: torch.stack([t, -t]) for name, t in point.items()}
    return func.vmap(lambda v: func.jvp(at(model), (point,), (v,))[1])(tangents)


def many_points(model):
    return func.vmap(at(model))(batch_of(named(model)))


def gradients_at_many_points(model):
    return func.vmap(func.grad(at(model)))(batch_of(named(model)))


def row_by_row(model):
    point = named(model)
    return func.vmap(lambda row: func.functional_call(model, point, (row[None],)))(ROWS)


def whole_hessian(model):
    return func.hessian(at(model))(named(model))


def in_double_precision(model):
    model.double()
    return backward(model)


@pytest.mark.parametrize(
    ("ask", "n_calls"),
    [
        (backward, 1),
        (retained, 1),
        (frozen, 1),
        (copied, 1),
        (without_gradients, 1),
        (hessian_product, 2),
        (gradient_penalty, 3),
        (dual_numbers, 1),
        (functional_product, 3),
        (directional, 1),
        (forward_over_reverse, 2),
        (reverse_over_forward, 2),
        (many_directions, 1),
        (many_points, 3),
        (gradients_at_many_points, 3),
        (row_by_row, 2),
        (whole_hessian, 8),
        (in_double_precision, 1),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of torch, as it loads its transforms
def test_every_derivative_is_that_of_the_function_and_every_call_is_counted(ask, n_calls):
    counted = oracle()
    found, expected = (
        torch.utils._pytree.tree_leaves(ask(model))
        for model in (OracleModel(counted, start()), bare())
    )
    torch.testing.assert_close(
        [t.detach() for t in found], [t.detach() for t in expected], rtol=1e-6, atol=1e-6
    )
    assert counted.passes == n_calls


def test_gradients_are_the_same_bits():
    found, expected = backward(OracleModel(oracle(), start())), backward(bare())
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_third_derivatives_are_not_numbers():
    model = OracleModel(oracle(), start())
    (first,) = torch.autograd.grad(model(ROWS), model.u, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), model.u, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), model.u)
    assert third.isnan().all()


def test_the_product_with_a_linear_functions_hessian_is_zero():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = nn.Parameter(torch.zeros(2))

        def forward(self, inputs):
            return 3 * self.x.sum()

    linear = FunctionOracle(Linear(), n_rows=1, budget=9, max_marks=1)
    (product,) = linear.product([0], [torch.ones(2)], [torch.ones(2)])
    assert product.tolist() == [0, 0]


@pytest.mark.parametrize("inputs", [[[5.0]], [[-1.0]], [[float("nan")]], [1.0], [[1.0, 2.0]], []])
def test_inputs_that_are_no_rows_are_told(inputs):
    with pytest.raises(PluginError, match="number of a row"):
        row_numbers(torch.tensor(inputs), N_ROWS)
    assert row_numbers(torch.tensor([[0.4], [3.6]]), N_ROWS) == [0, 4]


def test_rows_are_paid_for_and_nothing_is_answered_beyond_the_budget():
    paid, point = oracle(budget=4), [start()["u"], start()["v"]]
    paid.evaluate([0, 1], point)
    paid.product([0], point, point)
    assert (paid.passes, paid.example_passes) == (2, 3)
    for _ in range(GRACE + 1):
        paid.evaluate([0], point)
    for refused in (
        lambda: paid.evaluate([0], point),
        lambda: paid.product([0], point, point),
        lambda: paid.charge(1),
    ):
        with pytest.raises(BudgetSpent):
            refused()
    assert paid.example_passes == 4 + GRACE


def test_a_call_that_costs_far_more_than_is_left_uses_it_up():
    paid = oracle(budget=40)
    with pytest.raises(BudgetSpent):
        paid.evaluate([0] * (41 + GRACE), [start()["u"], start()["v"]])
    assert (paid.passes, paid.example_passes) == (0, 40)


def test_a_mark_holds_what_was_spent_and_there_are_only_so_many():
    marked, point = oracle(max_marks=1), [start()["u"], start()["v"]]
    marked.evaluate([0, 1], point)
    marked.mark(7, digest_of(start()))
    marked.evaluate([0], point)
    (mark,) = marked.marks
    assert (mark.batch, mark.passes, mark.example_passes) == (7, 1, 2)
    with pytest.raises(PluginError, match="more than 1 snapshots"):
        marked.mark(8, digest_of(start()))


def test_a_digest_tells_names_shapes_types_and_every_bit():
    one = {"x": torch.zeros(2)}
    others = [
        {"y": torch.zeros(2)},
        {"x": torch.zeros(2, 1)},
        {"x": torch.zeros(1, dtype=torch.float64)},
        {"x": torch.tensor([0.0, -0.0])},
    ]
    assert digest_of(one) == digest_of(copy.deepcopy(one))
    assert len({digest_of(state) for state in (one, *others)}) == 5
