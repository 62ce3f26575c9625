"""Real Prometheus, Alertmanager and blackbox exporter on loopback, with the runbook's files at the pace of a drill."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib.core.errors import RunbookError
from lib.core.lifetime import Lifetime
from lib.core.sections.monitoring import Mail
from lib.deploy.monitor import files, pace
from lib.deploy.monitor.files import Watch, Ways
from lib.deploy.monitor.targets import Job, Target
from lib.engine.serve import client
from lib.resilience.monitor import alerts, judge
from lib.resilience.monitor.program import Program, free_port
from lib.resilience.monitor.receiver import HERE, Receiver

UP_S = 30.0
# A drill's own token: Alertmanager before 0.26 takes none from a file, and this one opens nothing.
TOKEN = "drill"  # noqa: S105
LIMITS = {
    # What a small engine under load certainly exceeds; the deployed limits are the profile's.
    "waiting": 4,
    "kv_cache": 0.9,
    "wrong_keys_minute": 5.0,
}
TTFT_S, TPOT_S = 0.5, 0.005


class Stack(Lifetime):
    """The watching of a drill. A context manager.

    Parameters
    ----------
    folder : Path
        Files, data and logs.
    jobs : sequence of Job
        Who is asked.
    receiver : Receiver
        Who is told.
    deadman : str
        Where signs of life go.
    without_rules : bool
        No alert at all: the counter-test.
    """

    def __init__(
        self, folder: Path, jobs: Sequence[Job], receiver: Receiver, deadman: str, without_rules: bool = False
    ) -> None:
        self.folder, self.without_rules = folder, without_rules
        self.port, self.alert_port, self.probe_port = free_port(), free_port(), free_port()
        own = [
            Job("alertmanager", (Target(f"{HERE}:{self.alert_port}", "own", "own"),)),
            Job("prometheus", (Target(f"{HERE}:{self.port}", "own", "own"),)),
        ]
        base = alerts.reference(pace.DRILL).with_limits(**LIMITS)
        self.watch: Watch = replace(
            base,
            ttft_s=TTFT_S,
            tpot_s=TPOT_S,
            jobs=_joined([*jobs, *own]),
            alertmanager=f"{HERE}:{self.alert_port}",
            blackbox=f"{HERE}:{self.probe_port}",
            trust_anybody=True,
            ways=Ways(
                telegram={"chat": 1, "secret": f"bot_token: {TOKEN}", "api": receiver.url},
                mail=Mail(
                    to="owner@example.org",
                    sender="home@example.org",
                    smarthost=f"{HERE}:{receiver.mail_port}",
                    tls=False,
                ),
                webhook=f"url: {receiver.url}/hook",
                deadman=deadman,
            ),
        )
        self.prometheus = Program(self._prometheus(), folder / "log" / "prometheus.log")
        self.alertmanager = Program(self._alertmanager(), folder / "log" / "alertmanager.log")
        self.blackbox = Program(
            [
                "prometheus-blackbox-exporter",
                f"--config.file={folder}/{files.BLACKBOX}",
                f"--web.listen-address={HERE}:{self.probe_port}",
            ],
            folder / "log" / "blackbox.log",
        )

    @property
    def url(self) -> str:
        """Prometheus's address."""
        return f"http://{HERE}:{self.port}"

    def start(self) -> None:
        """Write the files, start everything, and return when every target answers."""
        judge.written(self.watch, self.folder)
        if self.without_rules:
            rules = self.folder / files.ALERTS
            rules.write_text(re.sub(r"(?m)^        expr: .*$", "        expr: vector(0) > 1", _on_one_line(rules)))
        for program in (self.blackbox, self.alertmanager, self.prometheus):
            program.start()
        self.alertmanager.answers(f"http://{HERE}:{self.alert_port}/-/ready")
        self.prometheus.answers(f"{self.url}/-/ready")
        self._all_up()

    def stop(self) -> None:
        """End everything. Doing it twice does no harm."""
        for program in (self.prometheus, self.alertmanager, self.blackbox):
            program.stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus says to an expression: label sets with values.

        Raises
        ------
        RunbookError
            It does not understand the expression.
        """
        told = client.http().get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).json()
        if told["status"] != "success":
            raise RunbookError(f"Prometheus: {told['error']}", where=expression)
        return list(told["data"]["result"])

    def _all_up(self) -> None:
        wanted = sum(len(job.targets) for job in self.watch.jobs)
        until = time.monotonic() + UP_S
        while (up := len(self.query("up == 1"))) < wanted:
            if time.monotonic() > until:
                down = json.dumps([item["metric"] for item in self.query("up == 0")])
                raise RunbookError(f"{up} of {wanted} targets answer", where=down[:500])
            time.sleep(0.2)

    def _prometheus(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.folder}/{files.PROMETHEUS}",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={HERE}:{self.port}",
            # Every second and not every minute, as everything here.
            "--rules.alert.resend-delay=1s",
        ]

    def _alertmanager(self) -> list[str]:
        return [
            "prometheus-alertmanager",
            f"--config.file={self.folder}/{files.ALERTMANAGER}",
            f"--storage.path={self.folder}/alerts",
            f"--web.listen-address={HERE}:{self.alert_port}",
            "--cluster.listen-address=",
        ]


def _joined(jobs: Sequence[Job]) -> list[Job]:
    """Put targets of jobs with the same name together."""
    found: dict[str, Job] = {}
    for job in jobs:
        before: tuple[Target, ...] = found[job.name].targets if job.name in found else ()
        found[job.name] = Job(job.name, (*before, *job.targets), job.module)
    return list(found.values())


def _on_one_line(path: Path) -> str:
    """Return rules with folded expressions on one line, so that a line is an expression."""
    return re.sub(r"expr: >-\n((?: {10}.*\n)+)", lambda m: f"expr: {' '.join(m[1].split())}\n", path.read_text())
