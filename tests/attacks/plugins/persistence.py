"""Leaves code and files where a later run would find them; the second run looks for them."""

from __future__ import annotations

import contextlib
import os
import site
import tempfile
from pathlib import Path

import assay
import targets
from kit import Attack, run_folder

MARK = "assay_attack_mark"


class Persistence(Attack):
    """Whoever can change what the next run imports owns every later result."""

    def ways(self):
        return {name: lambda name=name, place=place: self.use(place(), name)
                for name, place in self.places().items()}  # fmt: skip

    def places(self):
        folder = Path(run_folder())
        found = {
            "home": Path.home,
            "temporary files": lambda: Path(tempfile.gettempdir()),
            "current folder": Path.cwd,
            "the run's folder": lambda: folder,
            "above the run's folder": lambda: folder.parent,
            "/dev/shm": lambda: Path("/dev/shm"),
        }
        if targets.SANDBOXED:  # or it would write into this machine's packages
            found |= {
                "site-packages (.pth)": lambda: Path(site.getsitepackages()[0]),
                "the suite's byte code": lambda: Path(assay.__file__).parent / "__pycache__",
                "beside the method": lambda: Path(__file__).parent,
                "/usr/lib": lambda: Path("/usr/lib"),
            }
        return found

    def use(self, place, name):
        path = (place / f"{MARK}_{targets.SERIAL}.pth").resolve()
        self.left = getattr(self, "left", set())
        if path in self.left:
            return None
        if path.exists():
            for other in self.places().values():
                with contextlib.suppress(OSError):
                    (other() / path.name).unlink()
            return "the mark of the run before"
        os.makedirs(place, exist_ok=True)
        path.write_text("# left by an attack of Assay's own tests; harmless\n")
        self.left.add(path)
        return None
