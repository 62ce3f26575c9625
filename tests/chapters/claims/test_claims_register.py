"""The register of claims: whole, in the briefing's own words, and a mistake names its place."""

import re
from pathlib import Path

import pytest

from lib.chapters.claims import register
from lib.core import notebook
from lib.core.errors import RunbookError

GOOD = """\
read: '2026-11-23'
claims:
  - id: one-claim
    topic: driver
    chapter: '02'
    quote_ru: так сказано
    claim: It is so.
    verdict: refuted
    fact: It is not.
    sources: [https://example.org/]
    check:
      says: [{flag: --max-batch-size}]
  - id: another
    topic: cost
    quote_ru: и так
    claim: It costs.
    verdict: unverifiable
    fact: Nobody says.
    sources: [not found]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "claims.yml"
    path.write_text(text)
    return path


def test_the_register_of_the_runbook_is_whole() -> None:
    book = register.load()
    assert len(book.claims) == 146
    assert sum(entry.check is not None for entry in book.claims) >= 95
    assert {entry.chapter for entry in book.claims} - {""} <= {source.id for source in notebook.sources()}
    # The others quote commands, flags or figures only.
    assert sum(re.search(r"[А-Яа-я]", entry.quote_ru) is not None for entry in book.claims) == 120
    assert all(entry.claim.endswith(".") and entry.fact for entry in book.claims)


def test_what_cannot_be_verified_has_no_check_and_what_is_measured_has_no_other() -> None:
    for entry in register.load().claims:
        if entry.verdict == "unverifiable":
            assert entry.check is None, entry.id
        elif entry.check and entry.check.measured:
            assert entry.verdict == "measure", entry.id


def test_names_are_those_of_evidence(tmp_path: Path) -> None:
    book = register.load(written(tmp_path, GOOD))
    assert [entry.name for entry in book.claims] == ["claims.one_claim", "claims.another"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("verdict: refuted", "verdict: refutd", r"claim 1 \(one-claim\), verdict\n  did you mean: refuted"),
        ("fact: It is not.", "fakt: It is not.", r"claim 1 \(one-claim\), fakt\n  did you mean: fact"),
        ("{flag: --max-batch-size}", "{flog: --max-batch-size}", "one of the keys.*\n.*\n  did you mean: flag"),
        ("{flag: --max-batch-size}", "{flag: --x, choises: [a]}", "did you mean: choices"),
        ("{flag: --max-batch-size}", "{measured: a.b}", "give `at_least`, `at_most` or both"),
        ("says: [{flag: --max-batch-size}]", "partly: [{flag: --x}]", "either `says` or `measured`"),
        ("says: [{flag: --max-batch-size}]", "says: []", "either `says` or `measured`"),
        ("sources: [not found]", "sources: []", r"claim 2 \(another\), sources"),
        ("id: another", "id: one-claim", "more than one claim is called one-claim"),
        ("chapter: '02'", "chapter: 2", r"one-claim\), chapter"),
        ("read: '2026-11-23'", "read: yesterday", "read"),
        ("claims:", "claims: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(RunbookError, match=told):
        register.load(written(tmp_path, GOOD.replace(old, new)))


def test_a_missing_file_and_one_that_is_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no register of claims"):
        register.load(tmp_path / "none.yml")
    with pytest.raises(RunbookError, match="a claim is wrong"):
        register.load(written(tmp_path, "[]"))
