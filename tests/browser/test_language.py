"""The switch of languages in a browser, and the annotator on the Russian text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import expert
from playwright.sync_api import Page, expect

from lib.report.language import choice
from lib.report.render import render
from lib.report.review import annotation, store

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def switch(page: Page, language: str) -> None:
    page.locator(f".languages button[lang={language}]").click()


def said(page: Page) -> str:
    return str(page.evaluate("document.getElementById('document').innerText"))


def test_the_switch_changes_everything_and_back(visit: Open) -> None:
    opened = visit()
    page = opened.page
    before = said(page)
    assert "How to read this document" in before
    switch(page, "ru")
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    expect(page.locator("#reading-title")).to_have_text("Как читать этот документ")
    expect(page.locator("nav.contents")).to_have_attribute("aria-label", "Содержание")
    assert "из" in page.locator("#evidence .filter output").inner_text()
    switch(page, "en")
    assert said(page) == before
    assert opened.requests == []
    assert opened.complaints == []


def test_the_switch_works_by_keyboard_and_says_its_state(visit: Open) -> None:
    page = visit().page
    button = page.locator(".languages button[lang=ru]")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".languages")).to_have_attribute("role", "group")


def test_the_choice_is_remembered(visit: Open) -> None:
    page = visit().page
    switch(page, "ru")
    page.reload()
    expect(page.locator("#reading-title")).to_have_text("Как читать этот документ")
    expect(page.locator(".languages button[lang=ru]")).to_have_attribute("aria-pressed", "true")


def test_a_figure_is_drawn_again_with_a_decimal_comma(visit: Open) -> None:
    page = visit().page
    plot = page.locator("figure .plot").first
    plot.scroll_into_view_if_needed()
    expect(plot).to_have_attribute("data-drawn", "yes")
    assert plot.evaluate("(element) => element.layout.separators") != ",\u00a0"
    switch(page, "ru")
    assert plot.evaluate("(element) => element.layout.separators") == ",\u00a0"


def test_the_annotator_speaks_russian_and_its_quotation_finds_its_place(
    visit: Open, document: Path, tmp_path: Path
) -> None:
    opened = visit(accept_downloads=True)
    page = opened.page
    switch(page, "ru")
    expect(page.locator("#annotator-sheet summary")).to_have_text("Рецензия ")
    expert.mark(page, page.locator("#output-01-1"), "Последняя проверка")
    page.keyboard.press("Alt+Shift+A")
    expect(page.locator("dialog button[type=submit]")).to_have_text("Сохранить")
    expert.say(page, "Что это значит?")
    expect(page.locator("#annotator-sheet summary")).to_have_text("Рецензия (1)")
    page.locator("#annotator-sheet summary").click()
    with page.expect_download() as download:
        page.locator("#annotator-export").click()
    file = tmp_path / "review.json"
    download.value.save_as(file)
    (item,) = json.loads(file.read_text())["items"]
    assert item["target"]["language"] == "ru"
    folder = tmp_path / "reviews"
    store.add(annotation.read(file).annotations, [], folder)
    again = render(document.parent, tmp_path / "again.html", reviews=folder, language="ru").read_text(encoding="utf-8")
    after = again[again.index('id="output-01-1"') :]
    assert after.index("Что это значит?") < after.index('id="cell-01')
    assert opened.complaints == []


def test_a_document_that_opens_in_russian_says_so(document: Path, tmp_path: Path) -> None:
    page = render(document.parent, tmp_path / "ru.html", language="ru").read_text(encoding="utf-8")
    assert '<html lang="ru"' in page
    assert "Как читать этот документ" in page
    assert choice.NAMES["ru"] in page
