"""The watching on the hosts: Prometheus at home, exporters everywhere, a dead man's switch on a VPS."""

from collections.abc import Iterator
from pathlib import Path

from lib.deploy.bastion import tunnel
from lib.deploy.monitor import collector, dashboards, deadman, files, targets
from lib.deploy.resources import Account, File, Folder, Packages, Resource, Unit
from lib.deploy.resources.base import About
from lib.deploy.site import Probe, Site
from lib.deploy.template import render

UNITS = "/etc/systemd/system"
PROGRAMS = "/usr/local/lib/inference-monitor"
TEXT = "/var/lib/prometheus/node-exporter"
BOARDS = "/var/lib/grafana/dashboards"
DEFAULTS = "/etc/default"
SOURCE = "https://prometheus.io/docs/prometheus/latest/configuration/configuration/"


def resources(site: Site) -> list[Resource]:
    """Return what watches a host; home watches all, and a VPS watches home.

    A VPS is asked through the tunnel and listens on its address there: without a tunnel nobody could ask, so it gets
    nothing.
    """
    if not _asked(site):
        return []
    own = [*_ground(site), *_exporter(site)]
    return [*own, *([*_collector(site), *_home(site)] if site.role == "home" else _vps(site))]


def _asked(site: Site) -> bool:
    return site.role == "home" or (tunnel.wanted(site) and tunnel.introduced(site))


def _packages(site: Site) -> tuple[str, ...]:
    everywhere = ("prometheus-node-exporter", "prometheus-nginx-exporter", "python3")
    home = ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "smartmontools")
    return (*everywhere, *home) if site.role == "home" else everywhere


def _ground(site: Site) -> Iterator[Resource]:
    yield Account(
        "prometheus",
        "/var/lib/prometheus",
        about=About("The account of all of them; the packages would make it and leave it behind."),
    )
    yield Packages(_packages(site), about=About("From the distribution: updates come with all others.", SOURCE))
    yield Folder(PROGRAMS, about=About("Small programs of the watching."))


def _listens(site: Site, port: int) -> str:
    """Return where an exporter listens: on this machine at home, on its tunnel address on a VPS."""
    return f"{_address(site)}:{port}"


def _address(site: Site) -> str:
    if site.role == "home" or site.lab:
        return targets.HERE
    named = {gate.name: gate.tunnel for gate in site.profile.bastion.gates}
    return named.get(site.host, site.profile.bastion.gates[0].tunnel)


def _service(package: str, arguments: str, *reads: str, why: str) -> Iterator[Resource]:
    path = f"{DEFAULTS}/{package}"
    yield File(path, f'ARGS="{arguments}"\n', about=About(why))
    yield Unit(f"{package}.service", reads=(path, *reads), about=About(why))


def _patient(site: Site, package: str) -> Iterator[File | Folder]:
    """Let an exporter wait for what it needs: the tunnel's address on a VPS, nginx; its package gives up in seconds."""
    folder = f"{UNITS}/{package}.service.d"
    yield Folder(folder, about=About("Where settings of the exporter's unit are added."))
    after = "After=wg-quick@wg0.service\n" if site.role == "vps" else ""
    yield File(
        f"{folder}/patient.conf",
        f"[Unit]\n{after}StartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=5\n",
        about=About("It is started again until what it needs is there."),
    )


def _exporter(site: Site) -> Iterator[Resource]:
    points = site.profile.monitoring.mount_points.replace("$", "\\$")
    yield Folder(TEXT, about=About("Where the collector writes."))
    yield from _patient(site, "prometheus-node-exporter")
    yield from _service(
        "prometheus-node-exporter",
        f"--web.listen-address={_listens(site, targets.NODE)} --collector.textfile.directory={TEXT} "
        f"--collector.filesystem.mount-points-exclude={points}",
        f"{UNITS}/prometheus-node-exporter.service.d/patient.conf",
        why="Numbers of the host, for nobody but Prometheus.",
    )
    # Two dashes, as releases from 1.0 want it. Those before end where nginx is not there yet, and systemd tries again.
    yield from _patient(site, "prometheus-nginx-exporter")
    status = f"http://{targets.HERE}:{site.profile.bastion.status_port}/stub_status"
    yield from _service(
        "prometheus-nginx-exporter",
        f"--web.listen-address={_listens(site, targets.NGINX)} --nginx.scrape-uri={status}",
        f"{UNITS}/prometheus-nginx-exporter.service.d/patient.conf",
        why="Numbers of nginx.",
    )


def _collector(site: Site) -> Iterator[Resource]:
    program, unit = f"{PROGRAMS}/collector.py", f"{UNITS}/inference-collector.service"
    monitoring = site.profile.monitoring
    yield Folder(monitoring.markers.rpartition("/")[0], about=About("State of the runbook's services."))
    yield Folder(monitoring.markers, about=About("Jobs touch a file here when they have succeeded."))
    yield File(program, Path(collector.__file__).read_text(), about=About("What no exporter tells."))
    yield File(
        unit,
        render(
            "prometheus/collector.service.j2",
            program=program,
            file=f"{TEXT}/inference.prom",
            folder=TEXT,
            sources=_sources(site),
            every=monitoring.scrape_s,
            m=monitoring,
        ),
        about=About("Looks at UPS, tunnel, snapshots, disks and backups."),
    )
    yield Unit("inference-collector.service", reads=(program, unit), about=About("All the time."))


def _sources(site: Site) -> list[str]:
    """Return what is looked at. Of the tunnel only home's side: a VPS also has laptops, which come and go."""
    return [*(["ups"] if site.profile.host.ups else []), "tunnel", "snapshots", "disks", "jobs"]


def _home(site: Site) -> Iterator[Resource]:
    watch = files.deployed(site.profile)
    monitoring = site.profile.monitoring
    texts = files.watching(watch)
    yield Folder(files.FOLDER, about=About("Files of the watching."))
    yield Folder(
        files.SECRETS,
        "750",
        group="prometheus",
        about=About("Token, password and address of the ways to the owner: he puts them here, nothing else has them."),
    )
    for name, text in texts.items():
        yield File(f"{files.FOLDER}/{name}", text, about=About("Rendered from the profile.", SOURCE))
    paths = {name: f"{files.FOLDER}/{name}" for name in texts}
    yield from _service(
        "prometheus",
        f"--web.listen-address={_listens(site, targets.PROMETHEUS)} "
        f"--storage.tsdb.retention.time={monitoring.retention_days}d "
        f"--storage.tsdb.retention.size={round(monitoring.storage_gb * 1000)}MB",
        *(paths[name] for name in (files.PROMETHEUS, files.RULES, files.ALERTS)),
        why="Asks everybody, and keeps as much as the profile says.",
    )
    yield from _service(
        "prometheus-alertmanager",
        f"--web.listen-address={_listens(site, targets.ALERTMANAGER)} --cluster.listen-address=",
        *(paths[name] for name in (files.ALERTMANAGER, files.MESSAGE)),
        why="Tells the owner, once a fault.",
    )
    yield from _service(
        "prometheus-blackbox-exporter",
        f"--config.file={paths[files.BLACKBOX]} --web.listen-address={_listens(site, targets.BLACKBOX)}",
        paths[files.BLACKBOX],
        why="Asks the public address as clients do.",
    )
    yield from _boards(site)
    yield from _cards(site)


def _boards(site: Site) -> Iterator[Resource]:
    yield Folder("/var/lib/grafana", about=About("Grafana's own folder, whether it is installed or not."))
    yield Folder(BOARDS, about=About("Dashboards, for a Grafana that is told to read this folder."))
    for name, text in dashboards.files(files.deployed(site.profile)).items():
        yield File(f"{BOARDS}/{name}", text, about=About("A dashboard."))


def _cards(site: Site) -> Iterator[Resource]:
    """Yield what tells of cards; a twin has neither a card nor Docker."""
    if site.profile.hardware != "cuda":
        return
    counters, unit = f"{files.FOLDER}/{files.COUNTERS}", f"{UNITS}/inference-dcgm.service"
    yield File(counters, files.counters(), about=About("Which numbers of a card are wanted."))
    yield File(
        unit,
        render(
            "prometheus/dcgm.service.j2",
            counters=counters,
            port=targets.DCGM,
            image=site.profile.monitoring.dcgm_image,
        ),
        about=About("NVIDIA's exporter, in its container."),
    )
    yield Unit("inference-dcgm.service", running=None if site.lab else True, reads=(unit, counters))


def _vps(site: Site) -> Iterator[Resource]:
    monitoring = site.profile.monitoring
    program, unit = f"{PROGRAMS}/deadman.py", f"{UNITS}/inference-deadman.service"
    messages = monitoring.messages
    ways = [
        *(["webhook"] if messages.webhook else []),
        *(["telegram"] if messages.telegram_chat else []),
    ]
    yield Folder(files.FOLDER, about=About("Files of the watching."))
    yield Folder(files.SECRETS, "700", about=About("The same files as at home: the switch tells by itself."))
    yield File(program, Path(deadman.__file__).read_text(), about=About("Waits for signs of life from home."))
    yield File(
        unit,
        render(
            "prometheus/deadman.service.j2",
            program=program,
            host=_address(site),
            m=monitoring,
            ways=ways,
            secrets=files.SECRETS,
        ),
        about=About("A house without power tells nobody: somebody else has to."),
    )
    # Credentials that are not there yet keep it from starting; the owner's files come first.
    yield Unit(
        "inference-deadman.service",
        running=None if ways and site.lab else True,
        reads=(program, unit),
        about=About("At every boot."),
    )


def probes(site: Site) -> list[Probe]:
    """Return the questions to a host that is watched."""
    if not _asked(site):
        return []
    metric = "collector_last_run_timestamp_seconds" if site.role == "home" else "node_load1"
    everywhere = [
        Probe(
            "node",
            "The host tells its numbers, at home with what was collected",
            f"for i in $(seq 20); do curl -s http://{_listens(site, targets.NODE)}/metrics | "
            f"grep -m1 '^{metric} ' && break; sleep 1; done | cut -d' ' -f1",
            metric,
        )
    ]
    if site.role != "home":
        port = site.profile.monitoring.deadman_port
        switch = Probe(
            "deadman",
            "The dead man's switch waits",
            f"curl -s http://{_address(site)}:{port}/metrics | grep -m1 '^deadman' | cut -d' ' -f1",
            "deadman_silent_seconds",
        )
        return [*everywhere, switch]
    return [
        *everywhere,
        Probe(
            "rules",
            "promtool accepts the files",
            f"promtool check config {files.FOLDER}/{files.PROMETHEUS} >/dev/null && echo good",
            "good",
        ),
        Probe(
            "ways",
            "amtool accepts the files",
            f"amtool check-config {files.FOLDER}/{files.ALERTMANAGER} >/dev/null && echo good",
            "good",
        ),
        Probe(
            "watchdog",
            "Alertmanager has the sign of life that Prometheus sends",
            f"for i in $(seq 60); do curl -s http://{_listens(site, targets.ALERTMANAGER)}/api/v2/alerts | "
            "grep -o -m1 Watchdog | head -1 | grep . && break; sleep 1; done",
            "Watchdog",
        ),
        Probe(
            "loopback",
            "Nothing of it listens for others",
            "ss -Hltn | awk '$4 ~ /:(9090|9093|9100|9113|9115)$/ { found = 1; if ($4 !~ /^127\\.0\\.0\\.1:/) out++ }"
            ' END { print found ? out + 0 : "nothing listens" }\'',
            "0",
        ),
    ]
