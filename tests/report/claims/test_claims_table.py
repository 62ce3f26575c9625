"""Claims in the document: every one in the table, some in their chapter, what was not checked marked so."""

import re
from pathlib import Path

import pytest
from report.claims.sample_claims import HOSTILE, check, claim, judged

from lib.core import evidence
from lib.core.evidence import Measurement
from lib.report.claims import table
from lib.report.render import english


@pytest.fixture
def page(copied: Path) -> str:
    """Return the document of a run that judged five claims."""
    evidence.append(copied / "evidence.jsonl", judged())
    return english(copied)


def row(page: str, anchor: str) -> str:
    found = re.search(rf'<tr id="{anchor}".*?</tr>', page, re.DOTALL)
    assert found, anchor
    return found.group()


def test_every_claim_has_its_row_with_quote_fact_and_source(page: str) -> None:
    assert page.count('<tr id="claim-') == 5
    shown = row(page, "claim-a-flag")
    assert '<q lang="ru">сказано так</q>' in shown
    assert "It is otherwise." in shown
    assert "seen here: a flag is missing" in shown
    assert 'href="https://example.org/x"' in shown
    assert "read 2026-11-23" in shown
    assert 'data-verdict="refuted" data-origin="engine"' in shown


def test_what_was_not_checked_is_marked_so(page: str) -> None:
    assert "links only" in row(page, "claim-cited")
    assert "could not run on this machine" in row(page, "claim-elsewhere")
    assert "links only" not in row(page, "claim-a-flag")
    assert "3 checked in this run, 1 could not be checked on this machine, 1 links only" in page


def test_a_contradiction_is_named_before_the_table(page: str) -> None:
    assert 'here 1 did: <a href="#claim-stale">Claim stale.</a>' in page
    assert "rb-fail" in row(page, "claim-stale")


def test_a_chapter_tells_its_own_claims(page: str) -> None:
    boxes = re.findall(r'<aside class="claim-boxes".*?</aside>', page, re.DOTALL)
    assert len(boxes) == 1, "the sample has a chapter 04 and none 05"
    assert boxes[0].index("Claim stale.") < boxes[0].index("Claim a_number.")
    assert "Measured here: <b>2.5 ×</b>, 95 % interval 2.4 … 2.6." in boxes[0]
    assert "Claim a_flag." not in boxes[0]


def test_what_a_claim_says_is_text(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;document.title=1&lt;/script&gt;" in page


def test_links_lead_somewhere(page: str) -> None:
    places = set(re.findall(r'\bid="([^"]+)"', page))
    inside = set(re.findall(r'href="#([^"]+)"', page))
    assert inside - places == set()
    assert "claims" in inside


def test_without_claims_there_is_no_appendix(document: str) -> None:
    assert 'id="claims"' not in document
    assert 'href="#claims"' not in document


def test_a_chapter_shows_three_and_folds_the_others() -> None:
    records = [claim(f"c{number}") for number in range(5)]
    boxes = table.collect(records).boxes("05")
    assert boxes
    assert (len(boxes.first), len(boxes.rest)) == (3, 2)
    assert table.collect(records).boxes("06") is None


def test_measured_and_checked_claims_come_first() -> None:
    measured = claim("measured", "confirmed", value=1.0)
    records = [claim("cited", way="cited"), claim("checked"), measured, claim("right", "confirmed")]
    boxes = table.collect(records).boxes("05")
    assert boxes
    assert [row.claim.name for row in (*boxes.first, *boxes.rest)] == [
        "claims.measured", "claims.checked", "claims.right", "claims.cited"
    ]  # fmt: skip


def test_other_records_are_no_claims() -> None:
    other = Measurement(name="claims.time", value=1, unit="s", method="clock")
    assert table.collect([other, check("alone", "pass")]).rows == []
