"""The briefing's 13 sections: the file is whole, and every claim, concern, command and record has its section."""

import re
from pathlib import Path

import pytest
from report.briefing.sample_briefing import section
from report.claims.sample_claims import claim

from lib.chapters.claims import register
from lib.core import evidence, notebook, paths
from lib.core.errors import RunbookError
from lib.deploy.concerns import registry
from lib.report.briefing import sections

SECTIONS = sections.load()
CLAIMS = register.load().claims
# Judged in chapter 99 of what the briefing claimed: they stand in the sections' own tables of claims.
ELSEWHERE = ("claims.",)


def test_there_are_the_briefings_13_sections_in_its_order() -> None:
    first, last = SECTIONS[:6], SECTIONS[6:]
    assert [one.id for one in first] == ["hardware", "os", "drivers", "libraries", "models", "serving"]
    assert [one.id for one in last[:4]] == ["performance", "monitoring", "redundancy", "backups"]
    assert [one.id for one in last[4:]] == ["security", "tests", "upgrade"]
    assert all(re.search("[а-я]|vLLM|WireGuard|GitHub", one.quote_ru) for one in SECTIONS)
    assert "`" not in "".join(one.quote for one in SECTIONS)


def test_every_chapter_that_is_named_is_there() -> None:
    known = {source.id for source in notebook.sources()}
    assert {chapter for one in SECTIONS for chapter in one.chapters} <= known


def test_every_concern_of_the_deployment_belongs_to_one_section() -> None:
    named = [concern for one in SECTIONS for concern in one.concerns]
    assert sorted(named) == sorted(concern.name for concern in registry())


def test_every_claim_of_the_register_has_its_section_and_every_selector_its_claim() -> None:
    used = set()
    for entry in CLAIMS:
        keys = (entry.id, f"{entry.topic}@{entry.chapter}", entry.topic)
        owners = [one for key in keys for one in SECTIONS if key in one.claims]
        assert owners, entry.id
        used |= {next(key for key in keys if any(key in one.claims for one in SECTIONS))}
    assert {selector for one in SECTIONS for selector in one.claims} == used


def test_what_is_left_out_rests_on_claims_of_the_register() -> None:
    known = {entry.id for entry in CLAIMS}
    assert {claim for one in SECTIONS for item in one.left_out for claim in item.claims} <= known


@pytest.mark.parametrize("name", [path.name for path in sorted((paths.RUNBOOK / "reference").iterdir())])
def test_every_record_of_a_real_run_has_its_section(name: str) -> None:
    records = evidence.read(paths.RUNBOOK / "reference" / name / "evidence.jsonl")
    lost = {r.name for r in records if not r.name.startswith(ELSEWHERE) and not sections.owner(SECTIONS, r.name)}
    assert not lost


def test_every_name_that_the_code_gives_a_record_has_its_section() -> None:
    given = re.compile(r'\bname=f?"([a-z0-9_]+)\.[a-z0-9_{}.]*"')
    kinds = {kind for path in (paths.ROOT / "lib").rglob("*.py") for kind in given.findall(path.read_text())}
    assert "batching" in kinds
    homeless = {kind for kind in kinds if not any(p.split(".")[0] == kind for one in SECTIONS for p in one.prefixes)}
    assert homeless <= {"claims"}


def test_the_longest_prefix_decides() -> None:
    wide, narrow = section("wide", records=["power"]), section("narrow", records=["power.map"], concerns=["serving"])
    assert sections.owner([wide, narrow], "power.map") is narrow
    assert sections.owner([wide, narrow], "power.mapped") is wide
    assert sections.owner([wide, narrow], "rehearsal.serving.model.loaded") is narrow
    assert sections.owner([wide, narrow], "deploy.backup.file") is None


def test_a_claim_belongs_by_its_id_then_by_topic_and_chapter_then_by_topic() -> None:
    by_id, by_both = section("a", claims=["a-flag"]), section("b", claims=["batching@05"])
    by_topic = section("c", claims=["batching"])
    every = [by_topic, by_both, by_id]
    assert sections.claim_owner(every, claim("a_flag")) is by_id
    assert sections.claim_owner(every, claim("other")) is by_both
    assert sections.claim_owner(every, claim("other", told_in="06")) is by_topic
    assert sections.claim_owner(every, claim("other", topic="none")) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sections: [", "not valid YAML"),
        ("others: []", "a list named 'sections'"),
        ("sections: [{id: one}]", "0.title: Field required"),
        ("sections: [{id: ONE}]", "0.id"),
    ],
)
def test_a_damaged_file_is_bad_input(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "sections.yml"
    file.write_text(text)
    with pytest.raises(RunbookError, match=told) as caught:
        sections.load(file)
    assert "git checkout" in caught.value.fix
