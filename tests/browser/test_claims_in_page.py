"""The table of claims in a browser: filtered offline, reached by links, whole without script."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from report.claims.sample_claims import judged
from report.sample_run import build

from lib.core import evidence
from lib.report.render import render

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the document of the sample run with five claims."""
    run = build(tmp_path_factory.getbasetemp() / "sample")
    copy = Path(shutil.copytree(run, tmp_path_factory.mktemp("claims") / run.name))
    evidence.append(copy / "evidence.jsonl", judged())
    return render(copy)


def test_the_table_is_filtered_by_verdict_origin_and_text(visit: Open) -> None:
    opened = visit()
    table, form = opened.page.locator("#claims tbody tr:not([hidden])"), opened.page.locator("#claims .filter")
    expect(table).to_have_count(5)
    form.get_by_label("Verdict").select_option("confirmed")
    expect(table).to_have_count(2)
    expect(form.locator("output")).to_have_text("2 of 5")
    form.get_by_label("Verdict").select_option("")
    form.get_by_label("Rests on").select_option("this run")
    expect(table).to_have_count(1)
    form.get_by_label("Rests on").select_option("links")
    expect(table).to_have_count(2)
    form.get_by_label("Rests on").select_option("")
    form.get_by_label("Text").fill("СКАЗАНО ТАК")
    expect(table).to_have_count(4)
    assert opened.page.locator(".evidence tbody tr[hidden]").count() == 0, "each list has its own filter"
    assert opened.requests == []
    assert opened.complaints == []


def test_a_link_from_a_chapter_shows_a_row_that_a_filter_hid(visit: Open) -> None:
    page = visit().page
    page.locator("#claims .filter").get_by_label("Text").fill("nothing says this")
    expect(page.locator("#claims tbody tr:not([hidden])")).to_have_count(0)
    page.locator(".claim-boxes a[href='#claim-a-number']").click()
    expect(page.locator("#claim-a-number")).to_be_visible()


def test_without_script_every_claim_is_there(visit: Open) -> None:
    page = visit(java_script_enabled=False).page
    expect(page.locator("#claims tbody tr")).to_have_count(5)
    expect(page.locator("#claims .filter")).to_be_hidden()


def test_a_phone_shows_it_without_scrolling_sideways(visit: Open) -> None:
    page = visit(width=390, place="#claims").page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
