"""An expert at the document: what he does with mouse and keyboard, as steps that several tests play."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=1">'
REVERSED = "\u202egnp.exe\u202c"


def mark(page: Page, place: Locator, words: str) -> None:
    """Select words in a place, as a mouse does."""
    place.scroll_into_view_if_needed()
    found = place.evaluate(
        """(element, words) => {
            const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const at = node.data.indexOf(words);
                if (at < 0) continue;
                getSelection().setBaseAndExtent(node, at, node, at + words.length);
                return true;
            }
            return false;
        }""",
        words,
    )
    assert found, f"{words!r} does not stand there"


def say(page: Page, words: str, *, kind: str = "commenting", severity: str = "note", text: str | None = None) -> None:
    """Fill the open dialog and keep it."""
    dialog = page.locator("dialog.annotator-dialog")
    dialog.locator(f"input[name=kind][value={kind}]").check()
    dialog.locator("textarea[name=words]").fill(words)
    if text is not None:
        dialog.locator("textarea[name=source]").fill(text)
    dialog.locator("select[name=severity]").select_option(severity)
    dialog.locator("input[name=name]").fill("Reviewer One")
    dialog.locator("button[type=submit]").click()
    dialog.wait_for(state="hidden")


def open_on(page: Page, place: Locator) -> Locator:
    """Open the dialog of a place by its own button, as the keyboard does; return the dialog."""
    button = place.locator("> button.annotate.own")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.annotator-dialog")
    dialog.wait_for(state="visible")
    return dialog


def source(page: Page) -> str:
    """Return the text that the open dialog offers for correction."""
    page.locator("dialog.annotator-dialog input[value=editing]").check()
    return page.locator("dialog.annotator-dialog textarea[name=source]").input_value()


def export(page: Page, folder: Path) -> Path:
    """Export everything to a file."""
    sheet = page.locator("#annotator-sheet")
    if not sheet.evaluate("e => e.open"):
        sheet.locator("summary").click()
    with page.expect_download() as download:
        page.locator("#annotator-export").click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def items(file: Path) -> list[dict[str, Any]]:
    """Return the annotations of an export."""
    page: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page["items"]
    return found
