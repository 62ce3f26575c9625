"""What the programs themselves say of their files: promtool, amtool, the blackbox exporter."""

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lib.core.evidence import Check
from lib.deploy.monitor import files
from lib.deploy.monitor.files import Watch
from lib.lab.tools import find
from lib.resilience.monitor import alerts, unit

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "prometheus-nginx-exporter": "prometheus-nginx-exporter",
}
# Since this release Alertmanager reads the bot's token and the webhook's address from files.
SECRETS_BY_FILE = (0, 26)
OBSERVED = 400


class Said(NamedTuple):
    """What a program said: exit status (None: it is not here), its words, the command."""

    code: int | None
    words: str
    command: str


def missing() -> list[str]:
    """Return the packages that the watching needs and this machine does not have."""
    return sorted({package for program, package in PACKAGES.items() if find(program) is None})


def ask(*argv: str, folder: Path | None = None) -> Said:
    """Run a program and return what it said."""
    program = find(argv[0])
    if program is None:
        return Said(None, "", shlex.join(argv))
    done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    return Said(done.returncode, f"{done.stdout}\n{done.stderr}".strip(), shlex.join(argv))


def written(watch: Watch, folder: Path) -> Watch:
    """Write every file of a watching into a folder, and return the watching that lies there."""
    folder.mkdir(parents=True, exist_ok=True)
    here = replace(watch, folder=str(folder))
    for name, text in files.watching(here).items():
        (folder / name).write_text(text)
    return here


def syntax(watch: Watch, folder: Path) -> list[Check]:
    """Let every program read its file."""
    written(watch, folder)
    asked: Mapping[str, tuple[str, Sequence[str]]] = {
        "prometheus": ("Prometheus accepts its configuration and rules", ("promtool", "check", "config")),
        "blackbox": (
            "The blackbox exporter accepts its modules",
            ("prometheus-blackbox-exporter", "--config.check", "--config.file"),
        ),
    }
    paths = {"prometheus": folder / files.PROMETHEUS, "blackbox": folder / files.BLACKBOX}
    found = [
        _check(f"monitoring.{name}.valid", title, ask(*argv, str(paths[name]))) for name, (title, argv) in asked.items()
    ]
    return [*found, alertmanager(watch, folder)]


def alertmanager(watch: Watch, folder: Path) -> Check:
    """Let Alertmanager read its file; an older one cannot know that secrets may stand in files."""
    by_file = bool(watch.ways.telegram or watch.ways.webhook.startswith("url_file"))
    told = ask("amtool", "--version").words
    version = tuple(int(number) for number in re.findall(r"version (\d+)\.(\d+)", told)[0]) if told else (0, 0)
    title = "Alertmanager accepts its configuration"
    if told and by_file and version < SECRETS_BY_FILE:
        return Check(
            name="monitoring.alertmanager.valid",
            title=title,
            status="skip",
            expected="no error",
            observed=f"version {version[0]}.{version[1]} takes no secrets by file; the server's must be 0.26 or later",
            fix=f"on the server: amtool check-config {files.FOLDER}/{files.ALERTMANAGER}",
        )
    return _check(
        "monitoring.alertmanager.valid", title, ask("amtool", "check-config", str(folder / files.ALERTMANAGER))
    )


def cases(folder: Path, wanted: Mapping[str, dict[str, Any]] | None = None, without_rules: bool = False) -> Check:
    """Run the unit tests of the alerts on the rules as the owner's card gets them.

    Parameters
    ----------
    wanted : mapping, optional
        Cases by alert; default: all of the runbook's.
    without_rules : bool
        Every alert is taken out of the rules first: then every case must fail.
    """
    watch = written(alerts.reference(), folder)
    known, tried = alerts.read(watch), unit.cases() if wanted is None else wanted
    if without_rules:
        rules = folder / files.ALERTS
        rules.write_text(re.sub(r"alert: (\w+)", r"alert: No\1", rules.read_text()))
    (folder / "tests.yml").write_text(unit.tests(known, tried))
    untested = sorted(known.keys() - tried.keys()) if wanted is None else []
    title = f"Each of {len(tried)} alerts is due when it must be, not before, and says what it should"
    if untested:
        return Check(
            name="monitoring.rules.tested",
            title=title,
            status="fail",
            expected="a case for every alert",
            observed=f"no case: {', '.join(untested)}",
            fix="runbook/templates/prometheus/cases.yml",
        )
    return _check("monitoring.rules.tested", title, ask("promtool", "test", "rules", "tests.yml", folder=folder))


def expressions(wanted: Mapping[str, str], folder: Path) -> Check:
    """Let promtool parse every expression of a set, such as those of the dashboards.

    Parameters
    ----------
    wanted : mapping of str to str
        Where it stands, to the expression.
    """
    rules = [f"  - record: panel:{number}\n    expr: {_quoted(text)}" for number, text in enumerate(wanted.values())]
    (folder / "expressions.yml").write_text("groups:\n- name: all\n  rules:\n" + "\n".join(rules) + "\n")
    said = ask("promtool", "check", "rules", str(folder / "expressions.yml"))
    return _check("monitoring.dashboard.valid", f"promtool reads all {len(wanted)} expressions of the dashboards", said)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _check(name: str, title: str, said: Said) -> Check:
    if said.code is None:
        program = said.command.split()[0]
        return Check(
            name=name,
            title=title,
            status="skip",
            expected="no error",
            observed=f"{program} is not here",
            fix=f"sudo apt-get install -y --no-install-recommends {PACKAGES[program]}",
        )
    faults = [line.strip() for line in said.words.splitlines() if line.strip()]
    return Check(
        name=name,
        title=title,
        status="fail" if said.code else "pass",
        expected="no error",
        observed=" ".join(faults)[:OBSERVED] if said.code else "no error",
        fix=said.command,
    )
