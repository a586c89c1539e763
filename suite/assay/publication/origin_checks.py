"""Where a run says it was made: what no run of Assay can say, and what is not for publication.

Most of it cannot be confirmed: a processor's name is a claim, which only a replay tests. Refused is
what is unknown here, because nobody could replay it, and what contradicts itself.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from assay import __version__
from assay.epochs import EpochStatus
from assay.records.schema import RUN_LIBRARIES, Environment, Isolation, RunRecord
from assay.ruleset import RULESET, SCORER_VERSION

SEALED = {"bubblewrap": ("L2", "L3")}
"""Levels that are published, by what makes them. The others keep no method from its scores."""
INSTRUCTION_SETS = ("avx2", "native")
MACHINES = ("x86_64", "aarch64")
"""Architectures that the sandbox has a filter for (sandbox.seccomp)."""
MAX_THREADS = 1024
CLOCK_SLACK = datetime.timedelta(days=1)
_PYTHON = re.compile(r"3\.(\d{1,2})\.\d{1,2}([abrc+]+\d{0,2})?")
_TORCH = re.compile(r"\d{1,2}\.\d{1,2}(\.\d{1,2})?[a-z0-9.+]{0,24}")
_RELEASE = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})([a-z0-9.+]{0,24})")
_HASH = re.compile(r"[0-9a-f]{64}")
FIRST_PYTHON = 11

Problem = tuple[str, str]
"""A code and what is wrong."""


def origin_problems(run: RunRecord, epochs: dict[str, EpochStatus]) -> Iterator[Problem]:
    """Everything that `run` says of its origin and that cannot be true or is not published.

    Args:
        run: a record of the present ruleset.
        epochs: those with a commitment in this checkout, by name.
    """
    if not 1 <= run.scorer_version <= SCORER_VERSION:
        yield (
            "scorer",
            f"scored by version {run.scorer_version} of the scorer, which is unknown here; this "
            f"is version {SCORER_VERSION}",
        )
    yield from _isolation(run.isolation)
    if run.family == "functions" and run.isolation.level == "L2":
        yield (
            "isolation",
            "a function without the gradient oracle (L3): its method could look ahead",
        )
    yield from _device(run)
    yield from (("environment", said) for said in _environment(run.environment))
    if run.spec.epoch is not None:
        yield from _epoch(run.spec.epoch, epochs)
    if problem := _time(run.created_at):
        yield "created_at", problem


def unsealed(run: RunRecord) -> str:
    """Why a run's method could have reached its scores; empty if it could not."""
    found = [said for code, said in (*_isolation(run.isolation), *_device(run))
             if code in ("isolation", "gpu")]  # fmt: skip
    return found[0] if found else ""


def _isolation(isolation: Isolation) -> Iterator[Problem]:
    level, mechanism = isolation.level, isolation.mechanism
    if level in ("L0", "L1"):
        what = "the scorer's own process" if level == "L0" else "a process without a full sandbox"
        yield (
            "isolation",
            f"was made in {what} ({level}), where the method could reach its scores; run it again "
            "with bubblewrap installed (L2)",
        )
    elif mechanism is None or level not in SEALED.get(mechanism, ()):
        yield "isolation", f"level {level} by {mechanism or 'nothing'}: there is no such sandbox"


def _device(run: RunRecord) -> Iterator[Problem]:
    compute, device = run.spec.compute, run.environment.device
    if compute.accelerator == "gpu" or device == "gpu":
        yield "gpu", "was made on a GPU, which no sandbox has; run it again with --accelerator cpu"
    elif device != "cpu":
        yield "device", f"was made on the device {ascii(device)[:40]}, expected cpu"
    if compute.isa not in INSTRUCTION_SETS:
        known = " or ".join(INSTRUCTION_SETS)
        yield "device", f"the instruction set {ascii(compute.isa)[:40]} is unknown, not {known}"
    if compute.threads > MAX_THREADS:
        yield "device", f"{compute.threads} threads, expected at most {MAX_THREADS}"


def _environment(found: Environment) -> Iterator[str]:
    """What no machine with the sandbox reports of itself."""
    python = _PYTHON.fullmatch(found.python)
    if python is None or int(python[1]) < FIRST_PYTHON:
        yield f"Python {ascii(found.python)[:40]}, expected 3.{FIRST_PYTHON} or later, as 3.11.7"
    if not _TORCH.fullmatch(found.torch):
        yield f"PyTorch {ascii(found.torch)[:40]}, expected a version, as 2.5.1"
    if found.platform not in [f"Linux {machine}" for machine in MACHINES]:
        yield f"the platform {ascii(found.platform)[:40]}, on which there is no sandbox"
    if not found.cpu.strip() or len(found.cpu) > 200:
        yield "no name of a processor"
    if not _HASH.fullmatch(found.cpu_flags_hash):
        yield "the hash of the processor's flags is none"
    for name, version in found.libraries.items():
        if name not in RUN_LIBRARIES or not _RELEASE.fullmatch(version):
            yield f"the library {ascii(name)[:40]} {ascii(version)[:40]}, which no run reports"
    own, made = _RELEASE.fullmatch(__version__), _RELEASE.fullmatch(found.assay)
    if made is None or own is None or _numbers(made) > _numbers(own):
        yield f"Assay {ascii(found.assay)[:40]}, which is unknown here; this is {__version__}"


def _numbers(release: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in release.groups()[:3])


def _epoch(name: str, epochs: dict[str, EpochStatus]) -> Iterator[Problem]:
    status = epochs.get(name)
    if status is None:
        yield "epoch", f"has the seeds of the epoch {name}, which has no commitment here"
    elif status.ruleset != RULESET.version:
        yield "epoch", f"the epoch {name} is of ruleset {status.ruleset}, not {RULESET.version}"


def _time(created_at: str) -> str | None:
    """Why a run cannot have been made then; that it was made at all is not shown by its date."""
    try:
        at = datetime.datetime.fromisoformat(created_at)
        late = at - datetime.datetime.now(datetime.UTC) > CLOCK_SLACK
    except (ValueError, TypeError):
        return None  # told by record_checks
    return "was made in the future" if late else None
