"""Published bundles and their log to evidence; nothing of a bundle is extracted or run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from leaderboard.evidence import Evidence, Past, Run, load
from leaderboard.suspicions import Suspicions
from suite import publog
from suite.bundles import read_bundle
from suite.errors import BundleError
from suite.publog import Standing, TrustTier
from suite.records import RunRecord, StudyRecord
from suite.store import Store


def load_folder(
    folder: Path,
    tasks: Collection[str],
    known: Collection[str],
    suspicions: Suspicions | None = None,
) -> Evidence:
    """What a folder says of `tasks`: its published bundles, and its single records beside them.

    Bundles that are unreadable, replaced or not in the log are problems.

    Raises:
        LogError: the chain of the folder's log is broken, so that nothing in it can be believed.
    """
    return together(
        _load_published(folder, tasks, known, suspicions),
        load(Store(folder), tasks, known, suspicions),
    )


def together(first: Evidence, second: Evidence) -> Evidence:
    """Both; where they speak of the same study or run, what `first` says counts."""
    seen = {study.id for study in first.studies}
    return Evidence(
        studies=[*first.studies, *(study for study in second.studies if study.id not in seen)],
        runs={**second.runs, **first.runs},
        problems=sorted({*first.problems, *second.problems}),
        tiers={**second.tiers, **first.tiers},
        past=[*first.past, *second.past],
        flags={**second.flags, **first.flags},
    )


def _load_published(
    folder: Path,
    tasks: Collection[str],
    known: Collection[str],
    suspicions: Suspicions | None,
) -> Evidence:
    standings = publog.standings(publog.read(folder)).values()
    problems = [
        f"{path.name}: no entry of the log names it"
        for path in sorted(folder.glob("*.zip"))
        if path.name not in {standing.file for standing in standings}
    ]
    lost = Counter(_task(s.file) for s in standings if _task(s.file) not in known)
    problems += [
        f"task {task} is not known here: {n} bundles not shown" for task, n in lost.items()
    ]
    found = Evidence([], {}, problems)
    wanted = sorted(standings, key=lambda standing: _task(standing.file))
    for task, group in groupby(wanted, lambda standing: _task(standing.file)):
        if task in tasks:  # one at a time: whole records are large
            found = together(found, _load_task(folder, list(group), suspicions))
    return found


def _load_task(
    folder: Path, standings: Sequence[Standing], suspicions: Suspicions | None
) -> Evidence:
    """The bundles of one task."""
    problems: list[str] = []
    studies: list[StudyRecord] = []
    records: dict[str, RunRecord] = {}
    tiers: dict[str, TrustTier] = {}
    past: list[Past] = []
    for standing in standings:
        try:
            bundle = read_bundle(folder / standing.file)
        except BundleError as error:
            problems.append(str(error))
            continue
        if bundle.sha256 != standing.sha256:
            problems.append(f"{standing.file}: is not the file that the log names")
        elif standing.state == "current":
            studies += bundle.studies
            records |= {run.id: run for run in bundle.runs}
            tiers |= {study.id: standing.tier for study in bundle.studies}
        else:
            past.append(Past(standing, Evidence(bundle.studies, _runs(bundle.runs))))
    flags = suspicions.flags(studies, records) if suspicions else {}
    return Evidence(studies, _runs(records.values()), problems, flags, tiers, past)


def _task(file: str) -> str:
    return file.split("--")[0]


def _runs(records: Iterable[RunRecord]) -> dict[str, Run]:
    return {record.id: Run.of(record) for record in records}
