"""What an export may hold, and what is refused with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.review.reviews import annotation, correction, export, item

from lib.core.errors import RunbookError
from lib.report.review import annotation as annotations
from lib.report.review.annotation import read, visible


def test_an_export_is_read(tmp_path: Path) -> None:
    file = export(tmp_path, item("Почему 450 Вт?"), correction("notebooks/01_a.ipynb", "a", "b", cell="look"))
    page = read(file)
    assert page.refused == []
    first, second = page.annotations
    assert (first.words, first.creator.name, first.severity, first.replacement) == (
        "Почему 450 Вт?",
        "Reviewer One",
        "note",
        None,
    )
    assert second.replacement == "b"
    assert second.corrects
    assert (second.corrects.path, second.corrects.cell) == ("notebooks/01_a.ipynb", "look")
    assert len(first.number) == 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "urn:uuid:1"}, "id"),
        ({"motivation": "painting"}, "motivation"),
        ({"creator": {"type": "Person", "name": ""}}, "creator.name"),
        ({"body": []}, "body"),
        ({"body": [{"type": "TextualBody", "value": "x" * (1 << 20)}]}, "body"),
        ({"body": [{"type": "TextualBody", "value": "x" * 20_001}]}, "at most 20,000"),
        ({"body": [{"type": "TextualBody", "value": "a"}, {"type": "TextualBody", "value": "b"}]}, "two bodies"),
        ({"target": {"source": "urn:runbook:edition:short", "selector": []}}, "target.source"),
        ({"created": "yesterday"}, "created"),
        ({"runbook:severity": "deadly"}, "runbook:severity"),
        ({"runbook:verdict": "maybe"}, "runbook:verdict"),
        ({"runbook:source": {"path": "/etc/passwd", "sha256": "a" * 64}}, "path"),
        ({"runbook:source": {"path": "notebooks/../.git/config", "sha256": "a" * 64}}, "leaves the project"),
        ({"runbook:source": {"path": "lib/cli.py", "sha256": "a" * 64}}, "path"),
        ({"runbook:seal": {"key": "short", "signature": "short"}}, "runbook:seal"),
    ],
)
def test_an_item_that_is_not_valid_is_named_and_the_others_are_taken(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    page = read(export(tmp_path, item() | change, item("kept")))
    assert [said.words for said in page.annotations] == ["kept"]
    (refused,) = page.refused
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "not a review"),
        ("{", "not a review"),
        ("[]", "no W3C annotation page"),
        ('{"type": "AnnotationPage", "items": {}}', "no W3C annotation page"),
        ("[" * 100_000, "not a review"),
        (json.dumps({"type": "AnnotationPage", "items": [1] * 2001}), "2001 annotations"),
        ('"' + "x" * (5 << 20) + '"', "5 MiB"),
    ],
)
def test_a_file_that_is_no_review_is_an_error(tmp_path: Path, content: str, what: str) -> None:
    file = tmp_path / "review.json"
    file.write_text(content)
    with pytest.raises(RunbookError, match=what):
        read(file)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no such file"):
        read(tmp_path / "none.json")


def test_what_turns_text_round_is_shown_by_its_number() -> None:
    assert visible("safe \u202egnp.exe\u202c") == "safe [U+202E]gnp.exe[U+202C]"
    assert visible("a\x00b\x1b[31mc\nd\te") == "ab[31mc\nd\te"
    assert annotation("\u2066hidden\u2069").words == "[U+2066]hidden[U+2069]"


@given(st.text(max_size=200))
def test_nothing_invisible_survives(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert not annotations._TURNING.search(shown)
    assert "\x1b" not in shown


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner)))
def test_whatever_an_item_is_it_is_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    page = read(export(tmp_path_factory.mktemp("fuzz"), value))
    assert len(page.annotations) + len(page.refused) == 1
