"""Look at what no exporter tells: UPS, tunnel, snapshots, disks, age of backups. Standard library only.

`collector.py FILE --every 15 ups tunnel snapshots disks jobs` writes metrics for the node exporter's textfile
collector, whole or not at all. What cannot be asked is told as `collector_source_ok 0`, and stops nothing else.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

PATIENCE_S = 10
# Flags of NUT that alerts ask for; each is told as 0 or 1.
FLAGS = ("OL", "OB", "LB", "RB", "OVER", "FSD")


class Sample(NamedTuple):
    """One value with its labels."""

    name: str
    value: float
    labels: Mapping[str, str] = MappingProxyType({})

    def __str__(self) -> str:
        labels = ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.labels.items())
        return f"{self.name}{{{labels}}} {self.value:.17g}" if labels else f"{self.name} {self.value:.17g}"


class Options(NamedTuple):
    """What is looked at."""

    ups: str = "ups"
    markers: Path = Path("/var/lib/inference/markers")
    jobs: tuple[str, ...] = ()


def ask(*argv: str) -> str:
    """Run a program and return what it printed; smartctl's status has bits for findings, so words count."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if not done.stdout.strip() and done.returncode:
        raise OSError(f"{argv[0]}: {done.stderr.strip()[:200]}")
    return done.stdout


def ups(options: Options) -> Iterator[Sample]:
    """Ask NUT."""
    told = dict(re.findall(r"^([\w.]+): (.*)$", ask("upsc", options.ups), re.M))
    name = {"ups": options.ups}
    flags = told["ups.status"].split()
    for flag in FLAGS:
        yield Sample("network_ups_tools_ups_status", float(flag in flags), {**name, "flag": flag})
    for key in ("battery.charge", "battery.runtime", "ups.load"):
        if key in told:
            yield Sample(f"network_ups_tools_{key.replace('.', '_')}", float(told[key]), name)
    since = _date(told.get("battery.date", "") or told.get("battery.mfr.date", ""))
    if since is not None:
        yield Sample("network_ups_tools_battery_date_seconds", since, name)


def _date(text: str) -> float | None:
    """Return a date as UPSes write it in seconds since 1970, or None."""
    for form in ("%Y/%m/%d", "%Y-%m-%d", "%m/%d/%y", "%d/%m/%Y", "%m/%d/%Y"):
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None


def tunnel(_: Options) -> Iterator[Sample]:
    """Ask WireGuard when it last shook hands; 0 is never. Keys are public ones, and shortened."""
    for line in ask("wg", "show", "all", "latest-handshakes").splitlines():
        interface, peer, when = line.split()
        yield Sample("wireguard_latest_handshake_seconds", float(when), {"interface": interface, "peer": peer[:8]})


def snapshots(_: Options) -> Iterator[Sample]:
    """Ask ZFS for the newest snapshot of each dataset."""
    newest: dict[str, float] = {}
    for line in ask("zfs", "list", "-H", "-p", "-t", "snapshot", "-o", "name,creation").splitlines():
        name, _tab, created = line.partition("\t")
        dataset = name.partition("@")[0]
        newest[dataset] = max(newest.get(dataset, 0), float(created))
    for dataset, latest in newest.items():
        yield Sample("snapshot_newest_timestamp_seconds", latest, {"dataset": dataset})


def disks(_: Options) -> Iterator[Sample]:
    """Ask every disk for its health and how much of its rated writes is used up."""
    for found in json.loads(ask("smartctl", "--json", "--scan")).get("devices", []):
        told = json.loads(ask("smartctl", "--json", "-H", "-A", found["name"]))
        label = {"disk": found["name"].rpartition("/")[2]}
        health = told.get("smart_status", {}).get("passed")
        if health is not None:
            yield Sample("disk_health_ok", float(health), label)
        wear = told.get("nvme_smart_health_information_log", {}).get("percentage_used")
        if wear is None:
            wear = _ata_wear(told)
        if wear is not None:
            yield Sample("disk_wear_ratio", wear / 100, label)


def _ata_wear(told: dict[str, dict[str, list[dict[str, int]]]]) -> float | None:
    """Return the wear of a SATA disk, %: of the attributes for it, the normalised value falls from 100."""
    table = {line["id"]: line["value"] for line in told.get("ata_smart_attributes", {}).get("table", [])}
    return next((100 - table[number] for number in (231, 233, 177, 202) if number in table), None)


def jobs(options: Options) -> Iterator[Sample]:
    """Tell when each job last succeeded: it touches a file then. One that never did is as old as can be."""
    for name in options.jobs:
        file = options.markers / name
        touched = file.stat().st_mtime if file.exists() else 0.0
        yield Sample("job_last_success_timestamp_seconds", touched, {"name": name})


SOURCES: dict[str, Callable[[Options], Iterator[Sample]]] = {
    "ups": ups,
    "tunnel": tunnel,
    "snapshots": snapshots,
    "disks": disks,
    "jobs": jobs,
}


def collect(wanted: list[str], options: Options) -> str:
    """Return all metrics as text, grouped by name as the format wants it."""
    found: list[Sample] = []
    for source in wanted:
        try:
            seen = list(SOURCES[source](options))
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"{source}: {error}\n")
            seen = []
            ok = 0.0
        else:
            ok = 1.0
        found += [*seen, Sample("collector_source_ok", ok, {"source": source})]
    found.append(Sample("collector_last_run_timestamp_seconds", time.time()))
    names = dict.fromkeys(sample.name for sample in found)
    lines = [
        line
        for name in names
        for line in (f"# TYPE {name} gauge", *(str(sample) for sample in found if sample.name == name))
    ]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Put a file in its place whole; the node exporter reads it at any moment."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)


def main(words: list[str]) -> None:
    """Look once, or again and again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("sources", nargs="+", choices=SOURCES)
    parser.add_argument("--every", type=float, default=0)
    parser.add_argument("--ups", default="ups")
    parser.add_argument("--markers", type=Path, default=Options().markers)
    parser.add_argument("--jobs", default="")
    given = parser.parse_args(words)
    options = Options(given.ups, given.markers, tuple(filter(None, given.jobs.split(","))))
    while True:
        write(given.file, collect(given.sources, options))
        if not given.every:
            return
        time.sleep(given.every)


if __name__ == "__main__":
    main(sys.argv[1:])
