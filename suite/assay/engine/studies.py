"""The runs of a repetition, kept as a study in an Optuna storage for people who use Optuna."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from assay.cards import Direction
from assay.identity import content_id
from assay.records.schema import RunRecord
from assay.space import ChoiceRange, FloatRange, IntRange

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


class Studies:
    """Adds runs to the studies of a storage, one study a repetition.

    Values are validation scores, so the study's best trial is the repetition's selected point.
    """

    def __init__(self, url: str) -> None:
        """Open or create the storage at `url`, as Optuna writes it."""
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._storage = optuna.storages.RDBStorage(url)
        self._open: dict[str, tuple[Study, set[str]]] = {}

    def add(self, run: RunRecord, direction: Direction) -> None:
        """Add a run to the study of its repetition, as a trial.

        A run that did not complete is a failed trial. A run that is there already stays as it is,
        and one at hyperparameters chosen by hand is left out.

        Args:
            run: of any task and method.
            direction: of the task's metric.
        """
        if run.spec.point is None:
            return
        study, kept = self._study(_name(run), direction)
        if run.id not in kept:
            study.add_trial(_trial(run))
            kept.add(run.id)

    def _study(self, name: str, direction: Direction) -> tuple[Study, set[str]]:
        """A study, and the ids of the runs that it has."""
        import optuna

        if name not in self._open:
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction=direction, load_if_exists=True
            )
            trials = study.get_trials(deepcopy=False)
            self._open[name] = study, {trial.user_attrs["run_id"] for trial in trials}
        return self._open[name]


def _name(run: RunRecord) -> str:
    """Task, method and repetition, and a hash of all that runs of a study have in common."""
    spec = run.spec
    common = spec.model_dump(mode="json", exclude={"point", "hyperparameters"})
    return f"{spec.task.slug}/{spec.method.slug}/{spec.repetition}/{content_id(common)}"


def _trial(run: RunRecord) -> FrozenTrial:
    import optuna

    distributions = {name: _distribution(found) for name, found in run.space.ranges.items()}
    done = optuna.trial.TrialState.COMPLETE if run.result else optuna.trial.TrialState.FAIL
    return optuna.create_trial(
        params={name: run.spec.hyperparameters[name] for name in distributions},
        distributions=distributions,
        value=run.result.val if run.result else None,
        state=done,
        user_attrs={"run_id": run.id, "status": run.status, "point": run.spec.point},
    )


def _distribution(found: FloatRange | IntRange | ChoiceRange) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(found, ChoiceRange):
        return CategoricalDistribution(found.options)
    if isinstance(found, IntRange):
        return IntDistribution(found.low, found.high, log=found.log)
    return FloatDistribution(found.low, found.high, log=found.log)
