"""The concern: what each host gets, what it does not, and that systemd reads its units."""

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from lib.core import profile
from lib.core.sections.hosts import HostRole
from lib.deploy import monitoring
from lib.deploy.concerns import concerns, things
from lib.deploy.monitor import collector
from lib.deploy.resources import File, Folder, Packages, Unit
from lib.deploy.site import Site
from lib.lab.tools import find

KEY = "A" * 43 + "="
MESSAGES = {"monitoring.messages.telegram_chat": 4711, "monitoring.messages.webhook": True}


def site(role: HostRole, name: str = "rtx-pro-6000", **settings: object) -> Site:
    chosen = profile.load(name, settings)
    known = {peer.name: KEY for peer in (*chosen.bastion.homes, *chosen.bastion.gates)}
    return Site(chosen, "vps" if role == "vps" else "home", role, public_keys=known)


def files(place: Site) -> dict[str, File]:
    return {item.path: item for item in monitoring.resources(place) if isinstance(item, File)}


@pytest.mark.parametrize("role", ["home", "vps"])
def test_the_concern_is_of_both_hosts(role: HostRole) -> None:
    assert "monitoring" in [concern.name for concern in concerns(site(role))]


@pytest.mark.parametrize("role", ["home", "vps"])
def test_every_thing_is_named_once_and_says_why(role: HostRole) -> None:
    items = monitoring.resources(site(role))
    keys = [item.key for item in items]
    assert len(keys) == len(set(keys))
    assert [item.key for item in items if not item.about.reason and not isinstance(item, Unit)] == []


def test_home_watches_and_a_vps_waits() -> None:
    home, vps = files(site("home")), files(site("vps"))
    assert "/etc/prometheus/prometheus.yml" in home
    assert "/etc/prometheus/prometheus.yml" not in vps
    assert "/etc/systemd/system/inference-deadman.service" in vps
    assert "/etc/systemd/system/inference-deadman.service" not in home


@pytest.mark.parametrize("role", ["home", "vps"])
def test_nothing_listens_for_everybody(role: HostRole) -> None:
    told = [file.content for path, file in files(site(role)).items() if path.startswith("/etc/default/")]
    assert told
    address = "127.0.0.1" if role == "home" else "10.66.0.1"
    assert all(f"--web.listen-address={address}:" in text for text in told)


def test_a_vps_that_no_tunnel_leads_to_gets_nothing() -> None:
    alone = Site(profile.load("embedded", {"hosts": {"vps": {"role": "vps"}}}), "vps", "vps")
    assert monitoring.resources(alone) == []
    assert monitoring.probes(alone) == []
    unmet = Site(profile.load("rtx-pro-6000"), "vps", "vps")
    assert monitoring.resources(unmet) == []


@pytest.mark.parametrize("role", ["home", "vps"])
def test_exporters_are_started_until_what_they_need_is_there(role: HostRole) -> None:
    for package in ("prometheus-node-exporter", "prometheus-nginx-exporter"):
        text = files(site(role))[f"/etc/systemd/system/{package}.service.d/patient.conf"].content
        assert ("After=wg-quick@wg0.service" in text) is (role == "vps")
        assert "Restart=always" in text


def test_no_file_of_a_secret_is_written() -> None:
    items = monitoring.resources(site("home", **MESSAGES))
    folders = {item.path: item for item in items if isinstance(item, Folder)}
    assert folders["/etc/prometheus/secrets"].mode == "750"
    assert not [path for path in files(site("home", **MESSAGES)) if path.startswith("/etc/prometheus/secrets")]


def test_without_a_card_there_is_no_exporter_of_cards() -> None:
    assert not [path for path in files(site("home", "embedded")) if "dcgm" in path]
    assert [path for path in files(site("home")) if "dcgm" in path]


def test_a_ups_is_asked_only_where_one_is_expected() -> None:
    unit = "/etc/systemd/system/inference-collector.service"
    assert " ups tunnel " in files(site("home"))[unit].content
    assert " ups tunnel" not in files(site("home", "embedded"))[unit].content
    assert unit not in files(site("vps")), "its tunnel has laptops too, which come and go"


@pytest.mark.parametrize("name", ["embedded", "rtx-pro-6000"])
def test_the_collector_understands_what_its_unit_tells_it(tmp_path: Path, name: str) -> None:
    text = files(site("home", name))["/etc/systemd/system/inference-collector.service"].content
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    _, _, _, *words = line.split()
    words = ["0" if before == "--every" else word for before, word in pairwise(["", *words])]
    collector.main([str(tmp_path / "inference.prom"), *words])
    assert "collector_last_run_timestamp_seconds" in (tmp_path / "inference.prom").read_text()


def test_the_switch_reads_tokens_as_credentials() -> None:
    text = files(site("vps", **MESSAGES))["/etc/systemd/system/inference-deadman.service"].content
    assert "LoadCredential=webhook:/etc/prometheus/secrets/webhook\n" in text
    assert "LoadCredential=telegram:/etc/prometheus/secrets/telegram\n" in text
    assert "--telegram 4711 %d/telegram" in text


def test_packages_are_in_the_repository_of_the_twins() -> None:
    from lib.lab import settings

    wanted = {name for item in monitoring.resources(site("home")) if isinstance(item, Packages) for name in item.names}
    assert wanted <= {*settings.load().repository, *settings.load().image}


@pytest.mark.skipif(find("systemd-analyze") is None, reason="make setup installs systemd")
@pytest.mark.parametrize("role", ["home", "vps"])
def test_systemd_reads_the_units(tmp_path: Path, role: HostRole) -> None:
    units = {path: file for path, file in files(site(role, **MESSAGES)).items() if path.endswith(".service")}
    for path, file in units.items():
        place = tmp_path / Path(path).name
        place.write_text(file.content.replace("/usr/bin/docker", "/bin/true").replace("Requires=docker.service\n", ""))
        argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(place)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert [line for line in (done.stdout + done.stderr).splitlines() if place.name in line] == []


@pytest.mark.parametrize("role", ["home", "vps"])
def test_the_account_is_there_before_the_packages_that_would_make_it_and_leave_it_behind(role: HostRole) -> None:
    place = site(role)
    ordered = [item for concern in concerns(place) for item in things(concern, place)]
    keys = [item.key for item in ordered]
    assert keys.count("account prometheus") == 1
    installed = next(at for at, item in enumerate(ordered) if isinstance(item, Packages))
    assert keys.index("account prometheus") < installed


@pytest.mark.parametrize(
    ("listening", "told"),
    [
        (("127.0.0.1:9090", "127.0.0.1:9100", "0.0.0.0:22"), "0"),
        (("127.0.0.1:9090", "0.0.0.0:9100"), "1"),
        (("0.0.0.0:22",), "nothing listens"),
        ((), "nothing listens"),
    ],
)
def test_what_listens_for_others_is_counted_and_silence_is_no_pass(
    tmp_path: Path, listening: tuple[str, ...], told: str
) -> None:
    (question,) = [probe.script for probe in monitoring.probes(site("home")) if probe.name == "loopback"]
    lines = "".join(f"LISTEN 0 128 {address} *:*\\n" for address in listening)
    (tmp_path / "ss").write_text(f"#!/bin/sh\nprintf '{lines}'\n")
    (tmp_path / "ss").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", question], env=path, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() == told
