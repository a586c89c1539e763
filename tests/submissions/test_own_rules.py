"""Methods in code of their own, against closed forms and small cases that tell them apart."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from assay.method import Batch
from assay.models import build
from assay.quantization import quantize_layers
from torch import Tensor, nn

from tests.submissions.conftest import FakeStep, module_of, planned


class Quadratic(nn.Module):
    """f(w) = sum(curvature w^2) / 2."""

    def __init__(self, start: list[float], curvature: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.curvature = torch.tensor(curvature, dtype=torch.float64)

    def forward(self, inputs: Tensor) -> Tensor:
        return (self.curvature * self.w * self.w).sum() / 2


@pytest.fixture
def on_function(make_method, make_plan):
    """A FakeStep of a submission on a function, with a batch of one row."""

    def make(slug: str, model: nn.Module, **values: object) -> FakeStep:
        plan = make_plan(family="functions", loss=lambda outputs, targets: outputs)
        return FakeStep(make_method(slug, "functions", **values), model, plan)

    return make


@pytest.fixture
def row() -> Batch:
    return Batch(torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, dtype=torch.int64))


@pytest.fixture
def six() -> Batch:
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(6, 4, generator=generator)
    return Batch(inputs, torch.tensor([0, 1, 2, 1, 0, 2]), torch.arange(6))


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def test_optimism_converges_on_a_bilinear_game(make_method, make_plan) -> None:
    # min over x, max over y of x y, from which gradient descent spirals outwards
    x, y = (nn.Parameter(torch.ones(1)) for _ in range(2))
    game = nn.ParameterList([x, y])
    optimizer = planned(
        make_method("optimistic_gradient", lr=0.3), make_plan()
    ).configure_optimizer(game)
    for _ in range(120):
        x.grad, y.grad = y.detach().clone(), -x.detach().clone()
        optimizer.step()
    assert max(x.abs().item(), y.abs().item()) < 0.05


def test_guess_of_a_geometric_sequence_is_its_limit() -> None:
    limit, direction = torch.tensor([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0]], dtype=torch.float64)
    seen = [limit + direction * 0.6**i for i in range(3)]
    guess = module_of("opt_amsgrad").extrapolated(seen, 1e-9)
    torch.testing.assert_close(guess, limit, atol=1e-6, rtol=0)


def test_guess_from_one_difference_is_the_last_gradient() -> None:
    seen = [torch.ones(3), torch.arange(3.0)]
    assert torch.equal(module_of("opt_amsgrad").extrapolated(seen, 1e-3), seen[1])


def test_opt_amsgrad_divides_by_the_gradients_size_however_well_it_is_guessed(make_method) -> None:
    # of a constant gradient every guess is right; v is of g^2, not of (g - m)^2, which would vanish
    w = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = make_method("opt_amsgrad", lr=0.1).configure_optimizer(nn.ParameterList([w]))
    for _ in range(2):
        w.grad = torch.ones_like(w)
        optimizer.step()
    theta, v = (0.1, 0.19), (0.001, 0.001999)  # h = theta[1] too, as m_3 = g_2
    expected = -0.1 * (theta[0] / v[0] ** 0.5 + 2 * theta[1] / v[1] ** 0.5)
    assert w.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_xgrad_predicts_where_gradients_were_cleared(set_to_none, on_function, row) -> None:
    model = Quadratic([1.0, -2.0], [1.0, 3.0])
    step = on_function("xgrad", model, lr=0.1)
    optimizer = step.optimizers[0]
    step.zero_grad = lambda: optimizer.zero_grad(set_to_none=set_to_none)  # type: ignore[method-assign]
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda *_: seen.append(model.w.detach().clone()))
    step.train(row)
    after_one = model.w.detach().clone()
    step.train(row)
    # Adam's first direction is the gradient's sign, and its moments predict the same step again
    torch.testing.assert_close(seen[1], after_one - 0.1 * torch.tensor([1.0, -1.0]).double())
    assert step.passes == 2


def test_oasis_finds_curvature_and_half_a_newton_step(on_function, row) -> None:
    # of a diagonal quadratic one probe gives the diagonal; then lr = min(grown, 1/2)
    model = Quadratic([1.0, -2.0, 4.0], [0.5, 3.0, 10.0])
    step = on_function("oasis", model, beta2=0.99, alpha=1e-6, n_probes=2)
    for _ in range(2):
        step.train(row)
    before = model.w.detach().clone()
    step.train(row)
    torch.testing.assert_close(model.w.detach(), before / 2)
    assert step.passes == 3 + 3 + 3


def test_gns_takes_newton_steps_on_a_quadratic(on_function, row) -> None:
    model = Quadratic([1.0, -2.0], [1.0, 50.0])
    step = on_function("gns", model)
    for _ in range(12):
        step.train(row)
    assert model.w.abs().max().item() < 1e-6


def test_gns_moves_on_where_the_hessian_is_indefinite(on_function, row) -> None:
    model = Quadratic([1.0, 1.0], [1.0, -1.0])
    start = model(row.inputs).item()
    step = on_function("gns", model, gamma=10.0)
    step.train(row)
    assert model(row.inputs).item() < start


def test_smb_keeps_a_good_trial_and_replaces_a_bad_one(on_function, row) -> None:
    model = Quadratic([1.0], [1.0])
    step = on_function("smb", model, lr=0.5)
    step.train(row)
    assert model.w.item() == pytest.approx(0.5)
    far = Quadratic([1.0], [1.0])
    step = on_function("smb", far, lr=3.0)
    step.train(row)
    assert abs(far.w.item()) < 1.0
    assert step.passes == 2


def test_smb_leaves_a_tensor_without_gradient() -> None:
    zero = torch.zeros(3)
    assert torch.equal(module_of("smb").model_step(zero, torch.ones(3), zero, 0.99), zero)


def test_mfac_steps_along_the_first_gradient(on_function, row) -> None:
    model = Quadratic([1.0, -2.0], [1.0, 1.0])
    step = on_function("mfac", model, lr=1.0, damp=0.1, m=4)
    step.train(row)
    expected = 1 - 4 / (4 * 0.1 + 5.0)
    torch.testing.assert_close(
        model.w.detach(), expected * torch.tensor([1.0, -2.0], dtype=torch.float64)
    )


def test_efcp_sends_what_it_left_out_later(on_function, row) -> None:
    model = Quadratic([1.0, 3.0], [1.0, 1.0])
    step = on_function("efcp", model, lr=1e-3, density=0.5)
    step.train(row)
    assert model.w[0].item() == 1.0
    assert model.w[1].item() < 3.0
    window = step.optimizers[0].state["window"]
    for _ in range(3):
        step.train(row)
    assert model.w[0].item() < 1.0
    assert window["xi"].count_nonzero() == 1


@pytest.mark.parametrize("lr", [1e-3, 0.1])
def test_efcp_shrinks_weights_whatever_its_lr(lr, on_function, row) -> None:
    # as the authors' code: 1e-4 a step in their ResNet-20 run, whose lr is 1e-3
    model = Quadratic([1.0, -2.0], [0.0, 0.0])
    on_function("efcp", model, lr=lr, weight_decay=0.5).train(row)
    assert model.w.tolist() == [0.5, -1.0]


def test_lanczos_finds_the_largest_eigenpairs() -> None:
    curvature = torch.tensor([1.0, 2.0, 3.0, 40.0, 50.0, -60.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    found = module_of("fosi").largest(lambda x: curvature * x, curvature, 2, generator)
    torch.testing.assert_close(found["lambda"], curvature[3:5])
    torch.testing.assert_close(found["V"].abs(), torch.eye(6, dtype=torch.float64)[3:5])


def test_fosi_removes_the_steep_direction_from_adam(on_function, row) -> None:
    model = Quadratic([1.0, 1.0, 1.0], [1.0, 2.0, 1000.0])
    step = on_function("fosi", model, period=1, k=1, alpha=1.0, beta1=0.0, lr=0.01)
    step.train(row)
    expected = torch.tensor([0.99, 0.99, 0.0], dtype=torch.float64)
    torch.testing.assert_close(model.w.detach(), expected, atol=1e-6, rtol=0)
    assert step.passes == 1 + 3


def test_fosi_takes_convolutions(make_method, make_plan) -> None:
    # their gradients are not contiguous
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Conv2d(3, 4, 3), nn.Flatten())
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    step = FakeStep(make_method("fosi", period=1), model, make_plan())
    step.train(Batch(torch.randn(5, 2, 5, 5), torch.tensor([0, 1, 2, 3, 0]), torch.arange(5)))
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert after.isfinite().all()
    assert not torch.equal(before, after)


def test_rm3_takes_medians(make_method) -> None:
    model = nn.ParameterList([nn.Parameter(torch.zeros(2))])
    method = make_method("rm3")
    found = []
    for gradient in ([1.0, 5.0], [9.0, 6.0], [2.0, -7.0], [3.0, 0.0]):
        model[0].grad = torch.tensor(gradient)
        method.transform_gradients(model)
        found.append(model[0].grad.tolist())
    assert found == [[1.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 0.0]]


def test_winsorized_mean_tames_one_of_the_values() -> None:
    mean = module_of("winsorized").winsorized_mean
    g = torch.tensor([[1.0], [2.0], [3.0], [100.0]])
    assert mean(g, 1).item() == pytest.approx((2 + 2 + 3 + 3) / 4)
    assert mean(g[:1], 1).item() == 1.0


def test_ratio_of_vrgd() -> None:
    ratio = module_of("vrgd").ratio
    found = ratio(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 1.0]), 0.1)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.6, 0.1]))
    without = ratio(torch.tensor([1e-3, 1.0, 30.0]), torch.zeros(3), 0.1)
    torch.testing.assert_close(without, torch.ones(3))
    some = ratio(torch.tensor([5.0, 1.0]), torch.tensor([0.0, 1.0]), 0.1)
    torch.testing.assert_close(some, torch.tensor([1.0, 0.1]))  # the first is all of the mean


def test_egn_is_gauss_newton_in_the_space_of_weights(make_method, make_plan, six) -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    inputs = six.inputs.double()
    w = list(model.parameters())
    outputs = model(inputs)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(z, w, retain_graph=True)])
        for z in outputs.flatten()
    ]
    J, s = torch.stack(rows), outputs.detach().softmax(1)
    Q = torch.block_diag(*(torch.diag(part) - torch.outer(part, part) for part in s))
    r = (s - nn.functional.one_hot(six.targets, 3)).flatten()
    A = J.T @ Q @ J + 6 * 0.5 * torch.eye(J.shape[1], dtype=torch.float64)
    expected = torch.nn.utils.parameters_to_vector(w).detach() - 0.3 * torch.linalg.solve(
        A, J.T @ r
    )
    step = FakeStep(make_method("egn", lr=0.3, lam=0.5), model, make_plan())
    step.train(Batch(inputs, six.targets, six.indices))
    torch.testing.assert_close(torch.nn.utils.parameters_to_vector(w).detach(), expected)
    assert step.passes == 3


def test_egn_refuses_too_large_a_jacobian(six) -> None:
    model = nn.Linear(4, 3)
    with pytest.raises(MemoryError, match="few classes"):
        module_of("egn").jacobian(model, six.inputs, 10_000_000)


def test_sso_drives_outputs_to_their_targets(make_method, make_plan) -> None:
    # with one-hot inputs each example has outputs of its own: the surrogate's minimum is z - eta G
    model = nn.Linear(3, 3, bias=False).double()
    inputs, targets = torch.eye(3, dtype=torch.float64), torch.tensor([2, 0, 1])
    z = model(inputs).detach()
    G = z.softmax(1) - nn.functional.one_hot(targets, 3)
    step = FakeStep(make_method("sso", eta=0.7, m=40), model, make_plan())
    step.train(Batch(inputs, targets, torch.arange(3)))
    torch.testing.assert_close(model(inputs).detach(), z - 0.7 * G, atol=1e-5, rtol=0)


def test_trials_of_sso_leave_no_trace_in_running_statistics(
    make_method, make_plan, six, network
) -> None:
    step = FakeStep(make_method("sso", m=2), network, make_plan())
    step.train(six)
    assert network[1].num_batches_tracked == 2


def test_mirror_descent_of_the_2_norm_is_sgd(make_method, make_plan, six) -> None:
    torch.manual_seed(6)
    mine, other = nn.Linear(4, 3), nn.Linear(4, 3)
    other.load_state_dict(mine.state_dict())
    step = FakeStep(make_method("mirror_descent", p=2.0, lr=0.1), mine, make_plan())
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    for _ in range(4):
        step.train(six)
        optimizer.zero_grad()
        step.plan.loss(other(six.inputs), six.targets).backward()
        optimizer.step()
    torch.testing.assert_close(mine.weight, other.weight)


def test_exponentiated_gradient_keeps_signs_and_zeros(make_method, make_plan, six) -> None:
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.bias.zero_()
    before = model.weight.sign()
    step = FakeStep(make_method("exponentiated_gradient", lr=3.0), model, make_plan())
    for _ in range(5):
        step.train(six)
    assert torch.equal(model.weight.sign(), before)
    assert not model.bias.any()


def test_chunks_of_demo_are_cosine_transforms() -> None:
    Chunks = module_of("demo").Chunks
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    chunks = Chunks(x.shape[1:], 4, x)
    found = chunks.encode(x)
    assert found.shape == (2, 2, 12)  # rows in blocks of 3, columns in one of 4
    expected = scipy.fft.dctn(x[1, 3:].numpy(), norm="ortho").flatten()
    np.testing.assert_allclose(found[1, 1].numpy(), expected, atol=1e-12)
    torch.testing.assert_close(chunks.decode(found), x)


def test_demo_moves_by_signs_and_keeps_the_rest(make_method, make_plan) -> None:
    p = nn.Parameter(torch.zeros(8, dtype=torch.float64))
    method = make_method("demo", lr=0.1, top_k=1, beta=1.0)
    optimizer = planned(method, make_plan()).configure_optimizer(nn.ParameterList([p]))
    gradient = torch.linspace(1, 2, 8, dtype=torch.float64)
    optimizer.step([torch.stack([gradient, 3 * gradient])])
    torch.testing.assert_close(p.detach(), torch.full((8,), -0.1, dtype=torch.float64))
    left = optimizer.state[p]["delta"]
    torch.testing.assert_close(left[0], 0.1 * (gradient - gradient.mean()))


@pytest.mark.parametrize("quantized", [False, True])
def test_muon_leaves_the_first_and_the_last_layer_to_adamw(quantized) -> None:
    model = build("cnn", {"width": 2, "blocks": 3}, in_shape=(1, 8, 8), n_classes=10)
    if quantized:
        model = quantize_layers(model, {"weight_bits": 4, "activation_bits": 4})
    found = module_of("muon_adamw").hidden_matrices(model)
    assert [tuple(p.shape) for p in found] == [(4, 2, 3, 3), (8, 4, 3, 3)]


def test_muon_takes_hidden_matrices_of_a_transformer_and_all_of_a_function() -> None:
    sizes = {"width": 4, "heads": 2, "hidden": 8}
    model = build("transformer", sizes, in_shape=(5,), n_classes=7)
    names = {id(p): name for name, p in model.named_parameters()}
    hidden_matrices = module_of("muon_adamw").hidden_matrices
    assert [names[id(p)].split(".")[0] for p in hidden_matrices(model)] == [
        *("query", "keys_and_values", "mix", "up", "down"),
    ]
    function = nn.ParameterList([nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(2, 4))])
    assert len(hidden_matrices(function)) == 2


def test_roots_of_scalable_shampoo_are_bounded_where_inputs_are_always_zero() -> None:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(20, 4, generator=generator)
    rows[::3] = 0
    root = module_of("scalable_shampoo").inverse_root(1e-3 * rows @ rows.T, 4, 1e-6)
    values = torch.linalg.eigvalsh(root.double())
    assert values.min() > 0
    assert values.max() / values.min() < 1.01 * 1e6 ** (1 / 4)


def test_roots_of_shampoo_are_finite_where_inputs_are_always_zero() -> None:
    rows = torch.randn(20, 4, generator=torch.Generator().manual_seed(3))
    rows[::3] = 0
    root = module_of("shampoo").inverse_root(1e3 * rows @ rows.T, 4, 1e-8)
    values = torch.linalg.eigvalsh(root.double())
    assert 0 < values.min() < values.max() < 1.01 * 1e8 ** (1 / 4)
    assert module_of("shampoo").inverse_root(torch.full((2, 2), torch.inf), 4, 1e-8).isnan().all()


def test_scalable_shampoo_multiplies_every_dimension_of_a_kernel(make_method, make_plan) -> None:
    kernel = nn.Parameter(torch.zeros(2, 3, 2, 2, dtype=torch.float64))
    method = make_method("scalable_shampoo", lr=1.0, beta1=0.0, refresh=1, start=1)
    optimizer = planned(method, make_plan()).configure_optimizer(nn.ParameterList([kernel]))
    g = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    kernel.grad = g.clone()
    optimizer.step()
    expected = g.numpy()
    for k in range(4):
        rows = np.moveaxis(g.numpy(), k, 0).reshape(g.shape[k], -1)
        values, vectors = np.linalg.eigh(1e-3 * rows @ rows.T)
        root = (vectors * values ** (-1 / 8)) @ vectors.T
        expected = np.moveaxis(np.tensordot(root, expected, (1, k)), 0, k)
    expected = expected * np.sqrt(g.numel()) / np.linalg.norm(expected)  # Adagrad's first step
    np.testing.assert_allclose(kernel.detach().numpy(), -expected, atol=1e-3)
