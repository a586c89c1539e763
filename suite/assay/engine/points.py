"""Tuning: hyperparameter points drawn in advance, and finished tunings kept as Optuna studies.

The points depend only on the search space and a derived seed, not on results. So runs may finish in
any order, and the first k points of a longer study are those of a shorter one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from assay.cards import Direction, Family
from assay.identity import derive_seed
from assay.records.schema import StudyRecord
from assay.ruleset import RULESET, Preset, Tier
from assay.space import ChoiceRange, FloatRange, IntRange, Space, Value

optuna.logging.set_verbosity(logging.ERROR)


def study_points(
    space: Space, family: Family, tier: Tier, preset: Preset
) -> list[dict[str, Value]]:
    """The points of a study under the ruleset, defaults first.

    The seed is the family's, so methods with the same space try the same points and none wins by a
    luckier draw.
    """
    seed = derive_seed(RULESET.seed_root, "points", family)
    return draw_points(space, RULESET.k(tier, preset), seed)


def draw_points(space: Space, k: int, seed: int) -> list[dict[str, Value]]:
    """K complete hyperparameter points: the defaults, then a scrambled Sobol' sequence.

    A space without ranges has one point. Choices are drawn as whole numbers, so that the sequence
    covers them evenly too.
    """
    points = [dict(space.defaults)]
    if not space.ranges:
        return points
    ranges = dict(sorted(space.ranges.items()))
    distributions = {name: _drawn(found) for name, found in ranges.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(
            qmc_type="sobol", scramble=True, seed=seed % 2**32, warn_independent_sampling=False
        )
    study = optuna.create_study(sampler=sampler)
    first = {name: _encoded(found, space.defaults[name]) for name, found in ranges.items()}
    # The sampler takes the space from a finished trial; its value does not matter.
    study.add_trial(optuna.create_trial(params=first, distributions=distributions, value=0.0))
    for _ in range(k - 1):
        drawn = study.ask(distributions).params
        values = {name: _decoded(ranges[name], drawn[name]) for name in ranges}
        points.append({**space.defaults, **values})
    return points


def _drawn(found: FloatRange | IntRange | ChoiceRange) -> BaseDistribution:
    if isinstance(found, ChoiceRange):
        return IntDistribution(0, len(found.options) - 1)
    if isinstance(found, IntRange):
        return IntDistribution(found.low, found.high, log=found.log)
    return FloatDistribution(found.low, found.high, log=found.log)


def _encoded(found: FloatRange | IntRange | ChoiceRange, value: Value) -> Any:
    return found.options.index(value) if isinstance(found, ChoiceRange) else value


def _decoded(found: FloatRange | IntRange | ChoiceRange, value: Any) -> Value:
    decoded: Value = found.options[value] if isinstance(found, ChoiceRange) else value
    return decoded


def keep_study(record: StudyRecord, direction: Direction, url: str) -> None:
    """Write a finished tuning to the Optuna storage `url`, unless it is there already."""
    name = f"{record.task.slug}/{record.method.slug}/{record.id}"
    study = optuna.create_study(
        storage=url, study_name=name, direction=direction, load_if_exists=True
    )
    n_kept = len(study.get_trials(deepcopy=False))  # fewer than all if a command was killed
    distributions = _kept_distributions(record.space)
    states = {
        "completed": optuna.trial.TrialState.COMPLETE,
        "diverged": optuna.trial.TrialState.COMPLETE,  # with the chance level as its value
    }
    trials = []
    for trial in record.trials:
        state = states.get(trial.status, optuna.trial.TrialState.FAIL)
        attributes: Mapping[str, Any] = {"run_id": trial.run_id, "status": trial.status}
        trials.append(
            optuna.create_trial(
                params={name: trial.hyperparameters[name] for name in distributions},
                distributions=distributions,
                value=trial.val if state == optuna.trial.TrialState.COMPLETE else None,
                state=state,
                user_attrs=dict(attributes),
            )
        )
    study.add_trials(trials[n_kept:])


def _kept_distributions(space: Space) -> dict[str, BaseDistribution]:
    return {
        name: CategoricalDistribution(found.options)
        if isinstance(found, ChoiceRange)
        else _drawn(found)
        for name, found in space.ranges.items()
    }
