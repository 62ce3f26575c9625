"""The final checklist: ten points, checks that exist, claims that exist, and answers that nobody can talk up."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from report.briefing.sample_briefing import check, point
from report.claims.sample_claims import claim

from lib.chapters.claims import register
from lib.core import paths
from lib.core.errors import RunbookError
from lib.report.briefing import checklist
from lib.report.claims import table

POINTS = checklist.load()
ANY, WORD = r"[a-z0-9_.]+", r"[a-z0-9_]+"


@cache
def names() -> list[tuple[Path, re.Pattern[str]]]:
    """Return every text of lib/ that may be the name of a record, as a pattern: what varies in it fits anything."""
    return [(path, re.compile(text)) for path in (paths.ROOT / "lib").rglob("*.py") for text in _texts(path)]


def _texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield re.escape(node.value)
        elif isinstance(node, ast.JoinedStr):
            yield _pattern(node)


def _pattern(node: ast.JoinedStr) -> str:
    """Return a text with holes as a pattern: a hole that follows a dot may hold further dots, one in a word may not."""
    made = ""
    for part in node.values:
        hole = ANY if made.endswith(".") or not made else WORD
        made += re.escape(str(part.value)) if isinstance(part, ast.Constant) else hole
    return made


def known(name: str) -> bool:
    """Tell whether the code gives a check this name: in one piece, or as a prefix and what stands behind it."""
    whole = name.replace("*", "0")
    head, tail = whole.rpartition(".")[::2]
    for path, pattern in names():
        if r"\." not in pattern.pattern.partition("[")[0]:
            continue
        if pattern.fullmatch(whole):
            return True
        if pattern.fullmatch(head) and any(p == path and o.pattern == rf"{ANY}\.{tail}" for p, o in names()):
            return True
    return False


def test_there_are_ten_points_in_the_briefings_words() -> None:
    assert [one.number for one in POINTS] == list(range(1, 11))
    assert all("`" not in one.quote for one in POINTS)
    assert len({one.corrected for one in POINTS}) == 10


@pytest.mark.parametrize("name", sorted({name for one in POINTS for name in one.checks}))
def test_every_check_that_is_named_exists(name: str) -> None:
    assert known(name)


@pytest.mark.parametrize("name", ["tuning.huge_pages", "hardware.gpu*.warmth", "driver.versions", "nothing.x"])
def test_a_check_that_does_not_exist_would_be_found(name: str) -> None:
    assert not known(name)


def test_every_claim_that_corrects_is_in_the_register() -> None:
    known_claims = {entry.id for entry in register.load().claims}
    assert {claim for one in POINTS for claim in one.claims} <= known_claims


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (("pass", "pass"), "yes"),
        (("pass", "warn"), "yes"),
        (("pass", "skip"), "not in this run"),
        (("pass", None), "not in this run"),
        (("skip", "fail"), "no"),
        ((None, "fail"), "no"),
        ((None, None), "not in this run"),
    ],
)
def test_the_answer_follows_from_the_checks(statuses: tuple[str | None, ...], verdict: str) -> None:
    records = [check(f"a.c{place}", status) for place, status in enumerate(statuses) if status]
    (answered,) = checklist.answer(records, table.collect([]), [point("a.c0", "a.c1")])
    assert answered.verdict == verdict
    assert answered.warns == ("warn" in statuses)


def test_the_worst_check_of_a_pattern_decides_and_a_skip_only_if_there_is_nothing_else() -> None:
    wanted = [point("a.gpu*.heat")]
    records = [check("a.gpu0.heat", "skip", observed="no card"), check("a.gpu1.heat"), check("a.gpu1.cold", "fail")]
    (answered,) = checklist.answer(records, table.collect([]), wanted)
    assert answered.verdict == "yes"
    (answered,) = checklist.answer(records[:1], table.collect([]), wanted)
    assert answered.verdict == "not in this run"
    assert answered.seen[0].why == "no card"


def test_what_corrects_a_point_is_this_runs_claim() -> None:
    (answered,) = checklist.answer([], table.collect([claim("a_claim"), claim("other")]), [point("a.b")])
    assert [row.claim.name for row in answered.claims] == ["claims.a_claim"]
    assert answered.seen[0].why == "no chapter of this run recorded it"


def test_a_damaged_file_is_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "checklist.yml"
    file.write_text("points: [{number: 0}]")
    with pytest.raises(RunbookError, match="number"):
        checklist.load(file)
