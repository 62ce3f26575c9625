"""The backup's concern: what a host gets, that systemd accepts it, and that no secret is in it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.deploy import backup
from lib.deploy.resources import File, Secret, Unit
from lib.deploy.site import Site
from lib.deploy.template import render
from lib.resilience.backup import ledger

ZFS: dict[str, Any] = {"backup.zfs": {"datasets": ["tank/state", "tank/home"], "replicate_to": "backup@nas:pool/home"}}
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="apt-get install systemd")


def site(name: str = "rtx-pro-6000", **more: Any) -> Site:
    return Site(profiles.load(name, more), "home", "home")


def files(place: Site) -> dict[str, str]:
    return {item.path: item.content for item in backup.resources(place) if isinstance(item, File)}


def test_a_host_gets_three_timers_a_target_and_a_password_of_its_own() -> None:
    found = backup.resources(site())
    timers = {item.name for item in found if isinstance(item, Unit)}
    assert timers == {f"inference-backup-{kind}-{name}.timer" for kind in backup.KINDS for name in ("disk", "nas")}
    secrets = {item.path for item in found if isinstance(item, Secret)}
    assert secrets == {"/etc/inference-backup/disk.password", "/etc/inference-backup/nas.password"}
    assert len({item.key for item in found}) == len(found)


def test_without_a_target_there_is_nothing() -> None:
    assert backup.resources(site(**{"backup.targets": {}})) == []
    assert backup.probes(site(**{"backup.targets": {}})) == []


def test_what_the_profile_keeps_in_the_project_is_in_a_place_of_the_host() -> None:
    text = files(site("embedded"))["/etc/systemd/system/inference-backup-now-here.service"]
    assert "--set backup.targets.here.password_file=/etc/inference-backup/here.password" in text
    assert "--set backup.targets.here.address=/var/lib/inference-backup/here" in text
    words = re.findall(r"--set (\S+)", text)
    chosen = profiles.load("embedded", dict(profiles.parse_override(word) for word in words))
    assert chosen.backup.targets["here"].address == "/var/lib/inference-backup/here"


def test_the_units_commands_are_those_of_the_command_line() -> None:
    from typer.main import get_command

    from lib.resilience.backup.commands import app

    known = set(getattr(get_command(app), "commands"))  # noqa: B009
    assert set(backup.KINDS) <= known


def test_times_are_the_profiles() -> None:
    found = files(site(**{"backup.every_min": 15, "backup.drill_at": "*-*-05 01:00"}))
    assert "OnUnitInactiveSec=15min" in found["/etc/systemd/system/inference-backup-now-nas.timer"]
    assert "OnCalendar=*-*-05 01:00" in found["/etc/systemd/system/inference-backup-drill-nas.timer"]


@needs_systemd
@pytest.mark.parametrize("kind", list(backup.KINDS))
def test_systemd_understands_the_units_and_they_are_hardened(tmp_path: Path, kind: str) -> None:
    found = files(site())
    for form in ("service", "timer"):
        name = f"inference-backup-{kind}-nas.{form}"
        text = found[f"/etc/systemd/system/{name}"].replace("/opt/inference/.venv/bin/python", sys.executable)
        (tmp_path / name).write_text(text)
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    assert faults(*paths) == []
    limit = f"--threshold={backup.EXPOSURE_LIMIT * 10:.0f}"
    assert analyze("security", "--offline=true", limit, next(p for p in paths if p.endswith("service"))).returncode == 0


@needs_systemd
def test_a_mistake_in_a_unit_is_found(tmp_path: Path) -> None:
    text = files(site())["/etc/systemd/system/inference-backup-now-nas.timer"]
    (tmp_path / "x.service").write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / "x.timer").write_text(text.replace("OnUnitInactiveSec", "OnUnitInactiveSex"))
    assert faults(str(tmp_path / "x.timer"))


@needs_systemd
@pytest.mark.parametrize("template", ["restic/append-only.service.j2", "sanoid/scrub.service.j2"])
def test_the_other_units_are_understood(tmp_path: Path, template: str) -> None:
    text = render(template, address="127.0.0.1:8000", pool="tank")
    text = re.sub(r"/usr/(s?bin)/(rclone|zpool)", "/bin/true", text)
    (tmp_path / "other.service").write_text(text)
    assert faults(str(tmp_path / "other.service")) == []


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


def faults(*paths: str) -> list[str]:
    done = analyze("verify", "--man=no", "--recursive-errors=no", *paths)
    names = {Path(path).name for path in paths}
    return [line for line in (done.stdout + done.stderr).splitlines() if any(name in line for name in names)]


def test_a_host_with_zfs_gets_snapshots_replication_and_scrubs() -> None:
    found = backup.resources(site(**ZFS))
    names = {item.name for item in found if isinstance(item, Unit)}
    assert names >= {"sanoid.timer", "inference-syncoid.timer", "inference-scrub-tank.timer"}
    policy = files(site(**ZFS))["/etc/sanoid/sanoid.conf"]
    assert "[tank/state]\n\tuse_template = inference" in policy
    assert "frequent_period = 30" in policy
    sent = files(site(**ZFS))["/etc/systemd/system/inference-syncoid.service"]
    assert "tank/state backup@nas:pool/home/tank-state" in sent


def test_no_two_programs_tell_the_same_job() -> None:
    """node_exporter gives nothing at all when two files tell the same series."""
    told = ledger.metrics({"nas": ledger.Entry()})
    for name in profiles.names():
        watched = profiles.load(name).monitoring.jobs
        assert [job for job in watched if f'name="{job}"' in told] == []


def test_without_another_host_nothing_is_replicated() -> None:
    more = {"backup.zfs": {"datasets": ["tank/state"]}}
    assert not [path for path in files(site(**more)) if "syncoid" in path]


@pytest.mark.parametrize("target", ["nas", "root@nas", "a@b:c; rm", "a@b:/x"])
def test_a_replication_to_nowhere_is_refused(target: str) -> None:
    with pytest.raises(RunbookError, match=r"replicate_to"):
        site(**{"backup.zfs": {"datasets": ["t/s"], "replicate_to": target}})


# Of sanoid 2.1's own sanoid.defaults.conf: those that this policy may use.
SETTINGS = (
    *("use_template", "recursive", "frequent_period", "autosnap", "autoprune"),
    *("frequently", "hourly", "daily", "weekly", "monthly", "yearly"),
)


def test_the_policy_has_only_settings_that_sanoid_knows(tmp_path: Path) -> None:
    text = files(site(**ZFS))["/etc/sanoid/sanoid.conf"]
    used = re.findall(r"^\s*([a-z_]+) =", text, re.M)
    assert used
    assert [name for name in used if name not in SETTINGS] == []


@pytest.mark.skipif(not shutil.which("sanoid"), reason="apt-get install sanoid")
@pytest.mark.parametrize(("old", "new", "known"), [("", "", True), ("autosnap", "autosnop", False)])
def test_sanoids_own_parser_takes_the_policy(tmp_path: Path, old: str, new: str, known: bool) -> None:
    text = files(site(**ZFS))["/etc/sanoid/sanoid.conf"].replace("\trecursive = yes\n", "")
    (tmp_path / "sanoid.conf").write_text(text.replace(old, new) if old else text)
    (tmp_path / "sanoid.defaults.conf").write_bytes(Path("/usr/share/sanoid/sanoid.defaults.conf").read_bytes())
    argv = ["sanoid", "--configdir", str(tmp_path), "--verbose", "--readonly", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*argv, "--run-dir", str(tmp_path / "run")], capture_output=True, text=True, timeout=60, check=False
    )
    assert ("I don't understand the setting" not in done.stderr) == known
