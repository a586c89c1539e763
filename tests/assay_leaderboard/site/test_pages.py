"""What the pages say, and that it is what the tables say."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from assay.records.schema import CurvePoint
from assay.records.solutions import QUANTITIES, compared
from assay.ruleset import RULESET
from assay_leaderboard.boards.task_comparisons import mirrored
from assay_leaderboard.claims.pooled import TierVerdict
from assay_leaderboard.schema.board import BudgetRow, BudgetTable
from assay_leaderboard.schema.task_details import RangeUse, TaskDetail
from assay_leaderboard.site.html.text import NONE, minus, p_text, verdict
from assay_leaderboard.site.pages import recommendation, runs_page, task_page
from assay_leaderboard.site.pages.about import rules
from assay_leaderboard.site.pages.cells import ends_cell
from assay_leaderboard.site.pages.claims import claims_page, claims_table
from assay_leaderboard.site.pages.compare import compare_scripts, family_entries, task_entries
from assay_leaderboard.site.pages.family import family_page
from assay_leaderboard.site.views import CellView, SiteView, TaskView
from markupsafe import Markup

from tests.assay.conftest import make_diagnosis, make_point
from tests.assay_leaderboard.making import grid, noisy
from tests.assay_leaderboard.site.conftest import parsed
from tests.assay_leaderboard.site_making import board_pages, demo_cards, site_map, site_view

CURVE_POINT = CurvePoint(
    batch=1, passes=2, example_passes=64, seconds=0.5, train_loss=0.25, val=0.125, test=1e-7,
    start=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "start", "rows"),
    [
        (0.25, 0, "<tr><td>1<td>2<td>64<td>0.500<td>0.25<td>0.125<td>1e-07\n" * 2),
        (None, 0, "<tr><td>1<td>2<td>64<td>0.500<td>–<td>0.125<td>1e-07\n" * 2),  # noqa: RUF001
        (0.25, 3, "<tr><td>3<td>1<td>2<td>64<td>0.500<td>0.25<td>0.125<td>1e-07\n" * 2),
    ],
)
def test_a_curve_says_what_its_points_hold(
    views: tuple[SiteView, list[TaskView], list[CellView]],
    loss: float | None,
    start: int,
    rows: str,
) -> None:
    view, _, (cell, *_) = views
    point = CurvePoint(
        batch=1,
        passes=2,
        example_passes=64,
        seconds=0.5,
        train_loss=loss,
        val=0.125,
        test=1e-7,
        start=start,
    )
    runs = [run.model_copy(update={"curve": [point, point]}) for run in cell.runs]
    (text,) = runs_page(replace(cell, runs=runs), site_map(view)).values()
    assert text.count(f"<tbody>\n{rows}</table>") == len(runs)


def test_pages_say_what_a_method_lacks_to_be_ranked(documents: dict[str, Element]) -> None:
    method, family = (
        " ".join("".join(documents[f"{path}/index.html"].itertext()).split())
        for path in ("method/mine", "family/classification")
    )
    assert "1 of 2; not ranked without letters" in method
    assert "result on every task that they may enter: mine (1 of 2)," in family


def test_a_family_in_which_nobody_is_ranked_says_what_lacks(new_records: Any) -> None:
    records = new_records().task("a").task("b")
    records.cell("a", "sgd", *grid(0.9, 0))
    records.cell("b", "better", *grid(0.9, 1))
    text = board_pages(site_view(records, demo_cards(["sgd", "better"]))[0])
    shown = text["family/classification/index.html"]
    assert "No method has a full current result" in shown
    assert "result on every task that they may enter:" in shown and "(1 of 2)" in shown


def test_a_method_page_shows_what_it_was_held_against(documents: dict[str, Element]) -> None:
    page = documents["method/noisy/index.html"]
    table = page.find(".//table[@id='parity']")
    assert table is not None
    first, second = (
        [text for cell in row if (text := "".join(cell.itertext())).strip()]
        for row in table.findall(".//tr")[1:3]
    )
    assert first == ["its equations", "holds", "difference 1e-15"]
    assert second == ["the method it varies", "measured", "apart by 0.3"]
    text = "".join(page.itertext())
    for shown in ("torch 9.9", "a known bug", "departs here", "assay parity noisy"):
        assert shown in text
    shown = {
        path for path, page in documents.items() if page.find(".//*[@id='parity']") is not None
    }
    assert shown == {"method/noisy/index.html"}


def test_home_names_the_tie_group_of_each_family_and_budget(
    views: tuple[SiteView, list[TaskView], list[CellView]],
) -> None:
    view = views[0]
    found = recommendation.by_budget(view)
    assert sorted(found) == [*range(1, 9)]
    tuned = {answer.name: answer for answer in found[8]}
    for summary in view.board.families:
        top = [row.method for row in summary.rows if row.rank and row.rank[0] == 1]
        answer = tuned[summary.name]
        assert list(answer.top) == top
        assert answer.behind == sum(row.rank is not None for row in summary.rows) - len(top)
        assert answer.reference_on_top == ("sgd" in top)
    gains = {gain.task: gain for gain in tuned["classification"].gains}
    row = next(row for row in view.board.tasks[0].rows if row.method == "better")
    assert row.versus_reference
    assert gains["digits"].verdict == verdict(row.versus_reference.verdict or "")
    assert gains["digits"].n == row.versus_reference.n


def test_home_says_where_a_method_at_the_top_is_worse_than_the_reference(new_records: Any) -> None:
    records = new_records().task("gains").task("loses")
    for number, (slug, change) in enumerate({"gains": 0.08, "loses": -0.03}.items()):
        scores = noisy(0.8, number)
        records.add(slug, "sgd", scores)
        records.add(slug, "better", [score + change for score in scores])
    view = site_view(records, demo_cards(["sgd", "better"]))[0]
    (answer,) = recommendation.by_budget(view)[1]
    assert (answer.name, answer.top[0]) == ("classification", "better")
    assert answer.losses == {"better": ["loses"]}
    text = " ".join(board_pages(view)["index.html"].split())
    assert "better is worse than the reference on <a" in text


def test_only_who_is_shown_to_beat_all_others_is_first_with_no_tie() -> None:
    alone = recommendation.top({"a": (1, 1), "b": (2, 3), "c": (2, 3)}, ["sgd"])
    apart = recommendation.top({"a": (1, 2), "b": (2, 2), "c": (3, 3)}, ["sgd"])
    tied = recommendation.top({"a": (1, 2), "b": (1, 2), "c": (3, 3)}, ["sgd"])
    assert alone and apart and tied
    assert (alone.alone, apart.alone, tied.alone) == (True, False, False)


def test_a_family_is_listed_by_rank_with_a_line_between_tie_groups(
    views: tuple[SiteView, list[TaskView], list[CellView]],
) -> None:
    """A method with few tasks can score well and be shown to be worse all the same."""
    view = views[0]
    (summary,) = [s for s in view.board.families if s.name == "classification"]
    ranked = [row for row in summary.rows if row.score is not None]
    ranks = [(3, 4), (1, 2), (1, 2), (3, 4)]
    changed = [
        row.model_copy(update={"rank": rank}) for row, rank in zip(ranked, ranks, strict=True)
    ]
    rows = [BudgetRow(r.method, 2, r.score or 0.0, r.interval, r.rank or (1, 1)) for r in changed]
    (page,) = family_page(
        summary.model_copy(update={"rows": changed}),
        [BudgetTable(name="classification", k=8, rows=rows)],
        view.board.tasks,
        {},
        site_map(view),
    ).values()
    table = parsed(page).find(".//table[@id='tuned']")
    assert table is not None
    shown = table.findall("./tbody/tr")
    assert ["".join(line[0].itertext()).strip() for line in shown] == [
        changed[place].method for place in (1, 2, 0, 3)
    ]
    assert [line.get("class") == "group" for line in shown] == [False, False, True, False]
    picture = parsed(page).find(".//figure[@id='picture-intervals']")
    assert picture is not None
    first = picture.findall(".//tbody/tr")[0]
    assert "".join(first[0].itertext()).strip() == changed[1].method


def test_with_several_references_none_of_them_is_said_to_be_unbeaten(
    views: tuple[SiteView, list[TaskView], list[CellView]],
) -> None:
    view = views[0]
    tasks = [table.model_copy(update={"reference": table.task}) for table in view.board.tasks]
    tasks[0] = tasks[0].model_copy(update={"reference": "better"})
    mixed = replace(view, board=view.board.model_copy(update={"tasks": tasks}))
    (overall,) = (a for a in recommendation.by_budget(mixed)[8] if a.name == "overall")
    assert "better" in overall.top
    assert len(overall.references) == 3
    assert not overall.reference_on_top


def test_every_budget_has_its_lead_table_and_intervals_on_the_page_of_a_task(
    views: tuple[SiteView, list[TaskView], list[CellView]], pages: dict[str, str]
) -> None:
    task = next(task for task in views[1] if task.card.slug == "digits")
    page = parsed(pages["task/digits/index.html"])
    parts = {e.get("data-k"): e for e in page.iter("details") if e.get("class") == "budget"}
    assert sorted(parts) == [str(k) for k in range(1, 9)]
    for k, part in parts.items():
        text = " ".join("".join(part.itertext()).split())
        name = "Published defaults, no tuning" if k == "1" else f"Tuned with {k} points"
        lead = "2 methods are tied at the top: better, " if k == "1" else "better is first"
        assert f"{name}: {lead}" in text
        assert "Benjamini-Hochberg, q = 5 % over" in text
        assert [e for e in part.iter("figure")]
    points = {detail.method: detail.budget for detail in task.detail.details}
    for k in range(1, 8):
        table = next(e for e in page.iter("table") if e.get("id") == f"k{k}")
        ranked = [m for m, own in points.items() if any(p.k == k and p.rank for p in own)]
        heads = [next(iter(row)) for row in table.iter("tr")][1:]
        assert {"".join(head.itertext()).split()[0] for head in heads} == set(ranked)


def test_a_preliminary_row_has_a_difference_and_no_verdict(pages: dict[str, str]) -> None:
    page = parsed(pages["task/digits/index.html"])
    table = next(e for e in page.iter("table") if e.get("id") == "tuned")
    row = next(r for r in table.iter("tr") if "".join(r.itertext()).startswith("quick"))
    texts = ["".join(cell.itertext()) for cell in row]
    assert "preliminary" in texts[0]
    assert texts[1] == NONE and "[" in texts[3] and texts[4] == "preliminary"


def test_what_stands_on_a_page_names_its_split_and_level(pages: dict[str, str]) -> None:
    page = pages["task/digits/index.html"]
    for text in (
        "Test accuracy, tuned with 8 points: mean [95 % interval]",
        "so that each excludes 0 exactly where its pair passed",
        "Repetitions redraw splits and random numbers; the data stay the same.",
        "Mean over the repetitions of the test accuracy (dot) and its 95 % interval",
    ):
        assert text in page
    functions = pages["task/valley/index.html"]
    assert "best of them under the objective itself" in functions
    assert "test accuracy" not in functions


def test_validation_under_label_noise_says_that_it_is_noisy(new_records: Any) -> None:
    records = new_records().task("noisy", family="noisy_labels")
    records.cell("noisy", "sgd", *grid(0.9, 1))
    records.cell("noisy", "better", *grid(0.95, 2))
    for run in [*records.runs.values()]:
        records.change(run.id, curve=[CURVE_POINT])
    view, (task,), cells = site_view(records, demo_cards(records.catalogue.methods))
    site = site_map(view)
    text = next(iter(task_page(task, site).values()))
    assert "Validation (noisy labels) accuracy of every run" in text
    assert "Selected on validation (noisy labels)" in text
    runs = next(iter(runs_page(cells[0], site).values()))
    assert "validation (noisy labels) " in runs
    assert '<th scope="col">validation (noisy labels)<th' in runs


def test_a_failing_audit_is_a_banner_on_its_task(
    views: tuple[SiteView, list[TaskView], list[CellView]],
) -> None:
    view, tasks, _ = views
    task = tasks[0]
    assert task.audit
    failed = task.audit.model_copy(update={"verdict": "problem", "problems": ["it is too easy"]})
    (text,) = task_page(replace(task, audit=failed), site_map(view)).values()
    assert "This task fails its audit." in text and "it is too easy" in text


def test_home_says_in_plain_words_what_is_not_known(pages: dict[str, str]) -> None:
    text = pages["index.html"]
    assert "tasks" in text and "the audit of the suite" in text
    assert "Not measured yet: how often the tests call a method different from itself." in text


def test_the_scripts_of_the_comparison_say_what_the_pairs_say(
    views: tuple[SiteView, list[TaskView], list[CellView]],
) -> None:
    view, tasks, _ = views
    entries = {task.card.slug: task_entries(task.table, task.detail.pairs) for task in tasks}
    families = {summary.name: family_entries(summary) for summary in view.board.families}
    scripts = {
        Path(path).stem: called(text) for path, text in compare_scripts(view, entries, families)
    }
    n_pairs = 0
    for task in tasks:
        detail: TaskDetail = task.detail
        for pair in detail.pairs:
            one = scripts[pair.a]["tasks"][task.card.slug]["vs"][pair.b]
            other = scripts[pair.b]["tasks"][task.card.slug]["vs"][pair.a]
            found = pair.comparison
            assert one[0] == found.verdict
            assert other[0] == mirrored(found).verdict
            assert one[2:4] == other[2:4] == [p_text(found.p), found.n]
            assert float(one[4]) + float(other[4]) == pytest.approx(1, abs=0.011)
            assert first(one[1]) == pytest.approx(-first(other[1]))
            n_pairs += 1
    assert n_pairs > 10


def called(script: str) -> dict[str, Any]:
    """The data of a script."""
    matched = re.fullmatch(r'assayCompare\("\w+",(.*)\);\n', script)
    assert matched
    data: dict[str, Any] = json.loads(matched[1])
    return data


def first(text: str) -> float:
    return float(text.split()[0].replace(minus("-"), "-"))


def test_every_constant_of_the_ruleset_is_explained() -> None:
    found = rules(RULESET)
    assert [name for name, _, _ in found] == list(type(RULESET).model_fields)
    assert all(value and meaning.endswith(".") for _, value, meaning in found)


def test_networks_are_compared_where_somebody_has_diagnosed_them(
    views: tuple[SiteView, list[TaskView], list[CellView]], tmp_path: Path
) -> None:
    view, (task, *_), _ = views
    site = site_map(view)
    (page,) = (text for text in task_page(task, site).values() if "<h1>" in text)
    assert "How do the networks differ?" not in page
    points = [make_point(1, 2.0), make_point(2, 0.5, noise_scale=None)]
    runs = [make_diagnosis(method, r, points) for method in ("better", "sgd") for r in (0, 1)]
    runs[0] = make_diagnosis("better", 0, [make_point(1, 2.0, noise_scale=None), *points[1:]])
    found = compared(runs, task.card.metric)
    (page,) = (
        text for text in task_page(replace(task, solutions=found), site).values() if "<h1>" in text
    )
    (table,) = parsed(page).iterfind(".//table[@id='solutions']")
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iterfind("tbody/tr")]
    assert [row[0] for row in rows] == ["better", "sgd"]
    assert all(len(row) == 1 + len(QUANTITIES) for row in rows)
    assert rows[0][1] == "2 [2, 2]"  # the end is no level to match
    scale = 1 + list(QUANTITIES).index("noise_scale")
    assert [row[scale] for row in rows] == ["10 n=1", "10 [10, 10]"]
    assert "n=2 repetitions" in "".join(table.find("caption").itertext())


def test_the_page_of_learning_rates_says_what_the_translation_says(
    views: tuple[SiteView, list[TaskView], list[CellView]], documents: dict[str, Element]
) -> None:
    view, page = views[0], documents["translation/index.html"]
    lines = page.findall(".//table[@id='classification_rates']/tbody/tr")
    texts = [[" ".join("".join(cell.itertext()).split()) for cell in line] for line in lines]
    shown = {text[0]: text for text in texts}
    (digits,) = [task for task in view.translation.tasks if task.task == "digits"]
    assert {row.method for row in digits.methods} <= shown.keys()
    for row in digits.methods:
        assert row.lr == "lr"
        best = f"{float(f'{row.ranges[row.lr].median:.2g}'):g}"
        ratio = None if row.ratio is None else float(f"{row.ratio:.2g}")
        assert shown[row.method][3] == f"{best} " + (
            "reference" if ratio is None else f"\N{MULTIPLICATION SIGN}{ratio:g}"
        )
    flagged = [row for row in view.translation.pooled if row.flagged]
    tags = page.findall(".//table[@id='pooled']//span[@class='tag edge']")
    assert len(tags) == len(flagged)
    assert "stale" not in {row.state for row in digits.methods}


def test_a_flagged_range_names_the_end_that_wins() -> None:
    use = RangeUse(
        low=0.01, high=1, log=True, default=0.1, n=12, median=0.9, lower_quartile=0.8,
        upper_quartile=1.0, at_low=1, at_high=8, by_chance=0.2, flagged=True,
        flagged_by_chance=0.01,
    )  # fmt: skip
    found = ends_cell({"lr": use, "beta": replace(use, at_low=0, at_high=2, flagged=False)}).content
    text = re.sub("<[^>]*>", "", str(found))
    assert text == "lr 75 (20) upper end, beta 17 (20)"


def test_claims_that_are_judged_come_first_and_their_quotations_are_folded(
    views: tuple[SiteView, list[TaskView], list[CellView]],
) -> None:
    view, *_ = views
    judged, idle = sorted(view.ledger.rows, key=lambda row: row.verdict == "not tested")
    assert (judged.verdict == "not tested", idle.verdict) == (False, "not tested")
    ledger = view.ledger.model_copy(update={"rows": [idle, judged]})
    text = claims_page(replace(view, ledger=ledger), site_map(view))["claims/index.html"]
    assert 0 < text.index(judged.text) < text.index(idle.text)
    folded = r'<details class="quotation"><summary>unchecked</summary> <bdi>Table 1</bdi></details>'
    assert text.count(folded) == 2


def test_a_lower_tier_that_says_otherwise_stands_below_the_verdict(
    views: tuple[SiteView, list[TaskView], list[CellView]],
) -> None:
    view, *_ = views
    row = next(row for row in view.ledger.rows if row.findings)
    finding = row.findings[0].model_copy(update={"p": 0.25, "bar": -0.5})
    above = finding.model_copy(update={"tier": "standard", "verdict": "supported"})
    below = finding.model_copy(update={"tier": "lite", "verdict": "contradicted"})

    def said(*findings: TierVerdict) -> str:
        changes = {"verdict": "supported", "tier": "standard", "findings": [*findings]}
        table = claims_table([row.model_copy(update=changes)], site_map(view).at("claims"))
        return str(Markup(table))

    assert "standard</small><br><small>lite: contradicted</small>" in said(above, below)
    assert "<br>" not in said(above, below.model_copy(update={"verdict": "supported"}))
    assert "0.2500 <small>against \N{MINUS SIGN}0.500</small>" in said(above)


def test_a_method_page_names_the_ranges_that_were_searched(documents: dict[str, Element]) -> None:
    table = documents["method/better/index.html"].find(".//table[@id='ranges']")
    assert table is not None
    heads = [cell.get("data-c") for cell in table.findall(".//thead/tr/th")]
    row = ["".join(cell.itertext()) for cell in table.findall("./tbody/tr")[0]]
    shown = dict(zip(heads, row, strict=True))
    assert (shown["searched"], shown["others"]) == ("0.0001 to 1", NONE)
