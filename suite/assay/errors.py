"""Every error a user can cause, in one tree; the CLI prints them without a traceback.

AssayError                 exit code 2
|-- UnknownName            nothing has this name; suggests similar ones
|-- CardError              card.toml is malformed; lists every problem at once
|-- BadWeights             what a worker exported is not what the task asks for
|-- PluginError            task.py or method.py cannot be loaded or breaks the contract
|-- DataError              a data file is missing, truncated or has the wrong checksum
|-- RecordError            a record cannot be read: corrupt, of a newer schema, or inconsistent
|   |-- FormerRecord       a record of an earlier ruleset, which is kept for reference only
|   `-- NewerRecord        a record that a newer Assay wrote: whole, but not for this one
|-- BundleError            a bundle cannot be read or made; nothing of it is used
|   `-- FormerBundle       a bundle of an earlier ruleset, which is kept for reference only
|-- LogError               the results log is broken, or an entry does not fit it
|-- EpochError             an epoch's secret is missing, or is not what was committed to
|-- SubmissionError        a method that cannot be submitted as it is
|-- StorageError           exit code 3: a file cannot be written (disk full, read-only)
|-- RunHung                exit code 4: a run waited without end and was stopped; no record of it
`-- WorkerError            exit code 4: a worker or the scorer died, by no fault of a plugin
    `-- MachineError       the machine is known to be at fault: it had no memory, or killed it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AssayError(Exception):
    """An error that a user can fix. Says what was given, what was expected and what to do next."""

    exit_code = 2


class UnknownName(AssayError):
    """A name that nothing has."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(given, names, n=3)
        if close:
            hint = "Did you mean " + " or ".join(close) + "?"
        elif names:
            hint = "Known: " + ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        else:
            hint = f"No {kind} is known here."
        super().__init__(f"no {kind} is called {given!r}. {hint}")


class CardError(AssayError):
    """A card with problems; `problems` holds one line each, with file and line where known."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class BadWeights(AssayError):
    """Exported weights that are not what the task asks for: the run has failed."""


class PluginError(AssayError):
    """A plugin that cannot be loaded or breaks the contract."""


class DataError(AssayError):
    """A data file that is missing, truncated or not the published one."""


class RecordError(AssayError):
    """A record that cannot be read."""


class FormerRecord(RecordError):
    """A record of an earlier ruleset, which is kept for reference only."""


class NewerRecord(RecordError):
    """A record that a newer Assay wrote: whole, but not for this one."""


class BundleError(AssayError):
    """A bundle that cannot be read or made."""


class FormerBundle(BundleError):
    """A bundle of an earlier ruleset, which is kept for reference only."""


class LogError(AssayError):
    """A results log that is broken, or an entry that does not fit it."""


class EpochError(AssayError):
    """An epoch whose secret is missing, or is not the one that was committed to."""


class SubmissionError(AssayError):
    """A method that cannot be submitted as it is."""


class StorageError(AssayError):
    """A file or folder that cannot be written."""

    exit_code = 3


class RunHung(AssayError):
    """A run that was stopped at the limit on wall time; it may be the method or the machine."""

    exit_code = 4


class WorkerError(AssayError):
    """A worker or the scorer died, by no fault of a plugin."""

    exit_code = 4


class MachineError(WorkerError):
    """The machine, or somebody on it, ended what ran; nothing is recorded, and it is run again."""
