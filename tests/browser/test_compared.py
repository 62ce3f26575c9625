"""The comparison of two runs in a browser: offline, without complaint, for every width and for those who do not see."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.test_accessible import serious
from browser.test_document import OVERFLOWING
from report.compare.compared_runs import build

from lib.report.compare import page
from lib.report.compare.differences import Run, compare

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    before, after = (Run.read(run) for run in build(folder))
    return page.write(before, after, compare(before, after), folder / "compared.html")


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (820, "light"), (1440, "dark")])
def test_it_is_readable_everywhere(visit: Open, comparison: Path, width: int, scheme: str) -> None:
    opened = visit(width=width, color_scheme=scheme)
    opened.requests.clear()
    opened.complaints.clear()
    opened.page.goto(comparison.as_uri())
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.evaluate(OVERFLOWING) == []
    assert (opened.requests, opened.complaints) == ([], [])
    assert serious(opened.page) == []


def test_a_bar_lies_where_its_ratio_is(visit: Open, comparison: Path) -> None:
    opened = visit()
    opened.page.goto(comparison.as_uri())
    middle, slower, faster = (
        opened.page.evaluate(f"document.querySelector('{place}').getBoundingClientRect().x")
        for place in (
            ".regression .middle",
            ".regression .range + .range",
            ".improvement tr:last-child .range + .range",
        )
    )
    assert slower > middle
    assert faster > middle, "more tokens a second is to the right too: B over A"
    colours = [
        opened.page.evaluate(f"getComputedStyle(document.querySelector('.{outcome} .range')).stroke")
        for outcome in ("regression", "improvement", "changed")
    ]
    assert len(set(colours)) == 3
