"""The product never contradicts itself: a pair has one verdict, wherever it is said.

Random records are shown in every way that there is: board, matrix, ranks, comparison of two
methods, claims, JSON, terminal, pages. Everything is read back and held against the verdict that is
derived here, from the differences alone, by brute force.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import numpy as np
import pytest
from assay.cards import Claim, SubmissionCard
from assay.records.schema import Isolation, RunRecord
from assay.ruleset import RULESET
from assay_leaderboard.boards.board import build
from assay_leaderboard.boards.task_comparisons import all_comparisons
from assay_leaderboard.boards.two_methods import ComparisonReport, compare
from assay_leaderboard.claims.ledger import Ledger
from assay_leaderboard.evidence.runs import Rules
from assay_leaderboard.format import seeds_text
from assay_leaderboard.schema.board import Board, Row, TaskTable, not_ranking
from assay_leaderboard.schema.values import Comparison
from assay_leaderboard.site.exports import json_twins
from assay_leaderboard.site.pages import compare_scripts, task_entries, task_page
from assay_leaderboard.site.pages.claims import claims_page
from assay_leaderboard.site.views import SiteView, TaskView
from assay_leaderboard.terminal.board import show_board
from assay_leaderboard.terminal.claims import show_ledger
from assay_leaderboard.terminal.comparison import show_report
from rich.console import Console

from tests.assay_leaderboard import making, site_making
from tests.assay_leaderboard.making import SEALED, UNTUNED, K, R, Records
from tests.assay_leaderboard.site_making import site_map, site_view

FAST = RULESET.model_copy(update={"bootstrap_draws": 50})
Pair = tuple[str, str, str]
"""Task, method, and the method that it is compared with."""
SEEDS = (1, 2)
LAST = 0
"""Number of the world without differences."""
PUBLISHED = 4
"""Number of the world whose results rank by the rules of the published board."""
LEAST = {"T0": 0, "T1": 1, "T2": 2, "T3": 3}
NUMBER = r"[+-][\d.]+"
GAIN = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
"""A difference, which is the only number that is printed with its sign."""
WORD = r"(better, negligible|worse, negligible|better|worse|equivalent|undecided|neither completed)"


@functools.cache
def world(seed: int) -> Records:
    """Tasks on which methods differ much, little or not at all, with failures and gaps.

    The world LAST has no method that differs, and a pair that would, were there fewer pairs.
    """
    if seed == LAST:
        return noise()
    if seed == PUBLISHED:
        return published()
    rng = np.random.default_rng(seed)
    made = Records().task("digits", metric={"margin": 0.005}).task("letters", tier="standard")
    metric = {"direction": "minimize", "chance": 2.3, "unit": "nats", "margin": 0.01}
    anchor = {"value": 1.0, "n": 12, "standard_error": 0.01}
    made.task("loss", metric=metric, anchor=anchor)
    for task, card in made.cards.items():
        r, k = RULESET.r(card.tier), RULESET.k(card.tier)
        shared = rng.normal(0.7, 0.05, (r, k))
        for method in ("sgd", *"abcde"[: rng.integers(2, 6)]):
            gap = rng.choice([0.0, 0.001, 0.004, 0.01, 0.05]) * rng.choice([-1, 1])
            spread = rng.choice([0.0, 0.0005, 0.005, 0.03])
            val, test = (
                np.round(shared + gap + rng.normal(0, spread, (r, k)), 4).tolist() for _ in range(2)
            )
            if rng.random() < 0.3:
                val[0][0] = "diverged"
            if rng.random() < 0.2:  # extra repetitions
                val, test = [*val, val[1]], [*test, test[1]]
            made.cell(task, method, val, test)
        made.cell(task, "copy", *_like(made, task, "sgd"))
        made.cell(task, "quick", (0.7 + rng.normal(0, 0.01, (6, 4))).round(3).tolist())
        made.add(
            task, "fixed", (0.7 + rng.normal(0, 0.01, r)).round(3).tolist(), k=1, space=UNTUNED
        )
    made.add("digits", "old", [0.9] * R, method_code="before")
    return made


def published() -> Records:
    """Another world, its results at all tiers, sealed and not, some under hidden
    seeds: of a revealed epoch, replayed in it but not revealed, and of an open epoch.
    """
    rng = np.random.default_rng(PUBLISHED)
    made = copy(world(SEEDS[-1]))
    revealed = {"spring": "2026-03-01T00:00:00+00:00", "autumn": "2026-09-01T00:00:00+00:00"}
    made.rules = Rules(published=True, revealed=revealed)
    draws = {}
    for run in [*made.runs.values()]:
        key = run.spec.task.slug, run.spec.method.slug
        if key not in draws:
            draws[key] = str(rng.choice(["T0", "T1", "T2", "T2", "T3"])), rng.random() < 0.85
        trust, sealed = draws[key]
        made.change(run.id, isolation=SEALED if sealed else Isolation(level="L1"))
        if trust != "T0":
            made.tiers[run.id] = trust  # type: ignore[assignment]
    r, k = RULESET.r("lite"), RULESET.k("lite")
    for epoch, trust, few in (
        ("spring", "T3", 5), ("autumn", "T3", 2), ("autumn", "T2", 5), ("winter", "T2", 5)
    ):  # fmt: skip
        there = {run.spec.method.slug for run in made.runs.values() if run.spec.epoch == epoch}
        for place, method in enumerate(("copy", "fixed", "sgd", "a", "b")[:few]):
            if method not in there:
                grid = (0.7 + 0.01 * place + rng.normal(0, 0.01, (r, k))).round(4).tolist()
                made.cell("digits", method, grid, epoch=epoch, trust=trust)
    made.cell("digits", "c", [[0.7] * k] * (r - 1), epoch="spring", trust="T3")
    return made


def copy(made: Records) -> Records:
    """The same records, to be changed."""
    return replace(made, cards=dict(made.cards), runs=dict(made.runs), tiers=dict(made.tiers))


def ranking(records: Records) -> dict[str, tuple[str | None, set[str]]]:
    """By task: the epoch whose hidden seeds its ranks stand on, and the methods that rank.

    Derived from the records alone, as the rules are told on the page "How it works".
    """
    found: dict[str, tuple[str | None, set[str]]] = {}
    for task in records.cards:
        own: dict[str | None, set[str]] = {None: set()}
        names = {run.spec.method.slug for run in records.runs.values()} - {"quick", "old"}
        cells = {
            (name, epoch): [run for run in records.of(name, task) if run.spec.epoch == epoch]
            for name in names
            for epoch in (None, *records.rules.revealed)
        }
        for (name, epoch), runs in cells.items():
            n = RULESET.r(records.cards[task].tier)
            if {run.spec.repetition for run in runs} >= {*range(n)} and may_rank(runs, records):
                own.setdefault(epoch, set()).add(name)
        hidden = [epoch for epoch in own if epoch]
        best = max(hidden, key=lambda e: (len(own[e]), records.rules.revealed[e]), default=None)
        found[task] = best, own[best]
    return found


def may_rank(runs: list[RunRecord], records: Records) -> bool:
    """By the rules of the view."""
    if not records.rules.published:
        return True
    least = 3 if runs[0].spec.epoch else 2
    return all(
        run.isolation.level == "L2" and LEAST[records.tiers.get(run.id, "T0")] >= least
        for run in runs
    )


def noise() -> Records:
    """Ten methods on a task of the standard tier: p of one pair is as small as R allows."""
    rng = np.random.default_rng(0)
    made = Records().task("letters", tier="standard").task("digits")
    for task, card in made.cards.items():
        r = RULESET.r(card.tier)
        scores = {name: rng.normal(0.7, 0.05, r) for name in ("sgd", *"abcdefgh")}
        scores["near"] = scores["sgd"] + rng.uniform(0.001, 0.1, r)
        for method, own in scores.items():
            made.add(task, method, own.round(4).tolist())
        made.cell(task, "quick", (0.7 + rng.normal(0, 0.01, (6, 4))).round(3).tolist())
    made.add("digits", "old", [0.9] * R, method_code="before")
    return made


def _like(made: Records, task: str, method: str) -> tuple[list[list[Any]], list[list[Any]]]:
    """The scores of a method again."""
    grids: tuple[list[list[Any]], list[list[Any]]] = [], []
    for run in made.of(method, task):
        scores = (run.result.val, run.result.test) if run.result else (run.status, run.status)
        for grid, score in zip(grids, scores, strict=True):
            if run.spec.point == 0:
                grid.append([])
            grid[-1].append(score)
    return grids


@dataclass
class World:
    """One world, shown in every way."""

    records: Records
    view: SiteView
    tasks: list[TaskView]
    ranking: dict[str, tuple[str | None, set[str]]]
    """By task: under which seeds, and which methods, derived here."""
    truth: dict[int, dict[Pair, str]]
    """By budget: the verdicts, derived here."""
    undecidable: dict[int, set[str]]
    """By budget: the tasks on which no pair passed."""

    @property
    def board(self) -> Board:
        return self.view.board

    @property
    def full(self) -> dict[Pair, str]:
        return self.truth[K]

    def margin(self, task: str) -> float:
        return self.records.cards[task].metric.margin


@pytest.fixture(scope="module", params=[*SEEDS, LAST, PUBLISHED])
def shown(request: pytest.FixtureRequest) -> Iterator[World]:
    records = world(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "RULESET", FAST)
        patch.setattr(site_making, "RULESET", FAST)
        view, tasks, _ = site_view(records, cards(records))
    truth, undecidable = {}, {}
    for k in (1, 3, K):
        truth[k], undecidable[k] = derived(records, k)
    yield World(records, view, tasks, ranking(records), truth, undecidable)


def cards(records: Records) -> dict[str, SubmissionCard]:
    """Every method claims to be better than the reference and the next one, on every task, tuned
    and with its defaults.
    """
    names = sorted({run.spec.method.slug for run in records.runs.values()})
    found = {}
    for place, name in enumerate(names):
        others = {"sgd", names[place - 1]} - {name}
        claims = [
            Claim(
                text=f"{task} {other} {tuned}", source="made up", better_than=other, tasks=[task],
                metric="accuracy", tuned=tuned,
            )
            for task in records.cards
            for other in sorted(others)
            for tuned in (True, False)
        ]  # fmt: skip
        found[name] = SubmissionCard(slug=name, title=name, claims=claims)
    return found


# The verdicts by brute force, from the records alone.


def derived(records: Records, budget: int) -> tuple[dict[Pair, str], set[str]]:
    """Verdicts of all ordered pairs of complete methods, and the tasks where no pair passed."""
    found: dict[Pair, str] = {}
    undecidable = set()
    ranks = ranking(records)
    for task, card in records.cards.items():
        sign = 1 if card.metric.direction == "maximize" else -1
        epoch, names = ranks[task]
        scores = {
            name: [sign * x for x in expected(records, task, name, budget, epoch)] for name in names
        }
        pairs = [*itertools.combinations(sorted(scores), 2)]
        rows = [np.array([x - y for x, y in zip(scores[a], scores[b], strict=False)])
                for a, b in pairs]  # fmt: skip
        means = [subset_means(row) for row in rows]
        p = [p_value(row, own) for row, own in zip(rows, means, strict=True)]
        m = len(pairs)
        passed = max((i for i, x in enumerate(sorted(p), 1) if x * m <= i * 0.05), default=0)
        if not passed:
            undecidable.add(task)
        error = max(passed, 1) * 0.05 / max(m, 1)
        for (a, b), own, one in zip(pairs, means, p, strict=True):
            k = max(1, int(error / 2 * (len(own) + 1) + 1e-9))
            word = read(own[k - 1], own[-k], card.metric.margin)
            if (own[k - 1] > 0 or own[-k] < 0) and one > error:
                word = "undecided"
            found[task, a, b], found[task, b, a] = word, turned(word)
    return found, undecidable


def expected(
    records: Records, task: str, method: str, budget: int, epoch: str | None
) -> list[float]:
    """Mean test score over all choices of points, of the one that validation picks."""
    by_repetition: dict[int, list[tuple[float, float]]] = {}
    card = records.cards[task]
    sign = 1 if card.metric.direction == "maximize" else -1
    for run in records.of(method, task):
        if run.spec.epoch != epoch:
            continue
        chance = card.metric.chance
        val, test = (run.result.val, run.result.test) if run.result else (chance, chance)
        by_repetition.setdefault(run.spec.repetition, []).append((sign * val, test))
    found = []
    for _, points in sorted(by_repetition.items()):
        k = min(budget, len(points))
        choices = itertools.combinations(range(1, len(points)), k - 1)
        picked = [max((0, *rest), key=lambda i: (points[i][0], -i)) for rest in choices]
        found.append(float(np.mean([points[i][1] for i in picked])))
    return found


def subset_means(row: Any) -> Any:
    """The sorted means of all non-empty subsets; those that are 0 but for rounding are 0."""
    masks = (np.arange(1, 2 ** len(row))[:, None] >> np.arange(len(row))) & 1
    means = masks @ row / masks.sum(axis=1)
    means[np.abs(means) <= 1e-9 * np.abs(row).mean()] = 0
    return np.sort(means)


def p_value(row: Any, means: Any) -> float:
    """Two-sided: twice the share of subset means (and the empty set) on the far side of 0."""
    far = (means <= 0).sum() if row.sum() >= 0 else (means >= 0).sum()
    return float(min(1.0, 2 * (far + 1) / 2 ** len(row)))


def read(low: float, high: float, margin: float) -> str:
    """The verdict as a reader reads it off an interval."""
    inside = max(abs(low), abs(high)) <= margin * (1 + 1e-9)
    if low > 0:
        return "better, negligible" if inside else "better"
    if high < 0:
        return "worse, negligible" if inside else "worse"
    return "equivalent" if inside else "undecided"


def turned(word: str) -> str:
    first, *rest = word.split(", ")
    other = {"better": "worse", "worse": "better"}.get(first, first)
    return ", ".join([other, *rest])


def check(
    found: Mapping[Pair, str | None], truth: Mapping[Pair, str], task: str = "", other: str = ""
) -> None:
    """What was read back is what was derived, and it is not nothing.

    Nothing is right where nothing was derived on `task` (against `other`), if they are given.
    """
    assert found or (not any(key[0] == task and other in ("", key[2]) for key in truth) and task)
    assert {key: word for key, word in found.items() if truth.get(key) != word} == {}


def readable(found: Comparison | tuple[str, str], word: str, margin: float, loose: bool) -> None:
    """The word follows from the interval, or says "undecided" where no pair passed."""
    if isinstance(found, Comparison):
        low, high = found.interval.low, found.interval.high
    else:
        low, high = (float(end) for end in found)
    own = read(low, high, margin)
    assert word == own or (loose and word == "undecided" and own in ("better", "worse")), found


def test_the_worlds_have_every_verdict() -> None:
    words = {word for seed in SEEDS for word in derived(world(seed), K)[0].values()}
    assert words == {
        "better", "worse", "equivalent", "undecided", "better, negligible", "worse, negligible",
    }  # fmt: skip


def test_the_last_world_has_a_pair_that_excludes_0_and_is_undecided() -> None:
    work, _ = all_comparisons(noise().evidence, noise().catalogue, FAST)
    (task,) = [task for task in work if task.card.slug == "letters"]
    found = task.comparison("near", "sgd")
    assert found is not None and task.family is not None
    assert (task.family.passed, found.verdict) == (0, "undecided")
    assert found.interval.low > 0


def test_the_matrix(shown: World) -> None:
    for task in shown.tasks:
        found = {}
        for pair in task.detail.pairs:
            key = task.card.slug, pair.a, pair.b
            found[key] = pair.comparison.verdict
            assert pair.comparison.verdict is not None
            loose = task.card.slug in shown.undecidable[K]
            readable(pair.comparison, pair.comparison.verdict, shown.margin(key[0]), loose)
        check(found, shown.full)
        assert 2 * len(found) == sum(key[0] == task.card.slug for key in shown.full)


def rows(board: Board) -> Iterator[tuple[TaskTable, Row]]:
    for table in board.tasks:
        for row in table.rows:
            yield table, row


def test_the_boards_rows_and_their_json(shown: World) -> None:
    text = shown.board.model_dump_json()
    for board in (shown.board, Board.model_validate_json(text)):
        found = {
            (table.task, row.method, table.reference): row.versus_reference.verdict
            for table, row in rows(board)
            if row.versus_reference and row.state == "ranked"
        }
        check(found, shown.full)
    others = [row for _, row in rows(shown.board) if row.state != "ranked"]
    states = {row.state for row in others}
    assert states >= {"stale"} and ("preliminary" in states or shown.records.rules.published)
    assert all(not row.versus_reference or not row.versus_reference.verdict for row in others)


def test_what_does_not_rank_is_compared_with_nothing(shown: World) -> None:
    """And every output says under which seeds ranks stand."""
    text = printed(show_board, shown.board)
    states = set()
    for task in shown.tasks:
        table, slug = task.table, task.card.slug
        epoch, names = shown.ranking[slug]
        assert {row.method for row in table.rows if row.rank} == names
        assert table.seeds.epoch == epoch
        seeds = f"ranks stand on {seeds_text(table.seeds)}"
        assert seeds in text.split(f"{slug} v1: ")[1].split("\n\n")[0]
        page = task_page(task, site_map(shown.view))[f"task/{slug}/index.html"]
        assert seeds in page
        for row in table.rows:
            if not_ranking(row.state):
                states.add(row.state)
                assert row.versus_reference is None and row.score is None
                assert row.tuned.mean is not None and f"\N{WHITE CIRCLE} {row.method}" in page
                (detail,) = [d for d in task.detail.details if d.method == row.method]
                assert all(p.rank is None and not p.versus_reference for p in detail.budget)
            if row.rank:
                assert row.epoch == epoch
    assert bool(states) == shown.records.rules.published
    assert shown.board.view == ("published" if shown.records.rules.published else "local")
    for summary in filter(None, [*shown.board.families, shown.board.overall]):
        own = {task: shown.ranking[task] for task in summary.tasks}
        assert summary.hidden == {task: epoch for task, (epoch, _) in own.items() if epoch}
        ranked = {row.method for row in summary.rows if row.rank}
        assert ranked <= {name for _, names in own.values() for name in names}
    for report in reports(shown):
        for duel in report.tasks:
            assert duel.seeds.epoch == shown.ranking[duel.task][0]
            if not {report.a, report.b} <= shown.ranking[duel.task][1]:
                assert not duel.comparison or (duel.preliminary and not duel.comparison.verdict)


def test_the_published_world_has_every_reason_not_to_rank() -> None:
    records = world(PUBLISHED)
    board = build(records.evidence, records.catalogue, list(records.cards), FAST)
    states = {row.state for _, row in rows(board)}
    assert states >= {"ranked", "not replayed", "unsealed", "other seeds"}
    assert board.tasks[0].seeds.epoch == "spring"
    assert any("epoch winter" in problem for problem in board.problems)


def test_the_ranks_follow_from_the_verdicts(shown: World) -> None:
    for k, truth in shown.truth.items():
        board = build(shown.records.evidence, shown.records.catalogue, list(shown.records.cards),
                      FAST, k)  # fmt: skip
        for table, row in rows(board):
            own = [word for (task, a, _), word in truth.items()
                   if (task, a) == (table.task, row.method)]  # fmt: skip
            expected_rank = (1 + own.count("worse"), len(own) + 1 - own.count("better"))
            assert row.rank == (expected_rank if row.state == "ranked" else None)


def test_the_budget_curve_is_the_board_at_every_budget(shown: World) -> None:
    for k in (1, 3, K):
        board = build(shown.records.evidence, shown.records.catalogue, list(shown.records.cards),
                      FAST, k)  # fmt: skip
        check(
            {
                (table.task, row.method, table.reference): row.versus_reference.verdict
                for table, row in rows(board)
                if row.versus_reference and row.state == "ranked"
            },
            shown.truth[k],
        )
        for table, row in rows(board):
            (task,) = [task for task in shown.tasks if task.card.slug == table.task]
            (own,) = [d.budget for d in task.detail.details if d.method == row.method]
            if row.state == "ranked" and k <= RULESET.k(table.tier):
                point = own[min(k, len(own)) - 1]
                assert row.tuned.mean == pytest.approx(point.expected, abs=1e-12)
                assert (point.rank, point.interval) == (row.rank, row.tuned.interval)


def reports(shown: World) -> Iterator[ComparisonReport]:
    methods = {row.method for _, row in rows(shown.board)}
    others = sorted(methods & {"a", "b", "copy", "near", "quick", "old"})
    for a, b in [("sgd", other) for other in others] + [(other, "sgd") for other in others]:
        yield compare(
            shown.records.evidence, shown.records.catalogue, (a, b), list(shown.records.cards), FAST
        )


def test_the_comparison_of_two_methods_and_its_text(shown: World) -> None:
    for report in reports(shown):
        found = {
            (duel.task, report.a, report.b): duel.comparison.verdict
            for duel in report.tasks
            if duel.comparison and not duel.preliminary
        }
        if found:
            check(found, shown.full)
        lines = printed(show_report, report).splitlines()
        for duel in report.tasks:
            (line,) = [line for line in lines if line.startswith(f"{duel.task} ")]
            said = re.search(rf" {WORD}(?:, n .*)?$", line.rstrip())
            key = duel.task, report.a, report.b
            assert (said[1] if said else None) == found.get(key)
            if said:
                ends = GAIN.search(line)
                assert ends is not None
                loose = duel.task in shown.undecidable[K]
                readable((ends[2], ends[3]), said[1], _printed_margin(shown, duel.task), loose)


def _printed_margin(shown: World, task: str) -> float:
    """In the unit that is printed: shares in percent."""
    unit = shown.records.cards[task].metric.unit
    return shown.margin(task) * (100 if unit == "share" else 1)


def printed(show: Any, value: Any) -> str:
    """What a function of the terminal prints, on a wide terminal."""
    out = StringIO()
    show(value, Console(file=out, width=1000, highlight=False, markup=False, emoji=False))
    return out.getvalue()


def test_the_terminal_says_the_boards_verdicts_and_ranks(shown: World) -> None:
    text = printed(show_board, shown.board)
    for table in shown.board.tasks:
        block = text.split(f"{table.task} v1: ")[1].split("\n\n")[0]
        margin = _printed_margin(shown, table.task)
        assert f"margin {margin:g}" in re.sub(r"(\.\d*?)0+\b", r"\1", block)
        for row in table.rows:
            (line,) = [x for x in block.splitlines() if re.match(rf" *\S+ +{row.method} ", x)]
            said = re.search(rf" {WORD}(?:, n .*)?$", line.rstrip())
            key = table.task, row.method, table.reference
            assert (said[1] if said else None) == shown.full.get(key)
            low, high = row.rank or (0, 0)
            rank = "-" if not row.rank else str(low) if low == high else f"{low}-{high}"
            assert line.split()[0] == rank
            if said:
                ends = GAIN.search(line)
                assert ends is not None
                readable((ends[2], ends[3]), said[1], margin, table.task in shown.undecidable[K])


def test_claims_name_the_boards_verdicts(shown: World) -> None:
    made = Ledger.model_validate_json(shown.view.ledger.model_dump_json())
    assert made == shown.view.ledger
    for tuned, k in ((True, K), (False, 1)):
        found = {}
        for row in made.rows:
            for finding in row.findings:
                for task in finding.tasks:
                    if row.tuned == tuned and task.kind == "complete":
                        found[task.task, row.method, row.better_than] = task.verdict
        check(found, shown.truth[k])
        assert {key for key in shown.truth[k] if key[2] == "sgd"} <= found.keys()


def test_a_claims_own_verdict_follows_from_its_interval_and_tasks(shown: World) -> None:
    text = printed(show_ledger, shown.view.ledger)
    seen = set()
    for row in shown.view.ledger.rows:
        for finding in row.findings:
            if finding.preliminary:
                assert (finding.verdict, row.verdict) == (None, "not tested")
                continue
            assert finding.interval is not None and finding.verdict is not None
            word = read(finding.interval.low, finding.interval.high, finding.margin)
            words = [task.verdict for task in finding.tasks]
            expected = {
                "better": "inconclusive" if "worse" in words else "supported",
                "worse": "contradicted",
                "undecided": "inconclusive",
            }.get(word, "no meaningful difference")
            assert finding.verdict == row.verdict
            if finding.verdict != expected:  # Holm over many claims: R is too small
                assert finding.verdict == "inconclusive"
                assert "repetitions are too few for the claims of this card" in finding.note
            seen.add(finding.verdict)
            name = re.escape(f"{row.method} {row.number}: {row.text}")
            assert re.search(rf"{name} .* {row.tier} +{finding.verdict} ", text)
    assert len(seen) > 1


def document(text: str) -> Element:
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    found: Element = parser.parse(text)
    return found


def tables(found: Element) -> dict[str, list[list[str]]]:
    """By id, the texts of the cells of the tables, with the ordinary minus sign."""
    return {
        table.get("id", ""): [
            ["".join(cell.itertext()).replace("\N{MINUS SIGN}", "-").strip() for cell in row]
            for row in table.iter("tr")
        ]
        for table in found.iter("table")
    }


def test_the_page_of_a_task(shown: World) -> None:
    for task in shown.tasks:
        slug, margin = task.card.slug, _printed_margin(shown, task.card.slug)
        text = task_page(task, site_map(shown.view))[f"task/{slug}/index.html"]
        page = document(text)
        for name, k in (("tuned", K), ("k3", 3), ("k1", 1)):
            head, *body = tables(page)[name]
            gain, verdict = (i for i, n in enumerate(head) if n.startswith(("Gain", "Verdict")))
            found = {}
            for cells in body:
                said = re.search(rf"{WORD}$", cells[verdict])
                method = re.match(r"[a-z]+", cells[0])
                assert method is not None
                if said:
                    key = slug, method[0], task.table.reference
                    found[key] = said[1]
                    ends = GAIN.search(cells[gain])
                    assert ends is not None
                    readable((ends[2], ends[3]), said[1], margin, slug in shown.undecidable[k])
            check(found, shown.truth[k], slug, "sgd")
            of_task = {key for key in shown.truth[k] if (key[0], key[2]) == (slug, "sgd")}
            assert found.keys() == of_task
        pairs = dict(_matrix_on(page, slug, margin, slug in shown.undecidable[K]))
        check(pairs, shown.full, slug)
        assert 2 * len(pairs) == sum(key[0] == slug for key in shown.full)


def _matrix_on(page: Element, task: str, margin: float, loose: bool) -> Iterator[tuple[Pair, str]]:
    """The pairs in the table of the matrix of verdicts."""
    for row in page.iter("tr"):
        cells = ["".join(c.itertext()).replace("\N{MINUS SIGN}", "-").strip() for c in row]
        names = re.fullmatch(r"([a-z]+) against ([a-z]+)", cells[0]) if cells else None
        if names:
            ends = GAIN.search(cells[2])
            assert ends is not None
            readable((ends[2], ends[3]), cells[1], margin, loose)
            yield (task, names[1], names[2]), cells[1]


def test_the_scripts_of_the_compare_page(shown: World) -> None:
    entries = {t.card.slug: task_entries(t.table, t.detail.pairs) for t in shown.tasks}
    found = {}
    for _, script in compare_scripts(shown.view, entries, {}):
        method, data = json.loads("[" + script.removeprefix("assayCompare(").rstrip(");\n") + "]")
        for task, entry in data["tasks"].items():
            for other, (word, difference, *_) in entry["vs"].items():
                found[task, method, other] = word
                ends = GAIN.search(difference.replace("\N{MINUS SIGN}", "-"))
                assert ends is not None
                margin = _printed_margin(shown, task)
                readable((ends[2], ends[3]), word, margin, task in shown.undecidable[K])
    check(found, shown.full)
    assert found.keys() == shown.full.keys()


def test_the_page_of_claims(shown: World) -> None:
    text = claims_page(shown.view, site_map(shown.view))["claims/index.html"]
    page = tables(document(text))
    found: dict[bool, dict[Pair, str]] = {True: {}, False: {}}
    for row in shown.view.ledger.rows:
        for finding in row.findings:
            _, *body = page[f"{row.method}-{row.number}-{finding.tier}"]
            for cells in body:
                if said := re.search(rf"{WORD}$", cells[2]):
                    task, method = cells[0].split()[0], row.method
                    found[row.tuned][task, method, row.better_than] = said[1]
                    ends = GAIN.search(cells[1])
                    assert ends is not None
                    margin = _printed_margin(shown, task)
                    loose = task in shown.undecidable[K if row.tuned else 1]
                    readable((ends[2], ends[3]), said[1], margin, loose)
    for tuned, k in ((True, K), (False, 1)):
        check(found[tuned], shown.truth[k])
    summary = {tuple(cells[:2]): cells[2] for cells in page["claims"][1:]}
    for row in shown.view.ledger.rows:
        assert row.verdict in summary[row.text, row.method]


def test_the_data_beside_the_pages(shown: World) -> None:
    for task in shown.tasks:
        texts = dict(json_twins.of_task(task))
        twin = json.loads(texts[f"data/v1/tasks/{task.card.slug}.json"])
        check(
            {
                (task.card.slug, pair["a"], pair["b"]): pair["comparison"]["verdict"]
                for pair in twin["detail"]["pairs"]
            },
            shown.full,
            task.card.slug,
        )
        ranked = [row for row in twin["table"]["rows"] if row["versus_reference"] and row["rank"]]
        check(
            {
                (task.card.slug, row["method"], task.table.reference): row["versus_reference"][
                    "verdict"
                ]
                for row in ranked
            },
            shown.full,
            task.card.slug,
            "sgd",
        )


def test_a_budget_of_k_is_the_board_itself(shown: World) -> None:
    work, _ = all_comparisons(shown.records.evidence, shown.records.catalogue, FAST)
    for task in work:
        at_k = replace(task, budget=RULESET.k(task.card.tier))
        assert [pair for pair in at_k.pairs] == [pair for pair in task.pairs]
        assert at_k.ranks() == task.ranks()
