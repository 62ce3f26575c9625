"""The print edition: a real PDF of the document, with page numbers and nothing cut."""

import re
from pathlib import Path

import pytest
from browser.conftest import CHROMIUM
from pypdf import PdfReader

from lib.core import evidence
from lib.core.errors import RunbookError
from lib.report import printed

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def pages(document: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    made = printed.write(document, tmp_path_factory.mktemp("print") / "report.pdf")
    return [page.extract_text() for page in PdfReader(made).pages]


def test_every_page_but_the_first_has_its_number(pages: list[str]) -> None:
    assert len(pages) > 3
    for number, text in enumerate(pages[1:], 2):
        assert text.startswith(f"{number}Inference Runbook"), f"page {number}"


def test_chapters_and_evidence_are_there_and_what_is_for_the_screen_is_not(pages: list[str]) -> None:
    whole = "\n".join(pages)
    assert "Read speed of the model disk" in whole
    assert "Throughput over concurrency" in whole
    assert "Overall verdict" not in whole
    assert "Annotate" not in whole.replace("Annotate button", "")


def test_on_paper_the_evidence_is_an_index_of_names_and_values(pages: list[str], document: Path) -> None:
    first = next(number for number, text in enumerate(pages) if "Appendix B" in text or "APPENDIX B" in text)
    last = next(number for number, text in enumerate(pages) if "Appendix C" in text or "APPENDIX C" in text)
    index = re.sub(r"\s", "", "".join(pages[first : last + 1]).replace("ﬁ", "fi").replace("ﬂ", "fl"))
    records = evidence.read(document.parent / "evidence.jsonl")
    assert [record.name for record in records if record.name not in index] == []
    assert "expected:" not in index, "what a check expected stands in its chapter"
    assert last - first <= 1 + len(records) / 40


def test_the_paper_is_a4(document: Path, tmp_path: Path) -> None:
    made = printed.write(document, tmp_path / "report.pdf")
    box = PdfReader(made).pages[0].mediabox
    assert (round(float(box.width)), round(float(box.height))) == pytest.approx((595, 842), abs=1)


def test_what_cannot_be_printed_is_an_error(tmp_path: Path, document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunbookError, match="no document to print"):
        printed.write(tmp_path / "none.html")
    monkeypatch.setattr(printed, "BROWSERS", ("no-such-browser",))
    with pytest.raises(RunbookError, match="no Chromium"):
        printed.write(document)
