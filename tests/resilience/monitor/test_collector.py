"""The two small programs that are deployed: what no exporter tells, and the dead man's switch."""

import os
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lib.deploy.monitor import collector, deadman
from lib.deploy.monitor.collector import Options
from lib.deploy.monitor.deadman import Switch

OPTIONS = Options()


def say(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Put programs into the path that print this."""
    for name, text in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def values(text: str) -> dict[tuple[str, ...], float]:
    """Read what was collected with the parser of Prometheus's own client."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_ups_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ("battery.charge: 83", "battery.runtime: 512", "battery.mfr.date: 2024/02/29", "ups.status: OB LB DISCHRG")
    say(tmp_path, monkeypatch, upsc="\n".join(told))
    seen = values(collector.collect(["ups"], OPTIONS))
    assert seen["network_ups_tools_ups_status", "ups", "OB"] == 1
    assert seen["network_ups_tools_ups_status", "ups", "LB"] == 1
    assert seen["network_ups_tools_ups_status", "ups", "OL"] == 0
    assert seen["network_ups_tools_battery_runtime", "ups"] == 512
    assert seen["network_ups_tools_battery_date_seconds", "ups"] == 1709164800
    assert seen["collector_source_ok", "ups"] == 1


@pytest.mark.parametrize("date", ["", "not set", "0000/00/00", "29/02/2023"])
def test_a_battery_without_a_date_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    say(tmp_path, monkeypatch, upsc=f"ups.status: OL\nbattery.date: {date}")
    seen = values(collector.collect(["ups"], OPTIONS))
    assert seen["collector_source_ok", "ups"] == 1
    assert not [key for key in seen if "date" in key[0]]


@pytest.mark.parametrize("told", ["", "Init SSL without certificate database", "ups.status OL", "battery.charge: 100"])
def test_a_ups_that_does_not_say_its_status_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    say(tmp_path, monkeypatch, upsc=told)
    assert values(collector.collect(["ups"], OPTIONS))["collector_source_ok", "ups"] == 0


def test_one_source_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(tmp_path, monkeypatch, wg="wg0\tABCDEFGHIJK=\t1700000000\nwg0\tZYXWVUTSRQ=\t0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    seen = values(collector.collect(["snapshots", "tunnel"], OPTIONS))
    assert seen["collector_source_ok", "snapshots"] == 0
    assert seen["collector_source_ok", "tunnel"] == 1
    assert seen["wireguard_latest_handshake_seconds", "wg0", "ABCDEFGH"] == 1700000000
    assert seen["wireguard_latest_handshake_seconds", "wg0", "ZYXWVUTS"] == 0


def test_the_newest_snapshot_of_each_dataset_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(tmp_path, monkeypatch, zfs="tank/a@1\t100\ntank/a@2\t300\ntank/b@1\t200")
    seen = values(collector.collect(["snapshots"], OPTIONS))
    assert seen["snapshot_newest_timestamp_seconds", "tank/a"] == 300
    assert seen["snapshot_newest_timestamp_seconds", "tank/b"] == 200


def test_a_disk_of_sata_is_read_by_its_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "smartctl"
    path.write_text(
        '#!/bin/sh\ncase $* in *--scan*) echo \'{"devices": [{"name": "/dev/sda"}]}\';; '
        '*) echo \'{"smart_status": {"passed": false}, "ata_smart_attributes": '
        '{"table": [{"id": 177, "value": 88}]}}\'; exit 8;; esac\n'
    )
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    seen = values(collector.collect(["disks"], OPTIONS))
    assert seen["disk_health_ok", "sda"] == 0
    assert seen["disk_wear_ratio", "sda"] == pytest.approx(0.12)


def test_a_job_that_never_succeeded_is_as_old_as_can_be(tmp_path: Path) -> None:
    (tmp_path / "backup").touch()
    options = Options(markers=tmp_path, jobs=("backup", "restore-drill"))
    seen = values(collector.collect(["jobs"], options))
    assert seen["job_last_success_timestamp_seconds", "backup"] == pytest.approx(time.time(), abs=60)
    assert seen["job_last_success_timestamp_seconds", "restore-drill"] == 0


def test_the_file_is_readable_by_others_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.prom"
    argv = [sys.executable, "-IS", collector.__file__, str(file), "jobs", "--jobs", "a", "--markers", str(tmp_path)]
    subprocess.run(argv, check=True, timeout=30)
    assert oct(file.stat().st_mode & 0o777) == "0o644"
    assert values(file.read_text())["job_last_success_timestamp_seconds", "a"] == 0
    assert list(tmp_path.iterdir()) == [file]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_silence_is_told_once_and_its_end_once() -> None:
    clock, told = Clock(), list[str]()
    switch = Switch(300, told.append, clock)
    for seconds in (0, 200, 101, 10, 10):
        clock.now += seconds
        switch.look()
    assert len(told) == 1
    assert "silent for 301 s" in told[0]
    switch.beat()
    switch.look()
    switch.look()
    assert told[1:] == ["The watching at home is back"]


def test_what_was_not_delivered_is_told_again() -> None:
    clock, told, broken = Clock(), list[str](), [True]

    def tell(text: str) -> None:
        if broken[0]:
            raise OSError("no route")
        told.append(text)

    switch = Switch(10, tell, clock)
    clock.now += 11
    switch.look()
    assert told == []
    broken[0] = False
    switch.look()
    assert len(told) == 1


def test_a_sign_of_life_is_any_post() -> None:
    clock = Clock()
    switch = Switch(10, lambda _: None, clock)
    server = ThreadingHTTPServer(("127.0.0.1", 0), deadman.handler(switch))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        clock.now += 8
        assert "deadman_silent_seconds 8.000" in httpx.get(url, trust_env=False).text
        assert httpx.post(url, json={"alerts": []}, trust_env=False).status_code == 200
        assert "deadman_silent_seconds 0.000" in httpx.get(url, trust_env=False).text
    finally:
        server.shutdown()
        server.server_close()


def test_only_an_address_of_http_is_posted_to() -> None:
    with pytest.raises(OSError, match="not one of HTTP"):
        deadman.post("file:///etc/passwd", {})
