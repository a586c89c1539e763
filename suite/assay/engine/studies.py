"""The runs of a repetition, kept as a study in an Optuna storage for people who use Optuna."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cards import Direction
from assay.engine.databases import damage, open_database
from assay.engine.servers import alone, is_down, is_postgresql, open_server, said
from assay.identity import content_id
from assay.records.schema import RunRecord
from assay.space import ChoiceRange, FloatRange, IntRange

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial


STUDIES = "optuna.db"


class Studies:
    """Adds runs to the studies of a storage, one study a repetition.

    Values are validation scores, so the study's best trial is the repetition's selected point.
    """

    def __init__(self, address: str | None, root: Path, tell: Callable[[str], None]) -> None:
        """Open or create the storage.

        Args:
            address: of a PostgreSQL database; None: the SQLite file `optuna.db` in `root`.
            root: the results folder.
            tell: gets a line about a file that was set aside.

        Raises:
            Unavailable: it cannot be used now.
        """
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        self._address, self._path = address, root / STUDIES
        self._studies: dict[str, tuple[Study, set[str]]] = {}
        if address is None:
            self._storage, self.is_new = open_database(self._path, _open, _close, tell)
        else:
            self._storage = open_server(address, _open)
            self.is_new = not self.run_ids()

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
        name = _name(run)
        if self._address is None:
            self._add(run, *self._study(name, direction))
            return
        with alone(self._storage.engine, name):  # other commands may add the same run
            study, _ = self._study(name, direction)
            self._add(run, study, self.run_ids(study))

    def run_ids(self, study: Study | None = None) -> set[str]:
        """The ids of all runs in the storage, or in one of its studies."""
        from sqlalchemy import text

        query = "SELECT value_json FROM trial_user_attributes WHERE key = 'run_id'"
        if study is not None:
            query += " AND trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)"
        with self._storage.engine.connect() as connection:
            own = {} if study is None else {"study": study._study_id}
            return {json.loads(row[0]) for row in connection.execute(text(query), own)}

    def fault(self, error: Exception) -> str | None:
        """Why the storage cannot be used any more; None if only what was asked is at fault.

        Args:
            error: what the storage answered.

        Raises:
            Unavailable: somebody has locked it.
        """
        if self._address is None:
            return damage(self._path)
        return said(error, self._address) if is_down(error) else None

    def close(self) -> None:
        """Close the file, as the folder may be moved, or the connections."""
        _close(self._storage)

    def _add(self, run: RunRecord, study: Study, kept: set[str]) -> None:
        if run.id not in kept:
            study.add_trial(_trial(run))
            kept.add(run.id)

    def _study(self, name: str, direction: Direction) -> tuple[Study, set[str]]:
        """A study, and the ids of the runs that it has."""
        import optuna

        if name not in self._studies:
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction=direction, load_if_exists=True
            )
            trials = study.get_trials(deepcopy=False)  # a user may have added some
            self._studies[name] = study, {str(trial.user_attrs.get("run_id")) for trial in trials}
        return self._studies[name]


def _open(url: str) -> RDBStorage:
    import optuna

    # A server may have been started again since its last connection was used.
    options = {"pool_pre_ping": True} if is_postgresql(url) else None
    return optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}"), options)


def _close(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()


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
