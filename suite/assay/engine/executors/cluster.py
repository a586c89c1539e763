"""An executor on a cluster: keeps a slot wherever a node has room, and runs in each one run.

The driver, which is this process, is the only one that knows what is to be done, and the only one
that writes records. A slot that dies or falls silent loses the run that was in it and nothing else;
that run goes to another slot. An answer that comes from a slot after it was given up is dropped, so
no run counts twice. A node that cannot do what was planned is refused, by name and with the reason.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from assay.engine.executors import Tell, luggage
from assay.engine.executors.slot import ERRORS, Introduction, RunAnswer, SlotSetup, Unfit
from assay.engine.runs import Job
from assay.errors import AssayError, MachineError, WorkerError
from assay.messages.worker import Machine
from assay.records.schema import RunRecord

TEND_SECONDS = 2.0
"""How often nodes and slots are looked after."""
PING_SECONDS = 10.0
MAX_UNANSWERED = 6
"""How often a slot may be asked for a sign of life in vain. This is counted and not measured in
seconds, which also pass while the driver itself is stopped."""
MAX_LOSSES = 3
"""Slots that may be lost with one run in them, or on one node before one was ready."""
CLOSE_SECONDS = 10.0
SLOW_SECONDS = 120.0
"""After which it is said that no slot has got ready."""


class SlotLost(Exception):
    """The process of a slot, or its node, is no more; says what is known of it."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster that is there now."""

    id: str
    name: str
    n_slots: int
    """How many runs it has room for."""


class Cluster(Protocol):
    """What the executor needs of a cluster (executors.ray)."""

    def nodes(self) -> list[Node]:
        """The nodes that are there now."""

    def resources(self) -> str:
        """What the cluster has and one run asks for, in words."""

    def start(self, node: Node, setup: SlotSetup) -> Any:
        """Begin to start a slot (executors.slot.Slot) on a node; a handle of it."""

    def share(self, value: object) -> Any:
        """Make a value known to all nodes, each of which fetches it once; what to call slots with.

        Raises:
            WorkerError: there is no room for it.
        """

    def call(self, slot: Any, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of a slot; its answer, SlotLost, or WorkerError if it failed in itself."""

    def kill(self, slot: Any) -> None:
        """End a slot at once."""


@dataclass(eq=False)
class _Flight:
    """A run that was submitted and has not ended."""

    job: Job
    reproduce: str
    tell: Tell
    future: Future[RunRecord] = field(default_factory=Future)
    losses: int = 0
    """How many slots were lost with it."""


@dataclass(eq=False)
class _Slot:
    handle: Any
    node: Node
    state: Literal["starting", "idle", "busy", "lost"] = "starting"
    flight: _Flight | None = None
    n_unanswered: int = 0
    """How often it was asked for a sign of life since the last one."""
    has_begun: bool = False
    """Whether it ever gave one. Before that it may be waiting for room on its node."""
    n_awaited: int = 0
    """Files that it has not taken yet."""


class ClusterExecutor:
    """Does runs in slots on the nodes of a cluster; an Executor."""

    def __init__(
        self,
        cluster: Cluster,
        setup: SlotSetup,
        expected: Machine,
        say: Tell,
        *,
        n_wanted: int | None = None,
        patience_seconds: float = 600.0,
    ) -> None:
        """Nothing is started before the first run.

        Args:
            cluster: with the nodes.
            setup: for every slot.
            expected: the machine that planned, whose libraries nodes must have.
            say: gets a line about each node that is refused or lost.
            n_wanted: slots; by default as many as there is room for.
            patience_seconds: how long to wait for nodes that may come, or come back.
        """
        self._cluster, self._setup, self._expected, self._say = cluster, setup, expected, say
        self._n_wanted, self._patience_seconds = n_wanted, patience_seconds
        self._hash = luggage.package_hash()
        self._slots: list[_Slot] = []
        self._idle: deque[_Slot] = deque()
        self._waiting: deque[_Flight] = deque()
        self._ended: list[Future[RunRecord]] = []
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._cells: dict[object, Any] = {}
        self._files: dict[str, Any] = {}
        self._refused: dict[str, str] = {}
        self._losses: Counter[str] = Counter()
        self._kinds: set[str] = set()
        self._tended_at = self._pinged_at = -float("inf")
        self._alone_since: float | None = None
        self._began: float | None = None

    @property
    def n_slots(self) -> int:
        return sum(slot.state in ("idle", "busy") for slot in self._slots)

    def submit(self, job: Job, reproduce: str, tell: Tell) -> Future[RunRecord]:
        flight = _Flight(job, reproduce, tell)
        self._waiting.append(flight)
        self._assign()
        return flight.future

    def finished(self, seconds: float) -> list[Future[RunRecord]]:
        end = time.monotonic() + seconds
        while not self._ended and (left := end - time.monotonic()) > 0:
            self._tend()
            with contextlib.suppress(queue.Empty):
                self._events.get(timeout=min(left, TEND_SECONDS))()
                while True:
                    self._events.get_nowait()()
        ended, self._ended = self._ended, []
        return ended

    def abort(self) -> None:
        """End every slot, each by itself if it can, so that no process or file is left there."""
        slots = list(self._slots)
        wait([self._retire(slot) for slot in slots], CLOSE_SECONDS)
        for slot in slots:
            self._cluster.kill(slot.handle)

    # Nodes

    def _tend(self) -> None:
        """Now and then: start and give up slots as nodes come and go.

        Raises:
            WorkerError: no node can do anything.
        """
        now = time.monotonic()
        if now - self._tended_at < TEND_SECONDS:
            return
        self._tended_at = now
        nodes = self._cluster.nodes()
        here = {node.id for node in nodes}
        for slot in list(self._slots):
            if slot.node.id not in here:
                self._lose(slot, "the node is gone")
        taken = Counter(slot.node.id for slot in self._slots)
        for node in nodes:
            for _ in range(0 if node.id in self._refused else node.n_slots - taken[node.id]):
                if self._n_wanted is None or len(self._slots) < self._n_wanted:
                    self._start(node)
        self._check_there_is_any(nodes, now)
        if now - self._pinged_at >= PING_SECONDS:
            self._pinged_at = now
            self._ping()

    def _check_there_is_any(self, nodes: list[Node], now: float) -> None:
        """Raise WorkerError where no slot can be expected any more; say what is waited for."""
        if self._slots:
            self._alone_since = None
            if self._began is None:
                self._began = now
            if not self._kinds and now - self._began > SLOW_SECONDS:
                self._began = float("inf")
                self._say(
                    f"nothing has begun in {SLOW_SECONDS:.0f} s: the nodes are slow, or busy with "
                    "something else (`ray status` says)"
                )
            return
        reasons = [self._refused[node.id] for node in nodes if node.id in self._refused]
        have_worked = bool(self._kinds)
        if have_worked or (self._n_wanted is not None and not reasons):
            if self._alone_since is None:
                self._alone_since = now
                self._say(f"waiting for nodes: {self._cluster.resources()}")
            if now - self._alone_since < self._patience_seconds:
                return
        why = "\n".join(reasons) or self._cluster.resources()
        raise WorkerError(f"no node can do these runs: {why}")

    def _start(self, node: Node) -> None:
        slot = _Slot(self._cluster.start(node, self._setup), node)
        self._slots.append(slot)
        self._ask(slot, self._introduced, "introduce")

    def _ping(self) -> None:
        """Ask slots for a sign of life, and give up those that were asked in vain too often."""
        for slot in list(self._slots):
            if slot.has_begun and slot.n_unanswered >= MAX_UNANSWERED:
                self._lose(slot, f"no sign of life for {MAX_UNANSWERED * PING_SECONDS:.0f} s")
                continue
            slot.n_unanswered += 1
            if slot.n_unanswered == 1:
                self._ask(slot, self._ponged, "ping")

    def _refuse(self, node: Node, reason: str) -> None:
        """Use a node no more; what goes on there may end."""
        if node.id not in self._refused:
            self._refused[node.id] = f"node {node.name}: {reason}"
            self._say(f"not used: {self._refused[node.id]}")
        for slot in [slot for slot in self._slots if slot.node.id == node.id]:
            if slot.flight is None:
                self._retire(slot)

    # Slots

    def _ask(
        self, slot: _Slot, take: Callable[[_Slot, Any], None], method: str, *arguments: Any
    ) -> None:
        """Call a slot's method; this thread gives the answer to `take` unless the slot is lost."""

        def answered(future: Future[Any]) -> None:
            self._events.put(lambda: self._answered(slot, take, future))

        self._cluster.call(slot.handle, method, *arguments).add_done_callback(answered)

    def _answered(
        self, slot: _Slot, take: Callable[[_Slot, Any], None], future: Future[Any]
    ) -> None:
        if slot.state == "lost":
            return
        try:
            answer = future.result()
        except SlotLost as error:
            self._lose(slot, str(error))
        except WorkerError as error:
            flight = self._leave(slot)
            self._refuse(slot.node, str(error))
            if flight is not None:
                self._lost(flight, str(error))
        else:
            if isinstance(answer, Unfit) and answer.passing:
                self._lose(slot, answer.reason)
            elif isinstance(answer, Unfit):
                if (flight := self._leave(slot)) is not None:
                    self._waiting.appendleft(flight)
                self._refuse(slot.node, answer.reason)
            else:
                take(slot, answer)
        self._assign()

    def _introduced(self, slot: _Slot, answer: Introduction) -> None:
        if problem := self._problem(answer):
            self._refuse(slot.node, problem)
            return
        machine = answer.machine
        kind = f"{machine.cpu}, torch {machine.torch}, {answer.mechanism}"
        if kind not in self._kinds:
            self._kinds.add(kind)
            if len(self._kinds) > 1:
                self._say(f"node {slot.node.name} is of another kind ({kind}); its records say so")
        for path in answer.lacks:
            if path not in self._files:
                data = luggage.read_published(self._setup.datasets, path)
                try:
                    self._files[path] = None if data is None else self._cluster.share(data)
                except WorkerError as error:
                    self._refuse(slot.node, f"lacks {path}, which cannot be sent: {error}")
                    return
            if self._files[path] is not None:
                slot.n_awaited += 1
                self._ask(slot, self._received, "receive", path, self._files[path])
        self._rest_if_equipped(slot)

    def _received(self, slot: _Slot, answer: None) -> None:
        slot.n_awaited -= 1
        self._rest_if_equipped(slot)

    def _rest_if_equipped(self, slot: _Slot) -> None:
        if slot.n_awaited == 0:
            self._losses[slot.node.id] = 0
            self._rest(slot)

    def _problem(self, answer: Introduction) -> str:
        """Why a node's results would not be those that were planned; empty if they would be."""
        if answer.package_hash != self._hash:
            return "another Assay is installed there; install the same version as here"
        theirs, ours = (
            {"python": found.python, "torch": found.torch.partition("+")[0],
             "platform": found.platform, **found.libraries}
            for found in (answer.machine, self._expected)
        )  # fmt: skip
        for name, here in ours.items():
            if theirs.get(name) != here:
                return f"it has {name} {theirs.get(name)}, and this machine {here}"
        return ""

    def _ponged(self, slot: _Slot, answer: None) -> None:
        slot.n_unanswered, slot.has_begun = 0, True

    def _lose(self, slot: _Slot, reason: str) -> None:
        """Give a slot up, and the run in it to another."""
        ready = slot.state != "starting"
        flight = self._leave(slot)
        self._drop(slot)
        if flight is not None:
            self._lost(flight, f"node {slot.node.name}: {reason}")
        if not ready:
            self._losses[slot.node.id] += 1
            if self._losses[slot.node.id] >= MAX_LOSSES:
                self._refuse(slot.node, f"its slots end before they are ready: {reason}")

    def _drop(self, slot: _Slot) -> None:
        """End a slot that is out of reach."""
        self._forget(slot)
        self._cluster.kill(slot.handle)

    def _retire(self, slot: _Slot) -> Future[Any]:
        """Have a slot end itself, so that no process or file is left on its node; when it has."""
        self._forget(slot)
        closed = self._cluster.call(slot.handle, "close")
        kill = partial(self._cluster.kill, slot.handle)
        closed.add_done_callback(lambda _: self._events.put(kill))  # Ray's thread must not call Ray
        return closed

    def _forget(self, slot: _Slot) -> None:
        slot.state = "lost"
        self._slots.remove(slot)
        with contextlib.suppress(ValueError):
            self._idle.remove(slot)

    # Runs

    def _assign(self) -> None:
        """Give waiting runs to idle slots."""
        while self._waiting and self._idle:
            flight, slot = self._waiting.popleft(), self._idle.popleft()
            key = (flight.job.spec.task, flight.job.spec.method)
            try:
                if key not in self._cells:
                    self._cells[key] = self._cluster.share(luggage.pack_cell(flight.job))
            except AssayError as error:
                self._idle.appendleft(slot)
                self._end(flight, error)
                continue
            slot.state, slot.flight = "busy", flight
            arguments = (self._cells[key], flight.job.spec, flight.reproduce)
            self._ask(slot, self._ran, "run", *arguments)

    def _ran(self, slot: _Slot, answer: RunAnswer) -> None:
        flight = self._leave(slot)
        assert flight is not None
        for note in answer.notes:
            flight.tell(f"node {slot.node.name}: {note}")
        if answer.record is None:
            assert answer.error is not None
            number, said = answer.error
            self._end(flight, ERRORS[number](f"node {slot.node.name}: {said}"))
        elif answer.record.spec != flight.job.spec:
            self._end(flight, WorkerError(f"node {slot.node.name} answered with another run"))
        else:
            self._end(flight, answer.record)
        if slot.node.id in self._refused:
            self._retire(slot)
        else:
            self._rest(slot)

    def _rest(self, slot: _Slot) -> None:
        slot.state = "idle"
        self._idle.append(slot)

    def _leave(self, slot: _Slot) -> _Flight | None:
        """Take the run, if any, out of a slot."""
        flight, slot.flight = slot.flight, None
        return flight

    def _lost(self, flight: _Flight, reason: str) -> None:
        """Try a run once more whose slot was lost, but not for ever."""
        flight.losses += 1
        spec = flight.job.spec
        what = f"{spec.method.slug} on {spec.task.slug} (repetition {spec.repetition})"
        if flight.losses < MAX_LOSSES:
            flight.tell(f"{what}: {reason}; the run was tried once more")
            self._waiting.appendleft(flight)
            return
        self._end(
            flight,
            MachineError(
                f"{what}: lost {MAX_LOSSES} times, at last on {reason}; nothing was recorded, the "
                "next command tries it again"
            ),
        )

    def _end(self, flight: _Flight, result: RunRecord | AssayError) -> None:
        if isinstance(result, RunRecord):
            flight.future.set_result(result)
        else:
            flight.future.set_exception(result)
        self._ended.append(flight.future)
