"""Chapter 12 without the programs: what it plans, what it says where nothing can be tried, what it decides."""

from pathlib import Path

import pytest

from lib.chapters import monitoring, monitoring_figures, monitoring_findings
from lib.core import secrets
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Check
from lib.deploy.monitor import dashboards, files
from lib.resilience.monitor import judge, records
from lib.resilience.monitor.drill import Outcome
from lib.resilience.monitor.receiver import Event


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    return open_chapter("12", "embedded", "plan", str(tmp_path / "run"))


def seen(alert: str, fired: float | None, cleared: float | None) -> list[Outcome]:
    return [Outcome(alert, "scene", "a fault", "recorded", fired, cleared)]


def test_every_alert_is_shown_with_what_to_do(chapter: Chapter) -> None:
    shown = monitoring.plan(chapter).text
    for name in ("EngineDown", "GpuXid", "UpsOnBattery", "RestoreDrillOld"):
        assert name in shown
    assert "journalctl" in shown


def test_everybody_who_is_asked_is_shown(chapter: Chapter) -> None:
    shown = monitoring.look(chapter).text
    assert "127.0.0.1:9100" in shown
    assert "10.66.0.1:9100" in shown


def test_every_file_is_a_planned_change_without_a_secret(chapter: Chapter) -> None:
    found = monitoring.changes(chapter)
    assert {change.target for change in found} >= {
        "/etc/prometheus/prometheus.yml", "/etc/prometheus/alerts.yml", "/etc/prometheus/alertmanager.yml"
    }  # fmt: skip
    assert len([change for change in found if change.target.endswith(".json")]) == 5
    assert list(secrets.scan(chapter.run)) == []


def test_without_the_programs_all_is_a_visible_skip(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "missing", lambda: ["prometheus"])
    ground = monitoring.Ground(chapter)
    [check] = ground.start()
    assert (check.name, check.status) == ("monitoring.programs", "skip")
    assert check.fix.endswith("prometheus")
    assert monitoring.play(ground) == ()
    assert monitoring_findings.messages(ground) == ()
    assert monitoring_findings.live(ground) is None
    assert monitoring_findings.storage(ground) == []
    assert monitoring.stop(ground) == ()
    assert monitoring.decide(chapter).choice == "Nothing is decided"
    assert "No alert was tried" in monitoring_figures.seconds(chapter).text


def test_one_alert_that_never_came_makes_it_unreliable(chapter: Chapter) -> None:
    chapter.record(*records.records(seen("GpuXid", 1.5, 2.0), 5))
    assert monitoring.decide(chapter).choice.startswith("This watching may be relied on")
    chapter.record(*records.records(seen("EngineDown", None, None), 5))
    decided = monitoring.decide(chapter)
    assert decided.choice == "This watching is not to be relied on"
    assert "EngineDown" in decided.reason


def test_the_slowest_alert_is_named(chapter: Chapter) -> None:
    for name, seconds in (("GpuXid", 1.5), ("HostDown", 7.5)):
        chapter.record(*records.records(seen(name, seconds, 1.0), 9))
    assert "HostDown, took 7.5 s" in monitoring.decide(chapter).reason
    assert "2 of them were raised by recorded words" in monitoring.decide(chapter).reason


def test_an_effect_counts_as_told_only_while_its_cause_is_due() -> None:
    def event(name: str, status: str, host: str = "g") -> Event:
        return Event({"alertname": name, "host": host}, status, 0.0)

    cause, over = event(monitoring_findings.CAUSE, "firing"), event(monitoring_findings.CAUSE, "resolved")
    effect = event(monitoring_findings.EFFECT, "firing")
    assert monitoring_findings.told_beside([cause, effect, over]) == 1
    assert monitoring_findings.told_beside([cause, over, effect]) == 0
    assert monitoring_findings.told_beside([event(monitoring_findings.CAUSE, "firing", "other"), effect]) == 0
    assert monitoring_findings.told_beside([cause, event(monitoring_findings.EFFECT, "resolved")]) == 0


def test_a_dashboard_has_a_panel_for_every_line_of_the_list(chapter: Chapter) -> None:
    import json

    watch = files.deployed(chapter.profile)
    boards = {name: json.loads(text) for name, text in dashboards.files(watch).items()}
    assert len(boards) == 5
    for board in boards.values():
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(places) == len(set(places))
    told = {target["expr"] for board in boards.values() for panel in board["panels"] for target in panel["targets"]}
    assert told == set(dashboards.expressions(watch).values())


def test_a_limit_of_the_profile_is_a_line_in_its_panel(chapter: Chapter) -> None:
    import json

    panels = json.loads(dashboards.files(files.deployed(chapter.profile))["inference-engine.json"])["panels"]
    lines = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] for panel in panels}
    assert lines["First token, 95th percentile"] == chapter.profile.batching.ttft_limit_ms / 1000
    assert lines["KV cache"] == chapter.profile.monitoring.limits.kv_cache


def test_checks_of_the_programs_do_not_count_as_alerts(chapter: Chapter) -> None:
    chapter.record(Check(name="monitoring.alertmanager.valid", status="pass"))
    assert monitoring.decide(chapter).choice == "Nothing is decided"
