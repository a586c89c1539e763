"""Progress of runs: a bar on a terminal, one changing line in a notebook, else a line now and then.

All of it goes to standard error, or to the notebook's output of the cell.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from assay.engine.pipeline import Progress

LINE_EVERY_SECONDS = 15.0
UPDATE_EVERY_SECONDS = 0.5
FULL_WIDTH = 100
"""Columns of a terminal that has room for a bar and the names of method and task."""


class Bar:
    """Shows the progress of a pipeline and the first failure of each method.

    `quiet` shows nothing. Where the terminal has gone or the disk of a log file is full, the rest
    is not shown: that is no reason to end the runs.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._display: _Display | None = None
        self._told: set[str] = set()
        if not quiet:
            with suppress(OSError):
                self._display = _display()

    def update(self, progress: Progress) -> None:
        """Show how far the runs are, and failures of methods that had none before."""
        if self._display is None:
            return
        try:
            for method, line in progress.failures.items():
                if method not in self._told:
                    self._told.add(method)
                    self._display.tell(line)
            self._display.update(progress)
        except OSError:
            self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        display, self._display = self._display, None
        if display is not None:
            with suppress(OSError):
                display.close()


class _Display(Protocol):
    def update(self, progress: Progress) -> None: ...

    def tell(self, line: str) -> None: ...

    def close(self) -> None: ...


def _display() -> _Display:
    shell = notebook_shell()
    if shell is not None:
        return _Notebook()
    return _Terminal() if sys.stderr.isatty() else _Lines()


def notebook_shell() -> Any:
    """The IPython shell of a notebook's kernel; None in a terminal, IPython's included."""
    # MLflow may be importing it just now, in the mirror's thread.
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = find() if find is not None else None
    return shell if shell is not None and hasattr(shell, "kernel") else None


class _Terminal:
    """A bar of rich with the time left; it disappears at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        parts = [
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeRemainingColumn(compact=True),
            TextColumn("left  {task.fields[latest]}{task.fields[bad]}"),
        ]
        if console.width < FULL_WIDTH:  # numbers alone, which would be the first to be cut
            parts = [*parts[1:-1], TextColumn("left{task.fields[bad]}")]
        self._bar = Progress(*parts, console=console, transient=True)
        self._bar.start()
        self._task = self._bar.add_task("runs", total=None, latest="starting", bad="")

    def update(self, progress: Progress) -> None:
        latest = progress.latest
        name = f"{latest.spec.method.slug} on {latest.spec.task.slug}" if latest else "starting"
        self._bar.update(
            self._task, completed=progress.done + progress.reused, total=progress.total,
            latest=name, bad=_bad(progress),
        )  # fmt: skip

    def tell(self, line: str) -> None:
        """Print a line above the bar, wherever rich would break it."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


class _Lines:
    """A line every few seconds, and at the end: for log files."""

    every_seconds = LINE_EVERY_SECONDS

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        finished = progress.done + progress.reused
        if now - self._last >= self.every_seconds or finished == progress.total:
            self._last = now
            self.show(
                f"{finished}/{progress.total} runs{_left(progress, now - self._began)}"
                f"{_bad(progress)}"
            )

    def show(self, line: str) -> None:
        sys.stderr.write(line + "\n")

    def tell(self, line: str) -> None:
        sys.stderr.write(line + "\n")

    def close(self) -> None:
        pass


class _Notebook(_Lines):
    """One line that is replaced; it needs no widgets."""

    every_seconds = UPDATE_EVERY_SECONDS

    def __init__(self) -> None:
        from IPython.display import display

        super().__init__()
        self._line = display({"text/plain": "starting"}, raw=True, display_id=True)

    def show(self, line: str) -> None:
        if self._line is not None:
            self._line.update({"text/plain": line}, raw=True)


def _bad(progress: Progress) -> str:
    """For example ", 2 diverged"; empty where all completed."""
    bad = {k: n for k, n in sorted(progress.by_status.items()) if k != "completed"}
    return "".join(f", {n} {status.replace('_', ' ')}" for status, n in bad.items())


def _left(progress: Progress, seconds: float) -> str:
    """For example ", about 3 min left", after `seconds` of work; empty where that is unknown."""
    remaining = progress.total - progress.done - progress.reused
    if not progress.done or not remaining:
        return ""
    return f", about {duration(remaining * seconds / progress.done)} left"


def duration(seconds: float) -> str:
    """`seconds` in the unit that people use: 42 s, 5 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
