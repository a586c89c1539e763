"""Build hook: a wheel carries what a checkout has beside the code (see assay.paths.BUNDLED).

An editable install carries none of it: its code runs in the checkout, and a second copy would lie
where sandboxed methods can read it.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = (
    "tasks",
    "submissions",
    "leaderboard/results",
    "tests/attacks/registry.toml",
    "tests/attacks/kit.py",
    "tests/attacks/plugins",
    "tests/attacks/tasks",
)


class WheelData(BuildHookInterface):
    """Puts each of DATA into the wheel, in the same place below `assay/bundled`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files; `version` is "standard" or "editable"."""
        if version == "standard":
            build_data["force_include"].update({name: f"assay/bundled/{name}" for name in DATA})
