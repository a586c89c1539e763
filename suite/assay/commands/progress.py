"""Progress on a terminal: a bar with time left, or a line now and then where there is none."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.engine.pipeline import Progress

LINE_EVERY_SECONDS = 15.0


class Bar:
    """Shows pipeline progress on stderr; `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._began = self._last = time.monotonic()
        self._rich: Any = None
        self._task: Any = None
        if not quiet and sys.stderr.isatty():
            self._rich, self._task = _rich_bar()

    def update(self, progress: Progress) -> None:
        """Show where things stand."""
        if self._quiet:
            return
        finished = progress.done + progress.reused
        latest = progress.latest
        name = f"{latest.spec.method.slug} on {latest.spec.task.slug}" if latest else "starting"
        if self._rich is not None:
            self._rich.update(
                self._task, completed=finished, total=progress.total, latest=name,
                bad=_bad(progress),
            )  # fmt: skip
            return
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_SECONDS or finished == progress.total:
            self._last = now
            sys.stderr.write(f"{finished}/{progress.total} runs{_left(progress, now, self._began)}"
                             f"{_bad(progress)}\n")  # fmt: skip

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._rich is not None:
            self._rich.stop()


def _bad(progress: Progress) -> str:
    bad = {k: n for k, n in sorted(progress.by_status.items()) if k != "completed"}
    return "".join(f", {n} {status.replace('_', ' ')}" for status, n in bad.items())


def _left(progress: Progress, now: float, began: float) -> str:
    remaining = progress.total - progress.done - progress.reused
    if not progress.done or not remaining:
        return ""
    return f", about {duration(remaining * (now - began) / progress.done)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _rich_bar() -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeRemainingColumn(compact=True),
        TextColumn("left  {task.fields[latest]}{task.fields[bad]}"),
        console=Console(stderr=True),
        transient=True,
    )
    bar.start()
    return bar, bar.add_task("runs", total=None, latest="starting", bad="")
