"""The document in a browser: offline, figures drawn, phone, paper, keyboard, filters."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from report import sample_reference

from lib.report.render import render

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
UNNAMED = """() => [...document.querySelectorAll('section, nav, [role=img]')]
    .filter(e => !e.ariaLabel && !e.getAttribute('aria-labelledby')).length"""
CUT_ON_PAPER = """() => [...document.querySelectorAll('table, figure, pre, svg.main-svg')]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > 681).length"""
SLIPPED_IN = """() => {
    const script = document.createElement('script');
    script.textContent = 'document.title = 1';
    document.body.append(script);
}"""
OVERFLOWING = """() => [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('.scroll, pre, .plot') && e.checkVisibility())
    .filter(e => getComputedStyle(e).position !== 'absolute')
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.tagName + '.' + e.className)"""


def scroll_through(page: Page) -> None:
    height = page.evaluate("document.documentElement.scrollHeight")
    for top in range(0, height, 500):
        page.evaluate(f"scrollTo({{top: {top}, behavior: 'instant'}})")
        page.wait_for_timeout(30)


def test_it_asks_for_nothing_and_complains_about_nothing(visit: Open) -> None:
    opened = visit()
    scroll_through(opened.page)
    expect(opened.page.locator(".plot .main-svg").first).to_be_visible()
    assert opened.requests == []
    assert opened.complaints == []
    assert opened.page.title().startswith("Inference Runbook")


def test_figures_are_drawn_only_when_they_come_into_view(visit: Open) -> None:
    page = visit(height=600).page
    assert page.evaluate("typeof window.Plotly") == "undefined"
    assert page.locator(".plot .main-svg").count() == 0
    page.locator("#figure-1").scroll_into_view_if_needed()
    expect(page.locator("#figure-1 .plot .main-svg").first).to_be_visible()
    assert page.evaluate("document.querySelector('#figure-1 .scatterlayer .trace path.js-line').getTotalLength()") > 100
    page.locator("#figure-2").scroll_into_view_if_needed()
    expect(page.locator("#figure-2 .plot .heatmaplayer image, #figure-2 .plot .hm").first).to_be_attached()


def test_a_figure_has_its_data_as_a_table(visit: Open) -> None:
    page = visit().page
    data = page.locator("#figure-1 details.data")
    expect(data.locator("table")).to_be_hidden()
    data.locator("summary").click()
    expect(data.locator("table")).to_be_visible()
    assert data.locator("tbody tr").count() == 4
    assert "318.2 ± 9.546" in data.inner_text()


def test_without_scripts_everything_is_still_there_to_read(visit: Open) -> None:
    page = visit(java_script_enabled=False).page
    expect(page.get_by_text("Nothing was done.")).to_be_visible()
    expect(page.locator("nav.contents a").first).to_be_visible()
    expect(page.locator(".filter")).to_be_hidden()
    assert page.locator(".evidence tbody tr").count() > 10


@pytest.mark.parametrize("width", [360, 412, 820, 1024, 1440, 2560])
def test_the_page_never_scrolls_sideways(visit: Open, width: int) -> None:
    page = visit(width=width).page
    scroll_through(page)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []


def test_on_a_phone_text_is_large_enough_and_targets_can_be_hit(visit: Open) -> None:
    page = visit(width=360, height=800, has_touch=True).page
    expect(page.locator("nav.contents ol").first).to_be_hidden()
    assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('.prose p')).fontSize)") >= 16
    page.locator("nav.contents summary").tap()
    expect(page.locator("nav.contents ol").first).to_be_visible()
    heights = page.evaluate(
        "[...document.querySelectorAll('nav.contents a')].map(a => a.getBoundingClientRect().height)"
    )
    assert min(heights) >= 24


def test_a_wide_table_scrolls_in_its_own_box_by_keyboard(visit: Open) -> None:
    page = visit(width=360).page
    box = page.locator(".scroll", has_text="A table that is wider than a phone")
    assert box.get_attribute("tabindex") == "0"
    box.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    # Not wait_for_function: the document's own policy forbids the eval that it needs.
    for _ in range(50):
        if scrolled := page.evaluate("document.activeElement.scrollLeft"):
            break
        page.wait_for_timeout(100)
    assert scrolled > 0


def test_contents_stay_in_view_on_a_wide_screen_and_mark_the_place(visit: Open) -> None:
    page = visit().page
    page.locator('nav.contents a[href="#chapter-04"]').click()
    expect(page.locator('nav.contents a[href="#chapter-04"]')).to_have_attribute("aria-current", "true")
    expect(page.locator("nav.contents")).to_be_in_viewport()
    expect(page.locator("#chapter-04-title")).to_be_in_viewport()


def test_keyboard_reaches_the_document_and_opens_code(visit: Open) -> None:
    page = visit().page
    page.keyboard.press("Tab")
    skip = page.locator(".skip-link")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#document"
    summary = page.locator("details.code summary").first
    summary.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("details.code pre").first).to_be_visible()


def test_landmarks_and_headings(visit: Open) -> None:
    page = visit().page
    for role, count in (("main", 1), ("navigation", 1), ("search", 1)):
        expect(page.get_by_role(role)).to_have_count(count)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate(UNNAMED) == 0


def test_evidence_is_filtered_by_kind_chapter_and_text(visit: Open) -> None:
    page = visit().page
    rows = page.locator(".evidence tbody tr:visible")
    total = rows.count()
    expect(page.locator(".filter output")).to_have_text(f"{total} of {total}")
    page.get_by_label("Kind or verdict").select_option("fail")
    assert rows.count() == 1
    assert "hardware.disk" in rows.first.inner_text()
    page.get_by_label("Kind or verdict").select_option("measurement")
    page.get_by_label("Chapter").select_option("04")
    page.get_by_label("Text").fill("concurrency 32")
    assert rows.count() == 2
    expect(page.locator(".filter output")).to_have_text(f"2 of {total}")
    page.get_by_label("Text").fill("no such words")
    assert rows.count() == 0


def test_a_link_to_filtered_evidence_shows_it(visit: Open) -> None:
    page = visit().page
    page.get_by_label("Kind or verdict").select_option("fail")
    page.evaluate("location.hash = '#record-hardware.memory'")
    expect(page.locator('[id="record-hardware.memory"]')).to_be_visible()


def test_a_number_leads_to_its_record_and_on_to_the_raw_file(visit: Open) -> None:
    page = visit().page
    page.locator("#key a.value").last.click()
    record = page.locator("tr:target")
    expect(record).to_be_in_viewport()
    record.get_by_role("link", name="point_32.json").click()
    expect(page.locator(".file:target pre")).to_be_visible()
    assert "output_throughput" in page.locator(".file:target pre").inner_text()


def test_opened_at_a_raw_file_it_shows_it(visit: Open) -> None:
    page = visit(place="#raw-1").page
    expect(page.locator("#raw-1 pre")).to_be_visible()


def test_on_paper_nothing_is_cut_and_figures_are_drawn(visit: Open) -> None:
    page = visit(width=680).page  # 180 mm, what @page leaves of an A4 sheet
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelectorAll('.plot .main-svg').length") > 0
    assert page.evaluate(CUT_ON_PAPER) == 0
    expect(page.locator("details.code").first).to_be_hidden()
    expect(page.locator("nav.contents")).to_be_hidden()
    expect(page.locator(".contents.on-paper")).to_be_visible()


def test_it_prints_to_numbered_a4_pages(visit: Open) -> None:
    opened = visit()
    content = opened.page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 10
    box = re.search(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", content)
    assert box
    assert (float(box[1]), float(box[2])) == pytest.approx((595, 842), abs=2)
    assert opened.complaints == []


def test_dark_scheme_recolours_page_and_figures(visit: Open) -> None:
    page = visit(color_scheme="dark").page
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    page.locator("#figure-1").scroll_into_view_if_needed()
    label = page.locator("#figure-1 .xtick text").first
    expect(label).to_be_visible()
    assert label.evaluate("e => getComputedStyle(e).fill") == "rgb(226, 228, 231)"


def test_hostile_outputs_did_nothing(visit: Open) -> None:
    page = visit().page
    scroll_through(page)
    assert page.title().startswith("Inference Runbook")
    assert page.locator("[onerror], [onclick]").count() == 0


def test_the_policy_stops_a_script_that_is_slipped_in(visit: Open) -> None:
    opened = visit()
    opened.page.evaluate(SLIPPED_IN)
    assert opened.page.title().startswith("Inference Runbook")
    assert any("Content Security Policy" in complaint for complaint in opened.complaints)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the document of a run on a card that has settings in common with a bundle."""
    folder = tmp_path_factory.mktemp("compared")
    bundles = sample_reference.bundles(folder)
    run = sample_reference.run(folder / "run", points=((1, 150.0), (64, 1500.0)), gpus="Sample RTX")
    return render(run, bundles=bundles)


@pytest.mark.parametrize("width", [390, 1280])
def test_beside_other_machines_is_drawn_and_never_scrolls_sideways(visit: Open, compared: Path, width: int) -> None:
    opened = visit(width=width, color_scheme="light")
    page = opened.page
    page.goto(f"{compared.as_uri()}#beside")
    page.locator("#beside figure").scroll_into_view_if_needed()
    expect(page.locator("#beside .plot .main-svg").first).to_be_visible()
    assert page.locator("#beside .scatterlayer .trace").count() == 5
    page.evaluate("document.querySelectorAll('#beside details').forEach(d => d.open = true)")
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (opened.requests, opened.complaints) == ([], [])


def test_a_number_of_the_comparison_leads_to_its_record(visit: Open, compared: Path) -> None:
    page = visit().page
    page.goto(compared.as_uri())
    page.locator("#beside-front a.value").first.click()
    expect(page.locator("tr:target")).to_be_in_viewport()
    assert "150" in page.locator("tr:target").inner_text()
