"""Runs the attacks of the registry against this machine's sandbox and says how each ended.

An attack is a method, run as any method is. The attacks, their tasks and the registry lie in
assay.paths.ATTACKS. Canaries are planted, the attack is run, and the record that the supervisor
made of the run is judged. That an attack says it failed is reported, never believed.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.cards import SubmissionCard
from assay.checking.attack_judge import Attack, AttackJudge, AttackResult, Expected, Judgement
from assay.checking.canaries import Canaries, plant
from assay.detectors import detect
from assay.engine.pool import Pool
from assay.engine.runs import Job
from assay.errors import AssayError, PluginError, StorageError, UnknownName
from assay.paths import ATTACKS
from assay.plugins.registry import (
    MethodEntry,
    TaskEntry,
    find_method,
    find_task,
    method_entries,
    method_ref,
    task_ref,
)
from assay.records.schema import Compute, Mechanism, RunRecord, RunSpec
from assay.ruleset import RULESET
from assay.space import Space

N_WORKERS = 2
N_HONEST = 4
"""Repetitions of each baseline, and of an attack that gains, that the detectors need."""
BASELINES = ("honest", "honest_adam")
IMPORTS = "from __future__ import annotations\n"
FIND_KIT = "import sys\nsys.path.insert(0, __file__.rpartition('/')[0])\n"
MEET_SECONDS = 6.0


class Ending(BaseModel):
    """How an attack ended on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    slug: str
    does: str
    ended: AttackResult
    expected: Expected
    stopped_by: str
    evidence: str
    """What the record showed."""
    seconds: float
    mechanism: Mechanism | None

    @property
    def surprising(self) -> bool:
        """Whether it gained more than the registry expects."""
        gains = {
            "failed": 0,
            "no gain": 0,
            "elsewhere": 0,
            "not judged": 0,
            "flagged": 1,
            "open": 2,
        }
        return gains[self.ended] > gains[self.expected]


def folder() -> Path:
    """Where the attacks lie.

    Raises:
        PluginError: neither in a checkout nor in this installation.
    """
    if (ATTACKS / "registry.toml").is_file():
        return ATTACKS
    raise PluginError("the attacks are not part of this installation; use a checkout or a wheel")


def read_registry(names: Iterable[str] = ()) -> list[Attack]:
    """The registry, or those of its attacks that are named by slug or number.

    Raises:
        UnknownName: a name is neither.
        PluginError: the registry is damaged or missing.
    """
    path = folder() / "registry.toml"
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["attack"]
        attacks = [Attack.model_validate(entry) for entry in listed]
    except (OSError, tomllib.TOMLDecodeError, ValidationError, KeyError) as error:
        raise PluginError(f"{path}: {error}") from error
    wanted = set(names)
    chosen = [a for a in attacks if not wanted or {a.slug, str(a.number)} & wanted]
    known = {attack.slug for attack in attacks} | {str(attack.number) for attack in attacks}
    for name in wanted - known:
        raise UnknownName("attack", name, {attack.slug for attack in attacks})
    return chosen


class AttackRange:
    """Canaries, a pool and honest baselines: what attacks are run against."""

    def __init__(self, mechanism: Mechanism) -> None:
        """Make a range for a sandbox `mechanism` that is known to work on this machine."""
        self.mechanism = mechanism
        self._honest: dict[str, dict[str, list[RunRecord]]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-range-")))
            (place / "canaries").mkdir()
            self._place = place
            self._canaries: Canaries = stack.enter_context(plant(place / "canaries"))
            self._pool = stack.enter_context(
                Pool(n_workers=N_WORKERS, compute=Compute(), mechanism=self.mechanism)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, attack: Attack) -> Ending:
        """Run every variant of one attack; the worst ending counts."""
        began = time.monotonic()
        if not attack.runs_here:
            # An attack that nothing stops is open, whichever test shows it.
            ended: AttackResult = "open" if attack.expected == "open" else "elsewhere"
            judged = Judgement(ended=ended, evidence=f"shown by {attack.shown_by}")
        else:
            with contextlib.suppress(AssayError):  # each variant says so
                # The first honest runs are everyone's: no variant may wait for another's.
                self._baseline(attack.task)
            with ThreadPoolExecutor(N_WORKERS) as threads:
                parts = list(threads.map(lambda v: self._tried(attack, v), attack.variants))
            order: tuple[AttackResult, ...] = (
                "open",
                "flagged",
                "not judged",
                "no gain",
                "failed",
            )
            judged = Judgement(
                ended=min((part.ended for part in parts), key=order.index),
                evidence=" | ".join(part.evidence for part in parts),
            )
        return Ending(
            **attack.model_dump(include={"number", "slug", "does", "expected", "stopped_by"}),
            ended=judged.ended,
            evidence=judged.evidence,
            seconds=round(time.monotonic() - began, 2),
            mechanism=self.mechanism if attack.runs_here else None,
        )

    def _tried(self, attack: Attack, variant: str) -> Judgement:
        try:
            return self._variant(attack, variant)
        except StorageError:
            raise
        except AssayError as error:
            return Judgement(ended="not judged", evidence=str(error))

    def _variant(self, attack: Attack, variant: str) -> Judgement:
        serial = secrets.token_hex(8)
        task = self._task(attack.task, attack.seconds)
        method = self._method(attack, variant, serial)
        honest = self._baseline(attack.task)["honest"][0]
        before = time.monotonic()
        if attack.concurrent:
            with ThreadPoolExecutor(attack.n_runs) as threads:
                numbers = range(attack.n_runs)
                records = list(threads.map(lambda n: self._record(task, method, n), numbers))
        elif attack.gain == "replay":
            records = [self._record(task, method, 0) for _ in range(attack.n_runs)]
        else:
            # Free workers take turns: only after a full turn does a run follow another's.
            n = attack.n_runs if attack.n_runs == 1 else 1 + N_WORKERS * (attack.n_runs - 1)
            records = []
            for number in range(n):
                records.append(self._record(task, method, number))
                if "REACHED" in records[-1].message:
                    break
        seconds = time.monotonic() - before
        judge = AttackJudge(attack, self._canaries, honest, task, serial, seconds)
        gained, evidence = judge.judge(records)
        if variant:
            evidence = f"{variant}: {evidence}"
        if gained is None:
            return Judgement(ended="not judged", evidence=evidence)
        if not gained:
            completed = all(record.status == "completed" for record in records)
            return Judgement(ended="no gain" if completed else "failed", evidence=evidence)
        flags = self._flags(attack, task, method, records)
        if attack.gain == "replay":
            flags = ["a replay differs"]
        return Judgement(
            ended="flagged" if flags else "open",
            evidence=f"{evidence}; flags: {', '.join(flags)}" if flags else evidence,
        )

    def _flags(
        self, attack: Attack, task: TaskEntry, method: MethodEntry, records: Sequence[RunRecord]
    ) -> list[str]:
        """Codes of the detectors that flag an attack that gained; makes the runs they need."""
        runs = list(records)
        if attack.gain in ("score", "always"):
            runs += [self._record(task, method, n) for n in range(len(runs), N_HONEST)]
        baselines = self._baseline(attack.task, full=True)
        flags = detect(
            runs,
            {"method.py": self._plugin(attack).encode()},
            task.card,
            [run for group in baselines.values() for run in group],
            others={slug: entry.contents for slug, entry in method_entries().items()},
        )
        return sorted({flag.code for flag in flags})

    def _baseline(self, task: str, *, full: bool = False) -> dict[str, list[RunRecord]]:
        """Honest runs on a task by method: one run of one, or as many as the detectors need."""
        known = self._honest.setdefault(task, {slug: [] for slug in BASELINES})
        for slug, records in known.items():
            entry = self._honest_method(slug)
            wanted = N_HONEST if full else int(slug == BASELINES[0])
            for number in range(len(records), wanted):
                records.append(self._record(self._task(task, None), entry, number))
        return known

    def _task(self, slug: str, seconds: float | None) -> TaskEntry:
        entry = find_task(str(folder() / "tasks" / slug))
        if seconds is None:
            return entry
        budget = entry.card.budget.model_copy(update={"seconds": seconds})
        return TaskEntry(entry.card.model_copy(update={"budget": budget}), entry.folder)

    def _honest_method(self, slug: str) -> MethodEntry:
        source = folder() / "plugins" / f"{slug}.py"
        return MethodEntry(SubmissionCard(slug=slug, title=slug), source)

    def _method(self, attack: Attack, variant: str, serial: str) -> MethodEntry:
        """A method folder with the attack, the code attacks share, and where it should look."""
        own = self._place / serial / attack.slug
        own.mkdir(parents=True)
        text = self._plugin(attack)
        (own / "method.py").write_text(text.replace(IMPORTS, IMPORTS + FIND_KIT, 1))
        (own / "kit.py").write_text((folder() / "kit.py").read_text(encoding="utf-8"))
        targets = {
            **self._canaries.targets,
            "VARIANT": variant,
            "SERIAL": serial,
            "SANDBOXED": self.mechanism != "subprocess",
            "MEET_SECONDS": MEET_SECONDS,
        }
        lines = [f"{name} = {value!r}\n" for name, value in targets.items()]
        (own / "targets.py").write_text("".join(lines))
        card = f'slug = "{attack.slug}"\ntitle = "{attack.slug}"\n'
        (own / "card.toml").write_text(card)  # a folder with a card may have helper modules
        return find_method(str(own))

    def _plugin(self, attack: Attack) -> str:
        """The attack's source as written, without the lines that let it import the kit."""
        return (folder() / "plugins" / f"{attack.slug}.py").read_text(encoding="utf-8")

    def _record(self, task: TaskEntry, method: MethodEntry, number: int) -> RunRecord:
        spec = RunSpec(
            ruleset=RULESET.version,
            task=task_ref(task),
            method=method_ref(method),
            hyperparameters={},
            repetition=number,
            point=0,
            compute=self._pool.compute,
        )
        return self._pool.run(Job(spec, task, method, Space()), "assay sandbox")
