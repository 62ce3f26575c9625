"""Chapter 11 without the lab: what it plans, what it says where nothing can be tried, what it decides."""

from pathlib import Path

import pytest

from lib.chapters import bastion, bastion_figures
from lib.core import profile
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Check, Measurement
from lib.deploy.bastion import files, search
from lib.edge import acme, trial
from lib.edge.stage import Stage
from lib.lab.netns import space


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return open_chapter("11", "embedded", "plan", str(tmp_path / "run"))


def probe(name: str, good: bool) -> Check:
    return trial.check(name=name, title="A door", expected="shut", fix="shut it", good=good, observed="seen")


def test_every_file_of_both_sides_is_a_planned_change(chapter: Chapter) -> None:
    found = bastion.changes(chapter)
    assert {change.status for change in found} == {"planned"}
    assert {change.target for change in found} >= {
        "/etc/nginx/nginx.conf", "/etc/nftables.conf", "/etc/wireguard/wg0.conf"
    }  # fmt: skip
    assert len(list(chapter.run.rglob("nginx.conf"))) == 2


def test_the_searchs_files_are_among_them(chapter: Chapter) -> None:
    targets = {change.target for change in bastion.changes(chapter)}
    assert {search.COMPOSE, search.SETTINGS, files.ACME, files.CERTIFICATE} <= targets


def test_without_an_acme_server_certificates_are_a_visible_skip(
    chapter: Chapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme, "missing", lambda: "apt-get install -y pebble")
    [check] = bastion.Ground._certified(Stage(chapter.profile.bastion))
    assert isinstance(check, Check)
    assert (check.name, check.status, check.fix) == ("bastion.certificate", "skip", "apt-get install -y pebble")


def test_who_is_who_is_shown(chapter: Chapter) -> None:
    shown = bastion.plan(chapter).text
    for one in (*chapter.profile.bastion.gates, *chapter.profile.bastion.homes):
        assert one.name in shown
        assert one.tunnel in shown


def test_without_the_labs_tools_all_is_a_visible_skip(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "missing", lambda: "apt-get install -y nginx")
    ground = bastion.Ground(chapter)
    [check] = ground.start()
    assert (check.name, check.status, check.fix) == ("bastion.lab", "skip", "apt-get install -y nginx")
    assert bastion.certify(ground) == bastion.ask_as_search(ground) == ()
    assert bastion.probe(ground) == ()
    assert bastion.cost(ground) == []
    assert bastion.suffer(ground) == ()
    bastion.stop(ground)
    assert bastion.decide(chapter).choice == "Nothing is decided"
    assert "Nothing was measured" in bastion_figures.tax([]).text
    assert "No fault was tried" in bastion_figures.recovery(chapter).text


def test_one_red_probe_keeps_it_off_the_internet(chapter: Chapter) -> None:
    chapter.record(probe("ports.gate", True), probe("key.none", False))
    decided = bastion.decide(chapter)
    assert decided.choice == "The bastion does not go onto the internet"
    assert decided.evidence == ["bastion.probe.key.none"]


def test_all_green_opens_it_and_cites_what_was_measured(chapter: Chapter) -> None:
    chapter.record(probe("ports.gate", True))
    chapter.record(Measurement(name="bastion.ttft_tax_ms", title="x", value=1.0, unit="ms", provenance=trial.lab()))
    decided = bastion.decide(chapter)
    assert decided.choice.startswith("This bastion may stand on the internet")
    assert "bastion.ttft_tax_ms" in decided.evidence
    assert "bastion.recovery_seconds" not in decided.evidence


def test_the_default_is_short_and_thorough_is_whole() -> None:
    short, whole = (profile.load("embedded", more).bastion for more in ({}, profile.thorough("embedded")))
    assert len(short.faults.kinds) < len(whole.faults.kinds) == 10
    assert short.tax_requests < whole.tax_requests
