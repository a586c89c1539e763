"""Runs sessions through Lightning; no other module imports it.

The budget lives in the loader, which ends when the sessions have spent theirs. Short steps would
drown in Lightning's cost of about 0.2 ms a step, so one Lightning step trains a chunk of batches.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.connectors import callback_connector, signal_connector
from torch import nn

from assay.worker.session import Point, Session

CHUNK = 256


def train(sessions: Sequence[Session], on_point: Callable[[int, Point], None]) -> None:
    """Train sessions one after the other, each for the budget.

    One Lightning fit serves all: setting up a Trainer costs as much as fifty small steps.

    Args:
        sessions: the starts of one run.
        on_point: called at each evaluation point, with the session's index and the point.

    Raises:
        Diverged: a loss or an exported weight is not finite.
        PluginError: a method breaks its contract.
    """
    # Lightning would ask every installed package for callbacks to add to a measured run, and the
    # search takes longer than fifty small steps.
    setattr(callback_connector, "_load_external_callbacks", lambda group: [])  # noqa: B010
    # With Lightning's handler, a run that SIGTERM ends would look like one that failed by itself.
    silent = lambda self: None  # noqa: E731
    setattr(signal_connector._SignalConnector, "register_signal_handlers", silent)  # noqa: B010
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice concerns settings that are ours
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="gpu" if sessions[0].device.type == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(_Module(sessions, on_point), _Chunks(sessions))


class _Chunks:
    """A loader of session numbers, one for each chunk of batches, until every budget is spent."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._sessions = sessions

    def __iter__(self) -> Iterator[int]:
        for number, session in enumerate(self._sessions):
            while not session.stopped:
                yield number


class _Module(pl.LightningModule):
    """What Lightning sees: the models, their optimizers and a step that trains one chunk."""

    def __init__(self, sessions: Sequence[Session], on_point: Callable[[int, Point], None]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.models = nn.ModuleList(session.model for session in sessions)
        self._sessions, self._on_point = sessions, on_point

    def training_step(self, number: int, index: int) -> None:
        self._sessions[number].train_batches(CHUNK, lambda point: self._on_point(number, point))

    def configure_optimizers(self) -> Any:
        return [optimizer for session in self._sessions for optimizer in session.optimizers]
