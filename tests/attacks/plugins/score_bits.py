"""Waits for anything that says how its last snapshot scored."""

from __future__ import annotations

from pathlib import Path

from assay import Method
from kit import Denied, Reached, caller, run_folder


class ScoreBits(Method):
    """One bit per evaluation point is enough to climb on the test set."""

    def finalize_model(self, model, calibration):
        folder = run_folder()
        self.seen = getattr(self, "seen", 0) + 1
        own = {path.name for path in folder.iterdir()} - {"output.log", "tmp"}
        inbox = Path(caller("request")["request"].train).parent
        strange = sorted(own - {"snapshots"})
        strange += [path.name for path in inbox.iterdir() if "score" in path.name]
        if strange:
            raise Reached(f"REACHED something beside its own files: {strange}")
        if self.seen == 4:
            raise Denied("DENIED its own snapshots, and no answer to any of them")
        return model
