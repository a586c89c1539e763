"""The pages in a real browser, from a disk: what works with the script, and what without."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

Visit = Callable[..., Page]
KINDS = [
    "", "family/classification", "family/overall", "task", "method", "task/digits",
    "task/valley", "method/better", "run/digits/unstable.html", "compare", "claims", "how",
    "translation", "sandbox", "log", "404.html",
]  # fmt: skip


COLOURFUL = ["", "task/digits", "compare", "claims"]
"""Between them they have every kind of table, picture, mark and notice."""
RULES = {
    "light": {"preload": False},
    "dark": {"preload": False, "runOnly": ["color-contrast"]},
}
"""What axe looks for: everything once, and colours again in the dark where there are any."""


FEWER_RUNS = """() => document.querySelectorAll("section.run").forEach((run, number) => {
  if (number > 4 && number % 12) run.remove();
})"""
"""A page of runs has 96 sections alike, half of what axe would have to look through in all."""


LONG_NAMES = """() => {
  for (const part of document.querySelectorAll("main :is(h1, h2, .note, .columns li)")) {
    part.append(" gradient_normalised_smoothness_newton");
  }
}"""
"""A method's name may be longer than the demo's are."""


NO_HINT = ".scroll { background-image: none !important; }"
"""axe judges no colour on a gradient, and every table lies on one, the hint that there is more."""


UNFOLDED = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"


SMALL = """() => [...document.querySelectorAll("a, button, select, input, summary")]
  .map((target) => [target, (target.closest(".sort, label") ?? target)])
  .map(([target, box]) => [target, box.matches(".sort") ? box.closest("th") : box])
  .filter(([target, box]) => box.getClientRects().length && !target.closest(".skip")
    && Math.max(...[...box.getClientRects()].map((part) => part.height)) < 24)
  .map(([target]) => target.outerHTML.slice(0, 120))"""
"""Targets of less than 24 pixels; a label stands for its box, a head for what sorts by it."""


PHONE = {"is_mobile": True, "has_touch": True}


def rows(page: Page, table: str = "tuned") -> list[str]:
    """First cells of the rows that show, without their marks."""
    heads = page.locator(f"#{table} tbody tr:visible > :first-child")
    return [text.split()[0] for text in heads.all_inner_texts()]


def keys(page: Page) -> list[float]:
    """Means of the rows, as they stand."""
    cells = page.locator("#tuned tbody td:nth-child(3)")
    return [float(key) for key in cells.evaluate_all("cells => cells.map(c => c.dataset.k)")]


def hash_of(page: Page) -> str:
    return str(page.evaluate("location.hash"))


def head(page: Page, column: str, table: str = "tuned") -> Locator:
    return page.locator(f"#{table} th[data-c={column}]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_loads_and_there_is_nothing_for_axe_to_find(
    visit: Visit, site: Path, scheme: str
) -> None:
    page = visit(color_scheme=scheme, bypass_csp=True)
    found = {}
    for path in KINDS if scheme == "light" else COLOURFUL:
        page.goto(file_of(site, path))
        assert page.locator("h1").count() == 1
        assert page.title() not in ("1", "2")
        if path == "compare":
            page.select_option("select[name=a]", "better")
            page.select_option("select[name=b]", "sgd")
            page.wait_for_selector("#tasks")
        page.evaluate(FEWER_RUNS)
        page.add_style_tag(content=NO_HINT)
        for violation in Axe().run(page, options=RULES[scheme]).response["violations"]:
            nodes = [node["html"][:160] for node in violation["nodes"][:3]]
            found[path, violation["id"]] = nodes
    assert not found


def file_of(site: Path, path: str) -> str:
    file = site / path if path.endswith(".html") else site / path / "index.html"
    return file.as_uri()


def test_a_column_is_sorted_both_ways_and_the_address_says_so(visit: Visit) -> None:
    page = visit("task/digits")
    first = rows(page)
    head(page, "tuned").get_by_role("button").click()
    assert head(page, "tuned").get_attribute("aria-sort") == "descending"
    assert keys(page) == sorted(keys(page), reverse=True)
    head(page, "tuned").get_by_role("button").click()
    assert head(page, "tuned").get_attribute("aria-sort") == "ascending"
    up = rows(page)
    assert keys(page) == sorted(keys(page))
    assert hash_of(page) == "#sort=tuned.tuned"
    page.reload()
    assert rows(page) == up
    head(page, "rank").get_by_role("button").click()
    assert rows(page) == first
    assert head(page, "tuned").get_attribute("aria-sort") is None


def test_what_is_not_known_sorts_last_both_ways(visit: Visit) -> None:
    page = visit("task/digits")
    for _ in range(2):
        head(page, "rank").get_by_role("button").click()
        unranked = {"quick", "old", "unfinished"} & set(rows(page)[-2:])
        assert unranked


def test_numbers_with_words_around_them_are_sorted_as_numbers(visit: Visit) -> None:
    page = visit("task/digits")
    counts = "[...document.querySelectorAll('#tuned tbody tr')].map(row => row.cells[{}].innerText)"
    for column, index in (("needed", 8), ("runs", 12)):
        for sign in (1, -1):
            head(page, column).get_by_role("button").click()
            found = page.evaluate(counts.format(index))
            texts = [text for text in found if re.search(r"\d", text)]
            numbers = [int(re.sub(r"\D*([\d,]+).*", r"\1", t).replace(",", "")) for t in texts]
            assert len(set(numbers)) > 1
            assert numbers == sorted(numbers, key=lambda n: sign * n), texts


def test_search_and_filters_combine_and_come_back_from_the_address(visit: Visit) -> None:
    page = visit("task/digits")
    page.get_by_label("Search").fill("ndecid")
    assert 1 < len(rows(page)) < 10
    page.get_by_label("Track").select_option("loss")
    assert rows(page) == ["noisy"]
    assert page.locator(".count").inner_text() == "1 of 10 rows"
    assert hash_of(page) == "#q=ndecid&track=loss"
    page.reload()
    assert rows(page) == ["noisy"]
    assert page.get_by_label("Search").input_value() == "ndecid"
    page.get_by_label("Search").fill("no such method")
    assert rows(page) == []


def test_unknown_keys_and_values_are_ignored(visit: Visit) -> None:
    plain = rows(visit("task/digits"))
    state = "sort=tuned.nothing,x.y&track=nothing&hide=a.b&evil=%3Cscript%3E&k=99&=&%"
    page = visit("task/digits", state)
    assert rows(page) == plain
    page.get_by_label("Search").fill("same")
    assert "evil" not in hash_of(page)
    assert rows(page) == ["same"]


def test_columns_are_chosen_and_kept(visit: Visit) -> None:
    page = visit("task/digits")
    tools = page.get_by_role("group", name="Test accuracy, tuned with 8 points")
    tools.get_by_text("Columns", exact=True).click()
    tools.get_by_label("Command").uncheck()
    assert not head(page, "command").is_visible()
    assert hash_of(page) == "#hide=tuned.command"
    page.reload()
    assert not head(page, "command").is_visible()
    assert page.locator("#tuned td:visible").count() == 10 * 13


def test_the_slider_shows_one_budget(visit: Visit) -> None:
    page = visit()
    assert page.locator("details.budget:visible").count() == 1
    slider = page.get_by_role("slider", name="Tuning budget")
    assert slider.get_attribute("aria-valuetext") == "Tuned with 8 points"
    slider.focus()
    slider.press("Home")
    assert page.locator("details.budget:visible").get_attribute("data-k") == "1"
    assert hash_of(page) == "#k=1"
    page.reload()
    assert page.locator("details.budget:visible").get_attribute("data-k") == "1"
    task = visit("task/digits")
    assert task.locator(".count").inner_text() == "10 of 10 rows"
    task.get_by_role("slider", name="Tuning budget").press("Home")
    count = task.locator("#k1 tbody tr").count()
    assert count < 10
    task.get_by_text(f"{count} of {count} rows").wait_for()
    ranking = visit("family/classification", "k=4")
    assert ranking.locator("table:visible").first.get_attribute("id") == "k4"


def test_a_budget_chosen_on_one_page_stays_on_the_next(visit: Visit) -> None:
    page = visit(state="k=3")
    page.get_by_role("link", name="Tasks", exact=True).click()
    page.wait_for_url("**/task/index.html#k=3")
    note = page.locator("#chosen-budget")
    assert note.is_visible() and "3 points" in note.inner_text()
    page.get_by_role("link", name="digits", exact=True).click()
    page.wait_for_url("**/task/digits/index.html#k=3")
    assert page.locator("details.budget:visible").get_attribute("data-k") == "3"
    lead = page.locator("details.budget:visible .verdict-line").inner_text()
    assert lead.startswith("Tuned with 3 points")
    assert page.locator("details.budget:visible figure").is_visible()
    page.locator("details.budget:visible a.q").first.click()
    page.wait_for_url("**/run/digits/*.html#k=3")
    page.get_by_role("link", name="Compare", exact=True).click()
    page.wait_for_url("**/compare/index.html#k=3")
    page.select_option("select[name=a]", "better")
    assert hash_of(page) == "#a=better&k=3"
    page.locator("#matrix tbody a").first.click()
    page.wait_for_selector("#tasks")
    assert hash_of(page).endswith("&k=3")
    assert note.is_visible()


def test_methods_are_compared_and_the_address_restores_them(visit: Visit) -> None:
    page = visit("compare")
    assert "Choose a method" in page.get_by_role("status").inner_text()
    page.select_option("select[name=a]", "better")
    against = page.locator("#matrix tbody tr").filter(has_text="sgd")
    against.wait_for()
    assert "better on 3, worse on 0" in against.inner_text(), "one method against all others"
    page.select_option("select[name=b]", "sgd")
    digits = page.locator("#tasks tbody tr").filter(has_text="digits")
    digits.wait_for()
    assert "better" in digits.locator("td").last.inner_text()
    assert hash_of(page) == "#a=better&b=sgd"
    again = visit("compare", "b=better&a=sgd&z=1&c=nobody")
    row = again.locator("#tasks tbody tr").filter(has_text="digits")
    row.wait_for()
    assert "worse" in row.locator("td").last.inner_text()
    assert again.locator("select[name=c]").input_value() == ""


def test_the_view_as_csv_runs_nothing_in_a_spreadsheet(visit: Visit) -> None:
    page = visit("task/digits", "track=loss&hide=tuned.trust")
    tools = page.get_by_role("group", name="Test accuracy, tuned with 8 points")
    with page.expect_download() as waiting:
        tools.get_by_text("CSV of this view").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    first, *lines = csv.reader(io.StringIO(text))
    assert first[0] == "Method"
    assert not any(name.startswith("Trust") for name in first)
    assert [line[0] for line in lines] == ["noisy local"]
    gain = lines[0][3]
    assert gain.startswith(("'+", "'-"))
    assert not any(cell.startswith(tuple("=+-@\t\r")) for line in lines for cell in line)


def test_hostile_cells_are_quoted(visit: Visit) -> None:
    page = visit("task/digits")
    texts = ["=1+1", "+1", "-1", "@x", 'a"b,c', "plain"]
    found = page.evaluate(
        "texts => texts.map(text => { const c = document.createElement('td');"
        " c.textContent = text; return quoted(c); })",
        texts,
    )
    assert found == ["'=1+1", "'+1", "'-1", "'@x", '"a""b,c"', "plain"]


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit("task/digits")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_label("Search").focus()
    page.keyboard.type("unstable")
    assert rows(page) == ["unstable"]
    button = head(page, "p").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    assert head(page, "p").get_attribute("aria-sort") == "ascending"
    menu = page.locator(".table-tools summary").first
    menu.focus()
    page.keyboard.press("Enter")
    page.locator(".table-tools fieldset").first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert not head(page, "rank").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Columns"
    box = page.locator(".scroll").first
    box.focus()
    assert box.evaluate("box => box === document.activeElement")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_page_never_scrolls_sideways(visit: Visit, site: Path, width: int) -> None:
    page = visit(viewport={"width": width, "height": 640}, **PHONE)
    for path in KINDS:
        page.goto(file_of(site, path))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.evaluate(UNFOLDED)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path}, unfolded"
        page.evaluate(LONG_NAMES)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path}, long names"


def test_a_table_on_a_phone_keeps_the_names_of_its_rows(visit: Visit) -> None:
    page = visit("task/digits", viewport={"width": 360, "height": 640}, **PHONE)
    page.evaluate("document.querySelector('#tuned').closest('.scroll').scrollLeft = 300")
    box = page.locator("#tuned tbody tr > :first-child").first.bounding_box()
    assert box
    assert 0 <= box["x"] < 40
    assert box["width"] >= 90


def test_a_finger_finds_what_it_touches(visit: Visit, site: Path) -> None:
    page = visit(viewport={"width": 360, "height": 640}, **PHONE)
    found = {}
    for path in KINDS:
        page.goto(file_of(site, path))
        page.evaluate(FEWER_RUNS)
        if small := page.evaluate(SMALL):
            found[path] = small[:3]
    assert not found
    page.goto(file_of(site, "task/digits"))
    head(page, "rank").tap(position={"x": 4, "y": 4})
    assert head(page, "rank").get_attribute("aria-sort") == "descending"


def test_without_the_script_everything_is_there(visit: Visit) -> None:
    page = visit("task/digits", java_script_enabled=False)
    assert len(rows(page)) == 10
    assert page.get_by_text("assay run better --task digits").first.is_visible()
    assert page.locator("button:visible, select:visible, input:visible").count() == 0
    home = visit(java_script_enabled=False)
    assert home.locator("details.budget summary:visible").count() == 8
    home.locator("details.budget summary").last.click()
    assert home.locator("details.budget[open]").count() == 2
    compare = visit("compare", java_script_enabled=False)
    compare.get_by_role("link", name="better").click()
    assert "better" in compare.locator("h1").inner_text()


def test_a_number_leads_to_its_runs(visit: Visit) -> None:
    page = visit("task/digits")
    page.locator("#tuned tr", has_text="unstable").locator("a.q").first.click()
    assert page.locator("h1").inner_text().startswith("unstable")
    page.wait_for_load_state()
    assert page.locator("section.run").count() == 96
    run = page.locator("section.run").nth(3)
    page.goto(page.url.split("#")[0] + f"#{run.get_attribute('id')}")
    page.wait_for_selector("section.run details[open]")
    assert run.locator("code.command").is_visible()


def test_the_theme_is_chosen_and_stays(visit: Visit) -> None:
    page = visit(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert page.evaluate(background) == light
    button.click()
    assert page.evaluate(background) != light
    page.reload()
    assert page.evaluate(background) != light
    assert button.inner_text() == "Theme: dark"


def test_a_long_table_sorts_and_filters_in_one_go(visit: Visit) -> None:
    """What takes time is layout: however many rows there are, it is changed once a click."""
    page = visit("task/digits")
    changes = page.evaluate(
        """() => {
          let inserted = 0;
          const body = document.querySelector("#tuned tbody");
          const append = body.append.bind(body);
          body.append = (...nodes) => { inserted += 1; append(...nodes); };
          document.querySelector("#tuned th[data-c=tuned] button").click();
          return inserted;
        }"""
    )
    assert changes == 1
