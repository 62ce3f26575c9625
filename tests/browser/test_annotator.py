"""The annotator in a browser: an expert without network says twelve things of all kinds, and they come back as data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import expert
from playwright.sync_api import Page, expect

from lib.report.review import annotation, approval

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def prose(page: Page) -> Any:
    return page.locator("#chapter-01 .prose[data-cells]").filter(has_text="Facts are read").first


def comment(page: Page, words: str, place: str = "Facts are read", said: str = "Which facts?") -> None:
    expert.mark(page, prose(page), words)
    page.keyboard.press("Alt+Shift+A")
    expert.say(page, said)


def test_twelve_annotations_of_all_kinds_come_back_as_data(visit: Open, tmp_path: Path) -> None:
    opened = visit(accept_downloads=True)
    page = opened.page
    comment(page, "Facts are read")
    comment(page, "Nothing is changed", said="Почему здесь ничего не меняется?")
    comment(page, "Facts", said=expert.HOSTILE)
    comment(page, "Nothing", said=f"open {expert.REVERSED}")
    dialog = expert.open_on(page, prose(page))
    dialog.locator("textarea[name=words]").fill("x" * (1 << 20))
    page.keyboard.press("Escape")  # a megabyte cannot be typed: the field ends at its limit, tested below
    expert.open_on(page, prose(page))
    before = expert.source(page)
    expert.say(page, "Say it shorter.", kind="editing", severity="minor", text=before.replace("Facts are", "All is"))
    code = page.locator("#chapter-01 details.code[data-cells]").first
    code.locator("summary").click()
    expert.open_on(page, code)
    expert.source(page)
    expert.say(page, "Name it.", kind="editing", severity="major", text="display.table([])")
    expert.open_on(page, page.locator("figure#figure-1"))
    expert.say(page, "No interval on this plot.", severity="blocking")
    file = page.locator(".file[data-path]").filter(has_text="embedded.yml").first
    file.locator("summary").click()
    expert.open_on(page, file)
    profile = expert.source(page)
    expert.say(page, "Too little memory.", kind="editing", text=profile.replace("minimum_gib: 6", "minimum_gib: 8"))
    expert.mark(page, page.locator(".evidence tbody"), "412 MB/s")
    page.keyboard.press("Alt+Shift+A")
    expert.say(page, "Which disk?", severity="major")
    expert.open_on(page, page.locator("figure#figure-2"))
    expert.say(page, "A legend is missing.")
    expert.mark(page, prose(page), "facts".capitalize())
    page.locator("button.annotate:not(.own)").click()
    expert.say(page, "Once more, by the button.")
    page.locator("#annotator-sheet summary").click()
    page.locator("#annotator-verdict").click()
    expert.say(page, "Good work.", kind="approved")
    file = expert.export(page, tmp_path)

    read = annotation.read(file)
    assert read.refused == []
    assert len(read.annotations) == 12
    assert {said.motivation for said in read.annotations} == {"commenting", "editing", "assessing"}
    assert "Почему здесь ничего не меняется?" in {said.words for said in read.annotations}
    assert {said.language for said in read.annotations} == {"en", "ru"}
    assert "open [U+202E]gnp.exe[U+202C]" in {said.words for said in read.annotations}
    assert expert.HOSTILE in {said.words for said in read.annotations}
    assert [s.corrects.path.split("/")[0] for s in read.annotations if s.corrects] == [
        "notebooks",
        "notebooks",
        "runbook",
    ]
    quotes = [said.target.quote for said in read.annotations if said.target.quote]
    assert {quote.exact for quote in quotes} >= {"Facts are read", "Nothing is changed", "412 MB/s"}
    (verdict,) = [said for said in read.annotations if said.verdict]
    assert approval.verified(verdict)
    assert opened.requests == []
    assert opened.complaints == []
    assert page.title().startswith("Inference Runbook")


def test_they_survive_closing_the_page_and_go_to_another_machine(visit: Open, tmp_path: Path) -> None:
    page = visit(accept_downloads=True).page
    comment(page, "Facts are read")
    page.reload()
    expect(page.locator("#annotator-sheet summary")).to_have_text("Review (1)")
    file = expert.export(page, tmp_path)
    other = visit().page
    expect(other.locator("#annotator-sheet summary")).to_have_text("Review ")
    other.locator("#annotator-sheet summary").click()
    other.locator("#annotator-sheet input[type=file]").set_input_files(file)
    expect(other.locator("#annotator-sheet summary")).to_have_text("Review (1)")
    expect(other.locator("#annotator-sheet [role=status]")).to_have_text("1 annotations imported.")
    other.get_by_role("button", name="Go there").click()
    expect(prose(other)).to_be_in_viewport()
    assert other.evaluate("CSS.highlights.get('annotated').size") == 1
    other.get_by_role("button", name="Delete").click()
    expect(other.locator("#annotator-sheet li")).to_have_count(0)


def test_a_file_that_is_no_review_is_said_and_changes_nothing(visit: Open, tmp_path: Path) -> None:
    page = visit().page
    comment(page, "Facts are read")
    file = tmp_path / "other.json"
    page.locator("#annotator-sheet summary").click()
    for content in ("not JSON", '{"type": "Collection"}'):
        file.write_text(content)
        page.locator("#annotator-sheet input[type=file]").set_input_files(file)
        expect(page.locator("#annotator-sheet [role=status]")).to_contain_text("Not a review")
    expect(page.locator("#annotator-sheet li")).to_have_count(1)


def test_what_is_missing_is_said_and_a_long_text_ends_at_the_limit(visit: Open) -> None:
    page = visit().page
    dialog = expert.open_on(page, prose(page))
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog.get_by_role("alert")).to_have_text("Your name is missing.")
    dialog.locator("input[name=name]").fill("Reviewer One")
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog.get_by_role("alert")).to_have_text("Nothing is said yet.")
    dialog.locator("input[value=editing]").check()
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog.get_by_role("alert")).to_have_text("The text is as it was.")
    assert dialog.locator("textarea[name=words]").get_attribute("maxlength") == "20000"


def test_touch_and_print(visit: Open) -> None:
    page = visit(width=390, height=800, has_touch=True, is_mobile=True).page
    expert.mark(page, prose(page), "Facts are read")
    page.locator("button.annotate:not(.own)").tap()
    expert.say(page, "By finger.")
    expect(page.locator("#annotator-sheet summary")).to_have_text("Review (1)")
    page.emulate_media(media="print")
    expect(page.locator("#annotator-sheet")).to_be_hidden()
