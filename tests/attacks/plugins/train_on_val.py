"""Looks for val in what its own run was given, and in what other repetitions were given."""

from __future__ import annotations

from pathlib import Path

from kit import Attack, caller, run_folder
from safetensors import safe_open


class TrainOnVal(Attack):
    """The training examples of another repetition hold most of this one's val and test."""

    def ways(self):
        return {"own files": self.own, "files of other repetitions": self.others}

    def tensors(self, path):
        with safe_open(path, "pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118

    def own(self):
        folder = Path(caller("request")["request"].train).parent
        for path in folder.iterdir():
            if path.is_file() and path.suffix == "":
                shapes = self.tensors(path)
                if any(shape and shape[0] in (300, 697) for shape in shapes.values()):
                    return f"tensors {shapes}"
        return None

    def others(self):
        given = Path(caller("request")["request"].train)
        found = {
            path
            for start in (run_folder(), given)
            for root in start.parents
            if root.parent != root
            for path in root.glob("problems/*/train")
        }
        return f"training data of {len(found)} repetitions" if len(found) > 1 else None
