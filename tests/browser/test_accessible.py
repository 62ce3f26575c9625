"""The document for those who do not see it or cannot use a mouse: axe finds nothing serious."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import expert

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
SERIOUS = ("serious", "critical")


def serious(page: Any) -> list[str]:
    """Return what axe complains about, with the first place of each."""
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in SERIOUS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_document_has_no_serious_problem(visit: Open, scheme: str) -> None:
    assert serious(visit(color_scheme=scheme).page) == []


def test_the_annotator_has_none_either(visit: Open) -> None:
    page = visit().page
    expert.open_on(page, page.locator("#chapter-01 .prose[data-cells]").first)
    assert serious(page) == []
    expert.source(page)
    assert serious(page) == []
    expert.say(page, "Said.")
    page.locator("#annotator-sheet summary").click()
    assert serious(page) == []


def test_axe_would_see_a_problem(visit: Open) -> None:
    page = visit().page
    page.evaluate("document.querySelector('#annotator-sheet input').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('#annotator-sheet input').hidden = false")
    page.locator("#annotator-sheet summary").click()
    assert any(problem.startswith("label") for problem in serious(page))
