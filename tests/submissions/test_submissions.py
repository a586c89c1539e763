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
    "adadelta": {"lr": 1.0, "rho": 0.95, "eps": 1e-6, "weight_decay": 0.0},
    "adagrad": {"lr": 1e-2, "eps": 1e-10, "weight_decay": 0.0},
    "adam": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "adamw": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 1e-2},
    "amsgrad": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "anyloss": {"steepness": 73.0, "metric": "balanced_accuracy"},
    "balanced_sampling": {"q": 0.0},
    "class_balanced": {"beta": 0.9999},
    "co_teaching": {"ramp_epochs": 10, "noise_scale": 1.0},
    "cross_entropy": {},
    "diffgrad": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "elr": {"lam": 3.0, "beta": 0.7},
    "gce": {"q": 0.7},
    "logit_adjustment": {"tau": 1.0},
    "nadam": {"lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "rmsprop": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.0},
    "sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
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
