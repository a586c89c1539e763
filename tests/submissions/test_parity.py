"""Every submission with equations does what they say, and what differs from them is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from assay.cards import Parity
from assay.errors import PluginError
from assay.messages.worker import ParityRow
from assay.method import Method
from assay.paths import ROOT
from assay.plugins.loading import load_method
from assay.plugins.registry import MethodEntry, method_entries
from assay.worker.parity import parity
from assay.worker.parity_problem import Draws, ParityTask, ProblemInNumpy, Setup
from assay.worker.parity_runs import Optimized, follow, load_steps

PLUGINS = ROOT / "tests" / "plugins"
SLUGS = sorted(slug for slug, entry in method_entries().items() if entry.equations)
FIRST = {
    *("sgd", "adam", "adam_half_lr", "adamw", "amsgrad", "nadam"),
    *("rmsprop", "adagrad", "adadelta", "diffgrad", "diffgrad_alias"),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As in a worker; fused kernels on tiny tensors would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def base_of(entry: MethodEntry) -> type[Method] | None:
    slug = entry.card.parity.base
    return None if slug is None else load_method(method_entries()[slug].source)


def rows_of(
    source: Path,
    card: Parity = Parity(),  # noqa: B008  (frozen)
    equations: Path | None = None,
    base: type[Method] | None = None,
) -> dict[str, ParityRow]:
    found = parity(
        load_method(source), source, "classification", card, equations=equations, base=base
    )
    return {row.name: row for row in found}


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
@pytest.mark.parametrize("slug", SLUGS)
def test_follows_its_equations(slug: str) -> None:
    entry = method_entries()[slug]
    card = entry.card
    found = parity(
        load_method(entry.source),
        entry.source,
        card.families[0],
        card.parity,
        equations=entry.equations,
        base=base_of(entry),
    )
    told = {row.name: f"{row.status}: {row.detail}" for row in found}
    assert not [text for text in told.values() if text.startswith("failed")]
    assert told["equations"].startswith("ok: ")
    assert ("library" in told) == (card.parity.library is not None)
    assert card.parity.tolerance <= 1e-6 or card.parity.notes, "says why it differs so much"


def test_nobody_lost_its_equations() -> None:
    assert set(SLUGS) >= FIRST


@pytest.mark.parametrize(
    ("slug", "of"),
    [
        ("adam", "adamw"),
        ("adam", "amsgrad"),
        ("amsgrad", "adam"),
        ("adam", "nadam"),
        ("adam_half_lr", "adam"),
        ("diffgrad_alias", "diffgrad"),
        ("diffgrad_alias", "adam_half_lr"),
    ],
)
def test_a_method_does_not_follow_the_equations_of_another(slug: str, of: str) -> None:
    method, other = method_entries()[slug], method_entries()[of]
    found = rows_of(method.source, equations=other.equations)["equations"]
    assert (found.status, found.numbers["difference"] > 1e-5) == ("failed", True)


def test_where_eps_is_added_shows(tmp_path: Path) -> None:
    entry = method_entries()["adam"]
    assert entry.equations is not None
    text = entry.equations.read_text()
    wrong = text.replace("np.sqrt(v_hat) + h.eps", "np.sqrt(v_hat + h.eps**2)")
    assert wrong != text
    (tmp_path / "equations.py").write_text(wrong)
    found = rows_of(entry.source, equations=tmp_path / "equations.py")["equations"]
    assert found.status == "failed"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = ", "equations.py cannot be imported: SyntaxError"),
        ("x = 1", "expected a function steps(problem, w, h)"),
        ("def steps(problem, w, h):\n    yield w", "steps ended after 1 steps"),
        ("def steps(problem, w, h):\n    yield w[:1]", "yields arrays of shapes ((4, 3),)"),
        ("def steps(problem, w, h):\n    yield 1 / 0", "ZeroDivisionError: division by zero"),
        ("def steps(problem, w, h):\n    yield None", "TypeError"),
        ("def steps(problem, w, h):\n    problem.draw()\n    yield w", "drew no more random"),
        ("def steps(problem, w, h):\n    yield [np.nan * p for p in w]", "name 'np'"),
    ],
)
def test_equations_that_are_none_are_failures(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "equations.py").write_text(text + "\n")
    entry = method_entries()["sgd"]
    found = rows_of(entry.source, equations=tmp_path / "equations.py")["equations"]
    assert found.status == "failed"
    assert says in found.detail


def written(folder: Path, body: str) -> Path:
    """A method in a file, whose optimizer's step is `body` for each parameter p with gradient g."""
    path = folder / "mine.py"
    path.write_text(f"""
import torch
from assay import Method
from torch import nn, optim

class Mine(optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {{"lr": 0.01}})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                g, state, lr = p.grad, self.state[p], group["lr"]
                {body}

class My(Method):
    def configure_optimizer(self, model):
        return Mine(model.parameters())
""")
    return path


def test_a_gradient_kept_by_reference_shows(tmp_path: Path) -> None:
    # diffGrad.py: `previous_grad = grad` is a second name of the buffer that backward refills
    kept = "before = state.get('g', 0 * g); p.sub_((g - before).abs().sigmoid() * lr * g); "
    alias = rows_of(written(tmp_path, kept + "state['g'] = g"))["set_to_none"]
    assert (alias.status, alias.numbers["difference"] > 1e-3) == ("note", True)
    assert "keep a gradient by reference" in alias.detail
    clone = rows_of(written(tmp_path, kept + "state['g'] = g.clone()"))["set_to_none"]
    assert (clone.status, clone.numbers["difference"]) == ("ok", 0.0)


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ("p.sub_(lr * (g - g.mean()) / g.std())", "one_element"),
        ("p.sub_(lr * g / g.norm())", "zero_gradient"),
        ("p.sub_(lr * g)", "no_gradient"),
    ],
)
@pytest.mark.filterwarnings("ignore:std")
def test_gradients_that_a_method_cannot_take_are_told(tmp_path: Path, body: str, row: str) -> None:
    found = rows_of(written(tmp_path, body))
    noted = {name for name, one in found.items() if one.status == "note"}
    assert row in noted
    expected = "TypeError" if row == "no_gradient" else "was not finite"
    assert expected in found[row].detail


def test_what_a_method_draws_can_be_drawn_again(tmp_path: Path) -> None:
    (tmp_path / "equations.py").write_text("""
def steps(problem, w, h):
    while True:
        for i, g in enumerate(problem.gradient(w)):
            w[i] = w[i] - 0.01 * (g + problem.draw())
        yield w
""")
    source = written(tmp_path, "p.sub_(lr * (g + torch.randn_like(g)))")
    found = rows_of(source, equations=tmp_path / "equations.py")
    assert found["equations"].status == "ok"
    assert "diagonal" not in found  # it takes no second derivatives


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
def test_an_estimate_of_the_diagonal_is_exact_on_a_diagonal_quadratic(tmp_path: Path) -> None:
    source = PLUGINS / "adahessian" / "method.py"
    assert rows_of(source)["diagonal"].status == "ok"
    text = source.read_text()
    drawn = "torch.randint(0, 2, p.shape, generator=generator).to(p) * 2 - 1"
    wrong = text.replace(drawn, "torch.randn(p.shape, generator=generator).to(p)")
    assert wrong != text
    (tmp_path / "method.py").write_text(wrong)
    assert rows_of(tmp_path / "method.py")["diagonal"].status == "note"


def test_a_library_that_differs_contradicts_the_card() -> None:
    source = method_entries()["adam"].source
    card = Parity(library="torch.optim.Adam", settings={"amsgrad": True})
    assert rows_of(source, card)["library"].status == "failed"
    excused = card.model_copy(update={"notes": ["by design"]})
    assert rows_of(source, excused)["library"].status == "note"
    missing = Parity(library="torch.optim.Atom")
    assert "has no such optimizer" in rows_of(source, missing)["library"].detail
    lr = Parity(library="torch.optim.SGD", settings={"lr": "lr", "foreach": False})
    assert "not the numbers of torch.optim.SGD" in rows_of(source, lr)["library"].detail


def test_what_six_steps_do_not_see_is_compared_at_other_values() -> None:
    entry = method_entries()["fosi"]  # its eigenpairs come every hundred steps

    def rows(card: Parity) -> dict[str, ParityRow]:
        return rows_of(entry.source, card, equations=entry.equations, base=base_of(entry))

    blind = rows(Parity(base="adam"))
    assert blind["base"].detail.endswith("it is adam")
    seen = rows(entry.card.parity)
    assert "middle of its ranges, period = 2: " in seen["equations"].detail
    assert (seen["base"].status, seen["base"].numbers["same"] > 0.5) == ("ok", True)
    assert "at period = 2" in seen["base"].detail
    unknown = rows(Parity(values={"perod": 2}))["equations"]
    assert (unknown.status, "perod" in unknown.detail) == ("failed", True)


def test_a_method_that_is_its_base_is_told() -> None:
    entry = method_entries()["adam_half_lr"]
    found = rows_of(entry.source, entry.card.parity, base=base_of(entry))["base"]
    assert (found.status, found.numbers["half"]) == ("note", 0.0)
    assert found.detail.endswith("it is adam at half the learning rate")


def test_the_scale_of_the_loss_is_told() -> None:
    sgd, adam = (rows_of(method_entries()[s].source)["loss_scale"].numbers for s in ("sgd", "adam"))
    assert sgd["first_step_larger"] == pytest.approx(1000, rel=1e-3)
    assert adam["first_step_larger"] == pytest.approx(1, rel=1e-6)
    assert adam["difference_larger"] < 1e-6


def test_a_first_step_that_goes_nowhere_is_no_measure() -> None:
    soap, slow, smb = (rows_of(method_entries()[s].source) for s in ("soap", "train_longer", "smb"))
    assert soap["loss_scale"].numbers["first_step_larger"] == pytest.approx(1, rel=1e-3)
    assert "first step that goes anywhere, number 2, is 1 times" in soap["loss_scale"].detail
    for name in ("loss_scale", "set_to_none"):
        row = slow[name]
        said = "not known: no weight moves within 6 steps"
        assert (row.status, row.detail, row.numbers) == ("note", said, {})
    assert "3 steps, not 5" in smb["loss_scale"].detail and "inf" not in smb["loss_scale"].detail
    assert smb["loss_scale"].numbers["difference_larger"] > 1


def test_what_is_no_optimizer_has_no_rows() -> None:
    assert rows_of(method_entries()["cross_entropy"].source) == {}
    assert rows_of(method_entries()["lsq"].source) == {}


@pytest.mark.parametrize("setup", [Setup(), Setup(diagonal=True, scale=3.0)])
def test_torch_and_numpy_have_the_same_problem(setup: Setup) -> None:
    task = ParityTask(setup, "classification", 1.0)
    inputs = task.examples()["inputs"][:8]
    problem = ProblemInNumpy(setup, 6, Draws(), inputs.numpy())
    start, v = setup.start(), [np.ones((4, 3)), np.arange(5.0)]
    model = task.build_model({})
    loss = task.loss(model(inputs), inputs)
    weights = list(model.parameters())
    gradients: Any = torch.autograd.grad(loss, weights, create_graph=True)
    along = sum((g * torch.from_numpy(d)).sum() for g, d in zip(gradients, v, strict=True))
    products = torch.autograd.grad(along, weights)
    assert problem.value(start) == pytest.approx(loss.item(), rel=1e-12)
    for theirs, mine in (
        (gradients, problem.gradient(start)),
        (products, problem.hessian_product(start, v)),
    ):
        for a, b in zip(theirs, mine, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-10, atol=1e-12)
    assert [g.shape for g in problem.example_gradients(start)] == [(8, 4, 3), (8, 5)]


def test_weights_that_no_equation_has_are_a_difference(tmp_path: Path) -> None:
    (tmp_path / "equations.py").write_text(
        "import numpy as np\ndef steps(problem, w, h):\n    while True:\n"
        "        yield [np.nan * part for part in w]\n"
    )
    method = load_method(method_entries()["sgd"].source)
    path = tmp_path / "equations.py"
    found = follow(
        Optimized(method, method.Hyperparameters(), "classification"), load_steps(path), path
    )
    assert found.share == float("inf")
    with pytest.raises(PluginError, match="cannot be imported"):
        load_steps(tmp_path / "none.py")
