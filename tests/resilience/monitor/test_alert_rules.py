"""The rules: every alert has its case, promtool agrees, and notices when a rule is gone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib.core import profile
from lib.core.errors import RunbookError
from lib.deploy.monitor import files, inhibit, pace
from lib.lab.tools import find
from lib.resilience.monitor import alerts, judge, unit

ALERTS = alerts.read(alerts.reference())
with_prometheus = pytest.mark.skipif(find("promtool") is None, reason="make setup installs Prometheus")


@with_prometheus
def test_every_alert_is_due_when_it_must_be_and_not_before(tmp_path: Path) -> None:
    check = judge.cases(tmp_path)
    assert (check.status, check.observed) == ("pass", "no error")
    assert "44 alerts" in check.title


@with_prometheus
def test_without_its_rule_every_case_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "OBSERVED", 10**6)
    check = judge.cases(tmp_path, without_rules=True)
    assert check.status == "fail"
    assert [name for name in ALERTS if f"alertname: {name}, time:" not in check.observed] == []


@with_prometheus
@pytest.mark.parametrize(
    ("was", "becomes", "red"),
    [
        ("DCGM_FI_DEV_GPU_TEMP >= 83", "DCGM_FI_DEV_GPU_TEMP >= 80", "GpuHot"),
        ("for: 5m", "for: 10m", "HostHot"),
        ("/ 64) % 2", "/ 4) % 2", "GpuThrottled"),
        ('status=~"5.."', 'status=~"[45].."', "GatewayErrors"),
    ],
)
def test_a_changed_rule_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was: str, becomes: str, red: str
) -> None:
    whole = files.rules

    def changed(watch: files.Watch) -> dict[str, str]:
        return {name: text.replace(was, becomes) for name, text in whole(watch).items()}

    one = {red: unit.cases()[red]}
    assert judge.cases(tmp_path, one).status == "pass"
    monkeypatch.setattr(files, "rules", changed)
    check = judge.cases(tmp_path, one)
    assert check.status == "fail"
    assert red in check.observed


def test_every_alert_has_a_case_that_is_due_and_one_that_is_quiet() -> None:
    cases = unit.cases()
    assert list(cases) == list(ALERTS)
    assert [name for name, case in cases.items() if "quiet" not in case] == ["Watchdog"]


def test_an_alert_without_a_case_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {name: case for name, case in unit.cases().items() if name != "GpuXid"}
    monkeypatch.setattr(unit, "cases", lambda: fewer)
    check = judge.cases(tmp_path)
    assert check.status == "fail"
    assert check.observed == "no case: GpuXid"


@pytest.mark.parametrize("alert", ALERTS.values(), ids=list(ALERTS))
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert: alerts.Alert) -> None:
    assert alert.severity in ("none", "warning", "critical")
    assert alert.labels["area"]
    assert len(alert.summary) > 15
    assert len(alert.fix) > 10


def test_inhibitions_name_alerts_that_there_are() -> None:
    named = {name for rule in inhibit.INHIBITIONS for name in (rule.cause, *rule.effects)}
    assert named <= ALERTS.keys()
    assert not [rule.cause for rule in inhibit.INHIBITIONS if rule.cause in rule.effects]


def test_no_two_alerts_hold_each_other_back() -> None:
    pairs = {(rule.cause, effect) for rule in inhibit.INHIBITIONS for effect in rule.effects}
    assert not [pair for pair in pairs if pair[::-1] in pairs]


@with_prometheus
@pytest.mark.parametrize("name", profile.names())
def test_the_programs_accept_the_files_of_every_profile(tmp_path: Path, name: str) -> None:
    checks = judge.syntax(files.deployed(profile.load(name)), tmp_path)
    assert {check.name for check in checks} == {
        f"monitoring.{part}.valid" for part in ("prometheus", "blackbox", "alertmanager")
    }
    assert [check.observed for check in checks] == ["no error"] * 3


@with_prometheus
@pytest.mark.parametrize("file", [files.PROMETHEUS, files.ALERTS, files.BLACKBOX, files.ALERTMANAGER])
def test_a_broken_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    whole = files.watching
    monkeypatch.setattr(files, "watching", lambda watch: whole(watch) | {file: whole(watch)[file] + "\nnonsense: {"})
    checks = judge.syntax(files.deployed(profile.load("embedded")), tmp_path)
    assert [check.status for check in checks].count("fail") == 1


MESSAGES = {
    "monitoring.messages.telegram_chat": 4711,
    "monitoring.messages.webhook": True,
    "monitoring.messages.mail": {
        "to": "a@example.org",
        "sender": "b@example.org",
        "smarthost": "mx.example.org:587",
        "user": "b",
    },
}


def test_secrets_stand_in_files_only() -> None:
    text = files.watching(files.deployed(profile.load("embedded", MESSAGES)))[files.ALERTMANAGER]
    named = [line.split(":", 1)[1].strip() for line in text.splitlines() if "_file:" in line]
    assert named == [f"/etc/prometheus/secrets/{way}" for way in ("telegram", "mail", "webhook")]
    assert "password:" not in text
    assert "bot_token:" not in text


@with_prometheus
def test_an_alertmanager_that_knows_no_secret_files_is_a_visible_skip(tmp_path: Path) -> None:
    version = judge.ask("amtool", "--version").words
    old = "version 0.25" in version
    (check,) = [
        one
        for one in judge.syntax(files.deployed(profile.load("embedded", MESSAGES)), tmp_path)
        if one.name == "monitoring.alertmanager.valid"
    ]
    assert check.status == ("skip" if old else "pass")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"monitoring.limits.kv_cache": 1.5}, "monitoring.limits.kv_cache"),
        ({"monitoring.limts.kv_cache": 0.5}, "did you mean: monitoring.limits"),
        ({"monitoring.messages.mail": {"to": "a", "sender": "b", "smarthost": "no-port"}}, "smarthost"),
    ],
)
def test_a_wrong_setting_is_bad_input(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(RunbookError, match=says.replace(".", r"\.")):
        profile.load("embedded", settings)


def test_only_times_differ_between_a_host_and_a_drill() -> None:
    here = alerts.reference()
    fast = alerts.read(replace(here, pace=pace.DRILL))
    assert list(fast) == list(ALERTS)
    for name, alert in fast.items():
        assert alert.hold_s <= 1
        assert (alert.labels, alert.summary, alert.fix) == (ALERTS[name].labels, ALERTS[name].summary, ALERTS[name].fix)


@pytest.mark.parametrize(
    ("given", "written"), [(7200, "2h"), (90, "90s"), (0.25, "250ms"), (86400, "1d"), (0, "0s"), (300, "5m")]
)
def test_durations(given: float, written: str) -> None:
    assert pace.duration(given) == written
    assert alerts.seconds(written) == given


def test_a_card_without_a_power_limit_is_not_watched_for_one() -> None:
    assert "GpuPowerLimitLost" not in alerts.read(files.deployed(profile.load("embedded")))
    assert "GpuPowerLimitLost" in alerts.read(files.deployed(profile.load("rtx-pro-6000")))
