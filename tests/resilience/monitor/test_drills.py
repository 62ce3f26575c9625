"""The drills: every alert has one, each comes and goes for real, and without its rule none does."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lib.deploy.monitor import dashboards
from lib.deploy.monitor.targets import Job
from lib.resilience.monitor import alerts, judge, records, scenes, show, size
from lib.resilience.monitor.drill import Drill, Outcome, Scene, play
from lib.resilience.monitor.program import free_port
from lib.resilience.monitor.receiver import Event, Receiver, opened
from lib.resilience.monitor.scenes.engine import OVERLOAD
from lib.resilience.monitor.scenes.gpu import FAULTS, Card

ALERTS = alerts.read(alerts.reference())
ENGINE = {*OVERLOAD, "EngineDown"}
OWN = {"MessagesNotDelivered", "Watchdog"}
# Connections to programs that are halted or ended in the middle of an answer are dropped, not closed.
dropped = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
with_programs = pytest.mark.skipif(bool(judge.missing()), reason="make setup installs Prometheus and its exporters")


class Sketch:
    """A scene of a test, which needs nothing."""

    name = "sketch"

    def __init__(self, drill: Drill) -> None:
        self.drill = drill

    def open(self, folder: Path) -> None:
        return

    def close(self) -> None:
        return

    def jobs(self) -> Sequence[Job]:
        return []

    def drills(self) -> Sequence[Drill]:
        return [self.drill]


@pytest.fixture(scope="module")
def listed() -> list[Scene]:
    return scenes.scenes()


@pytest.mark.lab
@with_programs
@dropped
@pytest.mark.timeout(300)
def test_every_alert_arrives_and_ends(tmp_path: Path, listed: list[Scene]) -> None:
    played = show.possible(listed)
    with show.opened_show(tmp_path, played, wait_s=40) as running:
        outcomes = running.play()
        live = [
            place
            for place, text in dashboards.expressions(running.stack.watch).items()
            if not place.startswith("Engine") and not running.stack.query(f"last_over_time(({text})[10m:1s])")
        ]
        chats, mails = list(running.receiver.chats), list(running.receiver.mails)
    assert [item.alert for item in outcomes if item.fired_s is None or item.cleared_s is None] == []
    left_out = ENGINE if len(played) == len(listed) else ENGINE | {"DiskFilling", "DiskFull", "DiskReadOnly"}
    assert {item.alert for item in outcomes} == ALERTS.keys() - left_out, "an alert without a drill"
    assert live == [], "panels without data"
    for texts in (chats, mails):
        assert any("UpsOnBattery" in text for text in texts)
        assert any("The host stops by itself before the battery ends" in text for text in texts)


@pytest.mark.lab
@with_programs
@dropped
@pytest.mark.timeout(300)
def test_without_its_rule_no_alert_comes(tmp_path: Path) -> None:
    played = show.possible(scenes.scenes())
    with show.opened_show(tmp_path, played, wait_s=6, without_rules=True) as running:
        outcomes = running.play()
    assert len(outcomes) > 30
    assert [item.alert for item in outcomes if item.fired_s is not None] == []
    found = records.records(outcomes, 6)
    assert {record.name for record in found} == {"monitoring.alert.seen"}
    assert {getattr(record, "status", "") for record in found} == {"fail"}


def test_the_drills_name_every_alert_of_the_rules() -> None:
    cards = {fault.alert for fault in FAULTS}
    assert cards == {name for name in ALERTS if name.startswith("Gpu")}
    assert {name for name in ALERTS if name.startswith("Engine")} == ENGINE


def test_an_alert_without_a_drill_is_a_failed_check() -> None:
    outcomes = [Outcome(name, "s", "f", "real", 1.0, 1.0) for name in ALERTS]
    assert records.every_alert(list(ALERTS), outcomes, []).status == "pass"
    check = records.every_alert([*ALERTS, "NewAlert"], outcomes, [])
    assert (check.status, check.observed) == ("fail", f"{len(ALERTS)} of {len(ALERTS) + 1}; not seen: NewAlert")
    assert records.every_alert(list(ALERTS), outcomes[1:], ["HostDown"]).status == "skip"


def test_an_alert_that_does_not_end_is_a_failed_check() -> None:
    found = records.records([Outcome("X", "s", "f", "recorded", 2.0, None)], 5)
    assert [record.name for record in found] == ["alert.fired_seconds", "monitoring.alert.seen"]
    check = found[-1]
    assert getattr(check, "status", "") == "fail"
    assert "not over within 5 s" in getattr(check, "observed", "")


def test_a_drill_waits_for_its_own_host_and_name_only() -> None:
    receiver = Receiver()

    def cause() -> None:
        now = time.monotonic()
        receiver.events += [
            Event({"alertname": "Other", "host": "sketch"}, "firing", now),
            Event({"alertname": "Mine", "host": "elsewhere"}, "firing", now),
        ]

    mended: list[bool] = []
    drill = Drill(("Mine",), "nothing", cause, lambda: mended.append(True))
    (outcome,) = play([Sketch(drill)], receiver, 0.2)
    assert (outcome.fired_s, outcome.cleared_s) == (None, None)
    assert mended == [True]


def test_the_fault_is_mended_even_when_bringing_it_about_fails() -> None:
    mended: list[bool] = []

    def cause() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        play([Sketch(Drill(("A",), "f", cause, lambda: mended.append(True)))], Receiver(), 0.1)
    assert mended == [True]


def test_a_message_that_came_before_the_fault_does_not_count() -> None:
    receiver = Receiver()
    receiver.events.append(Event({"alertname": "A", "host": "sketch"}, "firing", time.monotonic()))
    (outcome,) = play([Sketch(Drill(("A",), "f", lambda: None, lambda: None))], receiver, 0.2)
    assert outcome.fired_s is None


def test_a_card_is_well_again_but_its_counter_does_not_go_back() -> None:
    (fault,) = [fault for fault in FAULTS if fault.alert == "GpuPcieErrors"]
    card = Card(fault)
    before = dict(card.exporter.series)
    (drill,) = card.drills()
    drill.cause()
    drill.end()
    changed = {name for name, value in card.exporter.series.items() if before[name] != value}
    assert [name.partition("{")[0] for name in changed] == ["DCGM_FI_DEV_PCIE_REPLAY_COUNTER"]


def test_the_receiver_takes_mail_and_chat(tmp_path: Path) -> None:
    import smtplib

    import httpx

    with opened() as receiver:
        with smtplib.SMTP("127.0.0.1", receiver.mail_port, timeout=5) as sender:
            sender.sendmail("a@example.org", ["b@example.org"], "Subject: x\r\n\r\nbody")
        receiver.refused = "bad"
        statuses = [
            httpx.post(f"{receiver.url}/botx/sendMessage", json={"text": text}, trust_env=False).status_code
            for text in ("good", "bad news")
        ]
    assert statuses == [200, 500]
    assert receiver.chats == ["good"]
    assert "body" in receiver.mails[0]


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)


def test_storage_grows_with_series_and_days() -> None:
    from lib.core.sections.monitoring import Monitoring

    told = Monitoring(scrape_s=15, retention_days=90, storage_gb=10)
    need = size.need(2000, told)
    assert need.gigabytes == pytest.approx(2000 * 5760 * 90 * 2 * 1.3 / 1e9)
    assert size.days(2000, told) == pytest.approx(90 * 10 / need.gigabytes)
    assert size.need(2000, told.model_copy(update={"scrape_s": 30})).gigabytes == pytest.approx(need.gigabytes / 2)
