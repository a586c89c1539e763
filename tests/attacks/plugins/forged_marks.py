"""Hands in the end of its descent as the snapshot of every moment."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct

import torch
from assay import Method
from kit import caller, run_folder
from safetensors.torch import save
from targets import VARIANT

ORACLE = 4


class ForgedMarks(Method):
    """Variants: no marks; marks of the start, made early; marks of the end, made late."""

    def configure_optimizer(self, model):
        card, folder = caller("card")["card"], run_folder()
        thresholds = card.evaluation.thresholds(card.budget)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        row = torch.zeros(1, 1)
        if VARIANT == "early":
            mark(model, thresholds)
        for _ in range(self.plan.budget):
            optimizer.zero_grad()
            model(row).backward()
            optimizer.step()
        if VARIANT == "late":
            mark(model, thresholds)
        entries = []
        for start in range(2):
            for batch in thresholds:
                data = save({"x": model.x.detach()})
                with (folder / "snapshots").open("ab") as file:
                    file.write(data)
                entry = {"n_bytes": len(data), "start": start, "batch": batch, "passes": batch}
                entry |= {"example_passes": batch, "seconds": 0.1, "train_loss": 1.0}
                entries.append(entry)
        claim = {"status": "completed", "snapshots": entries}
        (folder / "outcome.json").write_text(json.dumps(claim))
        os._exit(0)


def mark(model, thresholds):
    """Ask the oracle for marks as the engine does."""
    x = model.x.detach()
    digest = hashlib.sha256(f"x {x.dtype} {tuple(x.shape)}\n".encode() + x.numpy().tobytes())
    with socket.socket(fileno=os.dup(ORACLE)) as connection:
        for start in range(2):
            for batch in thresholds:
                connection.sendall(struct.pack("<BBHI", 4, 0, start, batch) + digest.digest())
                connection.recv(24, socket.MSG_WAITALL)
