"""Document and comparison are valid HTML: tidy has no complaint, and what tidy does not know is held here.

tidy knows HTML 5 but not all of its content models. What it misses and a document could get wrong is asked apart: the
place of a caption, unique ids, links that lead somewhere, characters that HTML forbids.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from report.compare.compared_runs import build

from lib.report.compare import page as compare_page
from lib.report.compare.differences import Run, compare

TIDY = shutil.which("tidy")
needs_tidy = pytest.mark.skipif(
    TIDY is None, reason="tidy is not installed: sudo apt-get install -y --no-install-recommends tidy"
)
# HTML allows a div around a term and its description; tidy 5.6 does not know that yet.
GROUP = re.compile(r"<div>\s*(<dt\b.*?</dd>)\s*</div>", re.DOTALL)
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")


def complaints(page: str) -> list[str]:
    """Return what tidy says of a page, one line a complaint."""
    assert TIDY
    words = [TIDY, "-quiet", "-errors", "-utf8", "--drop-empty-elements", "no", "--show-warnings", "yes"]
    said = subprocess.run(words, input=GROUP.sub(r"\1", page), capture_output=True, text=True, timeout=60)
    return said.stderr.splitlines()


def misplaced(page: str) -> list[str]:
    """Return what is not where HTML wants it, or leads nowhere."""
    soup = BeautifulSoup(page, "html.parser")
    ids = [element["id"] for element in soup.select("[id]")]
    found = [f"id {name} is there {ids.count(name)} times" for name in sorted({n for n in ids if ids.count(n) > 1})]
    for figure in soup.select("figure"):
        children = [child for child in figure.children if getattr(child, "name", None)]
        if not any(child.name == "figcaption" for child in (children[0], children[-1])):
            found.append(f"figure {figure.get('id')}: its caption is neither first nor last")
    found += [f"{a['href']} leads nowhere" for a in soup.select('a[href^="#"]') if a["href"][1:] not in set(ids)]
    return found


@pytest.fixture
def comparison(tmp_path: Path) -> str:
    before, after = (Run.read(folder) for folder in build(tmp_path))
    return compare_page.render(before, after, compare(before, after))


@pytest.fixture(params=["document", "comparison"])
def page(request: pytest.FixtureRequest) -> str:
    made: str = request.getfixturevalue(request.param)
    return made


@needs_tidy
def test_tidy_has_no_complaint(page: str) -> None:
    assert complaints(page) == []


def test_everything_is_where_html_wants_it(page: str) -> None:
    assert misplaced(page) == []


def test_no_character_is_forbidden(page: str) -> None:
    assert [match[0] for match in FORBIDDEN.finditer(page)] == []


@needs_tidy
@pytest.mark.parametrize(
    ("old", "new"),
    [("</figcaption>", ""), ("<main id", "<main lang lang id"), ("</ol>", "</ul>"), ("<th scope", "<div><th scope")],
)
def test_tidy_would_see_an_error(document: str, old: str, new: str) -> None:
    assert old in document
    assert complaints(document.replace(old, new, 1))


def test_a_misplaced_caption_would_be_seen() -> None:
    page = '<figure id="f"><p></p><figcaption></figcaption><p id="f"></p></figure><a href="#g">g</a>'
    assert misplaced(page) == [
        "id f is there 2 times",
        "figure f: its caption is neither first nor last",
        "#g leads nowhere",
    ]
