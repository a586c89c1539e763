"""Runs sessions through Lightning; no other module imports it.

The loader keeps the budget: it gives exactly N batches, whatever the method does with them. A
Lightning step costs about 0.2 ms, more than a small training step, so the loader gives chunks of
consecutive batches and one Lightning step trains a whole chunk.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.connectors import callback_connector
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
    callbacks = [callback for session in sessions for callback in session.method.callbacks()]
    # Lightning would ask every installed package for callbacks to add to a measured run, and the
    # search takes longer than fifty small steps.
    setattr(callback_connector, "_load_external_callbacks", lambda group: [])  # noqa: B010
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice concerns settings that are ours
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="gpu" if sessions[0].device.type == "cuda" else "cpu",
            devices=1,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        chunks = _Chunks(sessions, 1 if callbacks else CHUNK)
        trainer.fit(_Module(sessions, on_point), chunks)


class _Chunks:
    """A loader of chunks: triples of a session's index, its first batch and its last + 1."""

    def __init__(self, sessions: Sequence[Session], size: int) -> None:
        self._chunks = [
            (number, first, min(first + size, session.plan.total_batches))
            for number, session in enumerate(sessions)
            for first in range(session.plan.batch, session.plan.total_batches, size)
        ]

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return iter(self._chunks)


class _Module(pl.LightningModule):
    """What Lightning sees: the models, their optimizers and a step that trains one chunk."""

    def __init__(self, sessions: Sequence[Session], on_point: Callable[[int, Point], None]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.models = nn.ModuleList(session.model for session in sessions)
        self._sessions, self._on_point = sessions, on_point

    def training_step(self, chunk: tuple[int, int, int], index: int) -> None:
        number, first, end = chunk
        self._sessions[number].train_batches(
            first, end, lambda point: self._on_point(number, point)
        )

    def configure_optimizers(self) -> Any:
        return [optimizer for session in self._sessions for optimizer in session.optimizers]
