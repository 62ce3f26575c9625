"""The briefing's order in the document: sections, checklist, files, what was not done, all linked and escaped."""

import re
from pathlib import Path

import pytest
from report.briefing.sample_briefing import check, file, measurement
from report.claims.sample_claims import HOSTILE, claim

from lib.core import evidence
from lib.report.render import english


@pytest.fixture
def page(copied: Path) -> str:
    """Return the document of a run that has files, claims, costs and hostile words in the briefing's order."""
    evidence.append(
        copied / "evidence.jsonl",
        [
            file("/etc/inference/x.env", template="systemd/vllm.env.j2"),
            claim("hugepages_80_percent", topic="os", fact=HOSTILE),
            check("tuning.hugepages", observed=HOSTILE),
            measurement("cost.energy", 2.5, title="Energy", conditions={"tariff": "night"}),
            check("cost.prices", "skip", title="Prices", observed="none", fix="name them"),
        ],
    )
    return english(copied)


def part(page: str, place: str) -> str:
    found = re.search(rf'<section class="[\w ]+" id="{place}".*?</section>', page, re.DOTALL)
    assert found, place
    return found.group()


def test_all_sections_are_there_numbered_and_in_the_contents(page: str) -> None:
    assert len(re.findall(r'<section class="part" id="section-', page)) == 13
    assert '<span class="number">13</span> Plan of upgrades' in part(page, "section-upgrade")
    assert page.count('href="#section-upgrade"') >= 2
    for place in ("checklist", "costs", "undone", "config-files"):
        assert f'href="#{place}"' in page
        assert part(page, place)


def test_a_section_shows_expected_against_found_with_its_record(page: str) -> None:
    shown = part(page, "section-hardware")
    assert "Read speed of the model disk" in shown
    assert "2500 MB/s" in shown
    assert 'href="#record-hardware.disk"' in shown
    assert '<span class="number">Table 1.1</span>' in shown


def test_a_section_without_records_says_which_chapter_would_give_them(page: str) -> None:
    shown = part(page, "section-backups")
    assert "This run recorded nothing that belongs here." in shown
    assert "python -m lib run --profile embedded --only 14" in shown
    assert "Backup and restore, gave nothing: it is not part of this run." in shown


def test_files_lead_from_the_section_to_the_index_and_on_to_their_content(page: str) -> None:
    assert 'href="#file-home-etc-inference-x-env"' in part(page, "section-serving")
    index = part(page, "config-files")
    assert 'id="file-home-etc-inference-x-env"' in index
    assert "640, root:vllm" in index
    assert 'href="#record-deploy.serving.file"' in index
    assert 'href="#source-runbook-templates-systemd-vllm-env-j2"><code>systemd/vllm.env.j2</code>' in index


def test_the_checklist_is_answered(page: str) -> None:
    shown = part(page, "checklist")
    assert shown.count('id="point-') == 10
    assert '<b class="answer yes">yes</b>' in shown
    assert "1 yes, 0 no, 9 not in this run" in shown
    assert 'href="#record-tuning.hugepages-2"' in shown


def test_costs_and_what_is_missing_for_them(page: str) -> None:
    shown = part(page, "costs")
    assert 'href="#record-cost.energy">2.5</a>' in shown
    assert "tariff night" in shown
    assert "<b>What to do</b> name them" in shown


def test_what_was_left_out_gives_the_claims_fact_as_its_reason(page: str) -> None:
    shown = part(page, "undone")
    assert "Huge pages for 80 % of the memory" in shown
    assert 'href="#claim-hugepages-80-percent"' in shown
    assert "Chapter 03 did not run" not in shown
    assert "it did not run (needs 02, which did not pass)" in shown


def test_what_records_say_is_text_and_links_lead_somewhere(page: str) -> None:
    assert HOSTILE not in page
    places = re.findall(r'\bid="([^"]+)"', page)
    assert set(re.findall(r'href="#([^"]+)"', page)) - set(places) == set()


def test_without_a_deployment_and_costs_it_says_what_gives_them(document: str) -> None:
    assert "--only 16" in part(document, "config-files")
    assert "This run recorded no cost." in part(document, "costs")
