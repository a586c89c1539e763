"""What holds for every submission folder: the card, the one class, the space, the track."""

from __future__ import annotations

import pytest
from assay.cards import TRACKS, SubmissionCard, read_card
from assay.method import method_space, overridden_hooks
from assay.paths import ROOT
from assay.plugins.loading import load_method

SUBMISSIONS = ROOT / "submissions"
SLUGS = sorted(path.parent.name for path in SUBMISSIONS.glob("*/card.toml"))

PAPER_DEFAULTS = {
    "adabelief": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "adadelta": {"lr": 1.0, "rho": 0.95, "eps": 1e-6, "weight_decay": 0.0},
    "adafactor": {
        "lr": 0.01,
        "decay": 0.8,
        "eps1": 1e-15,
        "eps2": 0.001,
        "clip": 1.0,
        "weight_decay": 0.0,
    },
    "adagrad": {"lr": 1e-2, "eps": 1e-10, "weight_decay": 0.0},
    "adahessian": {
        "lr": 0.15,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 0.0001,
        "hessian_power": 1.0,
        "weight_decay": 0.0,
    },
    "adam": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "adam_half_lr": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0},
    "adamax": {"lr": 0.002, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "weight_decay": 0.0},
    "adamp": {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "delta": 0.1,
        "wd_ratio": 0.1,
        "weight_decay": 0.01,
    },
    "adamw": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 1e-2},
    "ademamix": {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "beta3": 0.9999,
        "alpha": 5.0,
        "eps": 1e-08,
        "weight_decay": 0.01,
    },
    "amsgrad": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "anyloss": {"steepness": 73.0, "metric": "balanced_accuracy"},
    "autoclip": {"p": 10.0},
    "balanced_sampling": {"q": 0.0},
    "class_balanced": {"beta": 0.9999},
    "co_teaching": {"ramp_epochs": 10, "noise_scale": 1.0},
    "cross_entropy": {},
    "demo": {
        "lr": 0.001,
        "beta": 0.999,
        "top_k": 32,
        "chunk": 64,
        "workers": 4,
        "weight_decay": 0.0,
    },
    "diffgrad": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "diffgrad_alias": {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "weight_decay": 0.0,
    },
    "elr": {"lam": 3.0, "beta": 0.7},
    "fosi": {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "k": 5,
        "period": 100,
        "alpha": 0.1,
    },
    "gce": {"q": 0.7},
    "grams": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-06, "weight_decay": 0.0},
    "gravity": {"lr": 0.1, "beta": 0.9, "alpha": 0.01},
    "grokfast_ema": {"alpha": 0.98, "lam": 2.0},
    "grokfast_ma": {"w": 100, "lam": 5.0},
    "lion": {"lr": 0.0001, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1},
    "logit_adjustment": {"tau": 1.0},
    "madgrad": {"lr": 0.01, "momentum": 0.9, "eps": 1e-06, "weight_decay": 0.0},
    "mfac": {"lr": 0.001, "damp": 1e-05, "m": 256, "momentum": 0.0, "weight_decay": 0.0},
    "muon_adamw": {
        "lr": 0.02,
        "momentum": 0.95,
        "adamw_lr": 0.0003,
        "beta1": 0.9,
        "beta2": 0.95,
        "eps": 1e-10,
        "weight_decay": 0.0,
    },
    "nadam": {"lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "opt_amsgrad": {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "r": 5,
        "lam": 0.001,
        "weight_decay": 0.0,
    },
    "prodigy": {
        "lr": 1.0,
        "d_coef": 1.0,
        "d0": 1e-06,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "weight_decay": 0.0,
    },
    "psgd_kron": {"lr": 0.001, "momentum": 0.9, "weight_decay": 0.0, "smallest_triangular": 2},
    "radam": {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "momentum_first": True,
        "weight_decay": 0.0,
    },
    "rmsprop": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.0},
    "rprop": {"lr": 0.01, "eta_minus": 0.5, "eta_plus": 1.2, "largest": 50.0},
    "sam": {"rho": 0.05},
    "schedule_free_adamw": {
        "lr": 0.0025,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "warmup": 0.05,
        "weight_decay": 0.0,
    },
    "sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
    "sgdp": {
        "lr": 0.1,
        "momentum": 0.9,
        "delta": 0.1,
        "wd_ratio": 0.1,
        "eps": 1e-08,
        "weight_decay": 1e-05,
    },
    "smb": {"lr": 0.5, "eta": 0.99, "c": 0.1},
    "soap": {
        "lr": 0.003,
        "beta1": 0.95,
        "beta2": 0.95,
        "eps": 1e-08,
        "refresh": 10,
        "weight_decay": 0.01,
    },
    "sophia": {
        "lr": 0.001,
        "gamma": 0.01,
        "beta1": 0.96,
        "beta2": 0.99,
        "eps": 1e-12,
        "period": 10,
        "weight_decay": 0.2,
    },
    "vrgd": {"gamma": 0.1, "k": 8},
    "xgrad": {
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-08,
        "s": 1.0,
        "weight_decay": 0.0,
    },
}


def card_of(slug: str) -> SubmissionCard:
    return read_card(SUBMISSIONS / slug / "card.toml", SubmissionCard)


@pytest.mark.parametrize("slug", SLUGS)
def test_is_complete_in_its_folder(slug) -> None:
    card = card_of(slug)
    method = load_method(SUBMISSIONS / slug / "method.py")
    assert card.slug == slug
    assert set(overridden_hooks(method)) <= TRACKS[card.track]
    for family in card.families:
        space = method_space(method, family)
        assert set(space.ranges) <= set(space.defaults)
        assert len(space.ranges) <= 4, "K quasi-random points cannot fill more dimensions"


@pytest.mark.parametrize("slug", SLUGS)
def test_claims_name_methods_that_exist(slug) -> None:
    for claim in card_of(slug).claims:
        assert claim.better_than == "reference" or claim.better_than in SLUGS
        assert claim.better_than != slug


@pytest.mark.parametrize("slug", PAPER_DEFAULTS)
def test_defaults_are_the_published_ones(slug) -> None:
    method = load_method(SUBMISSIONS / slug / "method.py")
    assert method_space(method, card_of(slug).families[0]).defaults == PAPER_DEFAULTS[slug]


@pytest.mark.parametrize("slug", ["sgdp", "optimistic_gradient"])
def test_steps_along_the_gradient_have_the_range_of_sgd_on_functions(slug) -> None:
    space, sgd = (
        method_space(load_method(SUBMISSIONS / s / "method.py"), "functions") for s in (slug, "sgd")
    )
    assert space.ranges["lr"] == sgd.ranges["lr"]
    assert space.defaults["lr"] == sgd.defaults["lr"]


@pytest.mark.parametrize(
    "slug",
    [
        *("adabelief", "adamp", "adamw", "ademamix", "amsgrad", "demo", "diffgrad", "efcp"),
        *("grams", "lion", "mfac", "nadam", "opt_amsgrad", "psgd_kron", "rmsprop", "sophia"),
        "xgrad",
    ],
)
def test_steps_of_the_length_of_adams_have_its_range_on_networks(slug) -> None:
    space, adam = (
        method_space(load_method(SUBMISSIONS / s / "method.py"), "classification")
        for s in (slug, "adam")
    )
    assert space.ranges["lr"] == adam.ranges["lr"]


@pytest.mark.parametrize("family", ["classification", "functions"])
def test_radam_has_ten_times_the_range_of_adam(family) -> None:
    radam, adam = (
        method_space(load_method(SUBMISSIONS / s / "method.py"), family).ranges["lr"]
        for s in ("radam", "adam")
    )
    assert (radam.low, radam.high) == pytest.approx((10 * adam.low, 10 * adam.high))
    assert radam.log and adam.log


def test_arms_of_the_diffgrad_comparison_share_one_space() -> None:
    arms = ("adam", "diffgrad", "diffgrad_alias", "adam_half_lr")
    for family in ("classification", "functions"):
        spaces = [method_space(load_method(SUBMISSIONS / a / "method.py"), family) for a in arms]
        assert all(space == spaces[0] for space in spaces)


@pytest.mark.parametrize(
    "slug",
    [
        slug
        for slug in SLUGS
        if card_of(slug).track == "optimizer" and "functions" in card_of(slug).families
    ]
    or [pytest.param("")],
)
def test_functions_know_no_weight_decay(slug) -> None:
    space = method_space(load_method(SUBMISSIONS / slug / "method.py"), "functions")
    assert "weight_decay" not in space.ranges
    assert space.defaults.get("weight_decay", 0.0) == 0.0
