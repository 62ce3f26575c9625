#!/usr/bin/python3 -IS
"""What a host does when the mains go and when they return. NUT calls it: `outage EVENT`.

Standard library only, and one file: it has to work when nothing else does. Its settings are JSON in
/etc/inference-power/outage.json, or `--config FILE`. Every step is a line in the timeline; a disk that is full costs
the line, never the step.

onbatt      the mains went: hold requests, drop models that sleep; with too little run time, shut down now
online      they are back; `stable` says when for long enough
stable      back for long enough: admit requests again
drained     the streams have had their time: stop the engines, sync, tell NUT to shut down
lowbatt     the battery is nearly empty: the same, at once
lost, found the link to the UPS
last        NUT's shutdown command: engines stopped and disks synced at the latest now, then the host goes down
ready       at boot: wait until the mains and the battery allow to start engines
back        after that: wait for a real completion, admit requests, send the owner one message
"""

import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CONFIG = "/etc/inference-power/outage.json"
HOLD = "power"
COMMAND_S = 10.0
# Without a link to the UPS a host starts its engines after so long: a broken cable must not keep it from work.
BLIND_S = 60.0


class Host:
    """One host with its settings.

    Parameters
    ----------
    told : dict
        Content of the file of settings.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.state, self.holds, self.run = Path(told["state"]), Path(told["holds"]), Path(told["run"])

    def onbatt(self) -> None:
        """Hold requests; streams go on until their time is over, or the battery's nearly is."""
        self.hold("The server runs on its battery: no new requests until the mains are back.")
        left = self.runtime()
        self.line("on battery", runtime_s=left, running=self.running())
        self.drop_sleeping()
        if left is not None and left < self.need() + self.told["drain_s"]:
            patience = max(0.0, left - self.need())
            self.line("too little run time for all streams", patience_s=round(patience, 1))
            self.wait_for_streams(patience)
            if self.on_battery():
                self.shut()

    def online(self) -> None:
        """Note it; a shutdown that was decided goes on: NUT's FSD cannot be taken back."""
        self.line("mains back", shutting=self.shutting())

    def stable(self) -> None:
        """Admit requests again."""
        if self.shutting() or self.on_battery():
            return
        self.release()
        self.line("admitted again")

    def drained(self) -> None:
        """Cut what still runs, if the mains are still away."""
        if self.on_battery():
            self.shut()

    def lowbatt(self) -> None:
        """Stop at once; NUT shuts down by itself."""
        self.hold("The server's battery is nearly empty.")
        self.line("battery low", runtime_s=self.runtime())
        self.stop_engines()

    def lost(self) -> None:
        """Tell the owner: on mains a host without its UPS goes on; on battery NUT shuts it down."""
        self.line("UPS does not answer")
        self.notify("The UPS does not answer any more. While that lasts a power cut ends in a hard stop.")

    def found(self) -> None:
        """Tell the owner that it is back."""
        self.line("UPS answers again")
        self.notify("The UPS answers again.")

    def last(self) -> int:
        """Be NUT's shutdown command."""
        self.hold("The server shuts down.")
        self.stop_engines()
        self.line("shut down", runtime_s=self.runtime())
        os.sync()
        return subprocess.call(self.told["final"])

    def ready(self) -> None:
        """Wait for mains and charge; hold requests meanwhile."""
        self.hold("The server starts after a power cut.")
        self.line("booted", charge=self.number("battery.charge"))
        blind = time.monotonic()
        while True:
            status, charge = self.status(), self.number("battery.charge")
            if not status and time.monotonic() - blind > self.told.get("blind_s", BLIND_S):
                self.line("starting without a UPS that answers")
                self.notify("The UPS does not answer after boot; the engines are started all the same.")
                return
            blind = time.monotonic() if status else blind
            fit = {"OL"} & status and not {"OB", "LB", "FSD"} & status
            if fit and (charge is None or charge >= self.told["start_charge"]):
                self.line("engines may start", charge=charge)
                return
            time.sleep(self.told["poll_s"])

    def back(self) -> None:
        """Wait until every engine answers, then admit requests and send the message."""
        while not all(self.completes(engine) for engine in self.told["engines"]):
            time.sleep(self.told["poll_s"])
        if self.shutting() or self.on_battery():
            self.line("answers, but the mains went again")
            return
        self.release()
        self.line("served again")
        events = self.timeline()
        if any(line["event"] in ("on battery", "battery low", "shut down") for line in events):
            self.notify(self.message(events))

    def shut(self) -> None:
        """Stop engines, sync, and have NUT take the host down."""
        self.line("shutting down", running=self.running())
        self.stop_engines()
        os.sync()
        self.line("disks synced", runtime_s=self.runtime())
        self.call([*self.told["upsmon"], "-c", "fsd"])

    def stop_engines(self) -> None:
        """Stop all engines side by side, once: whoever comes second waits for the first."""
        self.run.mkdir(parents=True, exist_ok=True)
        (self.run / "shutting").touch()
        with (self.run / "stopping").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (self.run / "stopped").exists():
                return
            engines = self.told["engines"]
            with ThreadPoolExecutor(max(1, len(engines))) as pool:
                ended = list(pool.map(lambda engine: self.call(engine["stop"], self.told["stop_s"]), engines))
            failed = [engine["name"] for engine, good in zip(engines, ended, strict=True) if not good]
            self.line("engines stopped", failed=failed)
            (self.run / "stopped").touch()

    def drop_sleeping(self) -> None:
        """Stop engines whose model sleeps: they serve nobody, and each one less shortens the way down."""
        for engine in self.told["engines"]:
            if self.ask(f"{engine['url']}/is_sleeping").get("is_sleeping") is True:
                self.call(engine["stop"], self.told["stop_s"])
                self.line("sleeping model dropped", engine=engine["name"])

    def wait_for_streams(self, seconds: float) -> None:
        """Wait until nothing runs, at most so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.running() != 0:
            time.sleep(0.2)

    def hold(self, reason: str) -> None:
        """Have the gateway refuse requests; the file is whole from its first moment."""
        text = json.dumps({"reason": reason, "retry_after_s": self.told["retry_after_s"]})
        try:
            self.holds.mkdir(parents=True, exist_ok=True)
            fresh = self.holds / f".{HOLD}.new"
            fresh.write_text(text)
            fresh.replace(self.holds / HOLD)
        except OSError:
            # A full file system still takes a name, and the gateway reads an empty hold as a hold.
            try:
                os.close(os.open(self.holds / HOLD, os.O_CREAT | os.O_WRONLY, 0o644))
            except OSError:
                # Clients are not told to wait, and are cut later: no reason to leave the rest undone.
                self.line("requests cannot be held")

    def release(self) -> None:
        """Admit requests again, as far as it is up to the mains."""
        (self.holds / HOLD).unlink(missing_ok=True)

    def variables(self) -> dict[str, str]:
        """Return what the UPS tells; nothing if it does not answer."""
        argv = [*self.told["upsc"], self.told["ups"]]
        try:
            told = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S)
        except (OSError, subprocess.TimeoutExpired):
            return {}
        pairs = (line.partition(":") for line in told.stdout.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}

    def status(self) -> set[str]:
        """Return the words of the UPS's status."""
        return set(self.variables().get("ups.status", "").split())

    def on_battery(self) -> bool:
        """Tell whether the mains are away, or a shutdown is latched."""
        return bool({"OB", "FSD"} & self.status())

    def number(self, name: str) -> float | None:
        """Return a variable as a number, or None."""
        try:
            return float(self.variables()[name])
        except (KeyError, ValueError):
            return None

    def runtime(self) -> float | None:
        """Return the run time that the UPS tells for its load of now, s."""
        return self.number("battery.runtime")

    def need(self) -> float:
        """Return what stopping, shutting down and the margin take, s."""
        return sum(float(self.told[name]) for name in ("stop_s", "shutdown_s", "margin_s"))

    def running(self) -> int | None:
        """Return how many requests the gateway has under way, or None where it does not tell."""
        try:
            lines = read(f"{self.told['gateway']}/metrics", 2).decode().splitlines()
        except (OSError, ValueError):
            return None
        found = [line.rpartition(" ")[2] for line in lines if line.startswith("gateway_running_requests{")]
        return round(sum(map(float, found)))

    def shutting(self) -> bool:
        """Tell whether a shutdown was decided since boot."""
        return (self.run / "shutting").exists()

    def completes(self, engine: dict[str, Any]) -> bool:
        """Tell whether an engine answers a real request."""
        try:
            return bool(read(f"{engine['url']}{engine['path']}", 20, json.dumps(engine["ask"]).encode()))
        except (OSError, ValueError):
            return False

    def ask(self, url: str) -> dict[str, Any]:
        """Return a JSON answer, or an empty one."""
        try:
            told = json.loads(read(url, 2))
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def call(self, argv: list[str], seconds: float = COMMAND_S) -> bool:
        """Run a command, not longer than it may take; return whether it went well."""
        try:
            return subprocess.run(argv, timeout=seconds, capture_output=True).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def line(self, event: str, **more: object) -> None:
        """Add a line to the timeline, on the disk before it returns."""
        told = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **more}
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            with (self.state / "timeline.jsonl").open("a") as file:
                file.write(json.dumps(told) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            sys.stderr.write(f"timeline: {event}\n")

    def lines(self) -> list[dict[str, Any]]:
        """Return the whole timeline; a line that was cut short by a power cut is passed over."""
        try:
            raw = (self.state / "timeline.jsonl").read_text(errors="replace").splitlines()
        except OSError:
            return []
        return [json.loads(line) for line in raw if line.startswith("{") and line.endswith("}")]

    def timeline(self) -> list[dict[str, Any]]:
        """Return the lines since the mains went the last time, and were not back for good before."""
        lines = self.lines()
        ends = [n for n, line in enumerate(lines[:-1]) if line["event"] in ("served again", "admitted again")]
        return lines[ends[-1] + 1 if ends else 0 :]

    def message(self, events: list[dict[str, Any]]) -> str:
        """Return the owner's message: what happened, when (UTC)."""
        return "Power cut: " + "; ".join(f"{line['time'][11:19]} {line['event']}" for line in events)

    def notify(self, text: str) -> None:
        """Send a message; a messenger that fails or hangs stops nothing."""
        if self.told["notify"]:
            self.call([*self.told["notify"], text], 20)


EVENTS = ("onbatt", "online", "stable", "drained", "lowbatt", "lost", "found", "last", "ready", "back")


def read(url: str, seconds: float, body: bytes | None = None) -> bytes:
    """Return an answer of this host's own services; one that is no success is an OSError."""
    if not url.startswith("http://"):
        raise ValueError(url)
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - checked above
        return bytes(answer.read())


def main(words: list[str]) -> int:
    """Do what an event asks for."""
    config = CONFIG
    if words[:1] == ["--config"]:
        config, words = words[1], words[2:]
    if len(words) != 1 or words[0] not in EVENTS:
        sys.stderr.write(f"usage: outage [--config FILE] {'|'.join(EVENTS)}\n")
        return 2
    status = getattr(Host(json.loads(Path(config).read_text())), words[0])()
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
