"""The gateway as a service: a systemd unit or a compose entry, rendered and verified. Nothing here touches a host."""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.core.evidence import Check
from lib.core.sections import Profile
from lib.deploy.template import render
from lib.gateway.serve import GRACE_S

USER = "gateway"
HOME = "/opt/inference"
EXPOSURE_LIMIT = 2.0
INSTALL = {"systemd-analyze": "apt-get install systemd", "check-jsonschema": "make setup"}


class Service(NamedTuple):
    """What the templates need to know."""

    profile: str
    user: str
    home: str
    host: str
    port: int
    keys: str
    open_files: int
    stop_timeout_s: int
    packages: list[str]


def service(profile: Profile) -> Service:
    """Describe the gateway of a profile."""
    settings = profile.gateway
    return Service(
        profile=profile.name,
        user=USER,
        home=HOME,
        host=settings.host,
        port=settings.port,
        keys=settings.keys if settings.keys.startswith("/") else f"{HOME}/{settings.keys}",
        open_files=profile.tuning.open_files,
        stop_timeout_s=GRACE_S + 15,
        packages=packages(),
    )


def packages() -> list[str]:
    """Return the runbook's own packages with their locked versions: a container of the gateway needs no engine."""
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", (paths.LOCKS / "cpu.txt").read_text(), re.M))
    return [f"{name}=={pins[name.replace('.', '-')]}" for name in project["dependencies"]]


def unit(described: Service) -> str:
    """Render the systemd unit."""
    return render("systemd/gateway.service.j2", service=described)


def compose(described: Service) -> str:
    """Render the compose entry."""
    return render("compose/gateway.yml.j2", service=described)


def verify(described: Service) -> list[Check]:
    """Verify the rendered files with the tools that will read them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.service"
        path.write_text(unit(described).replace(f"ExecStart={HOME}/.venv/bin/python", f"ExecStart={sys.executable}"))
        entry = Path(folder) / "compose.yml"
        entry.write_text(compose(described))
        limit = f"--threshold={EXPOSURE_LIMIT * 10:.0f}"
        program = str(Path(sys.executable).with_name("check-jsonschema"))
        return [
            _check(
                "gateway.unit.verify",
                "systemd understands the gateway's unit",
                ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)],
                "no message about the unit",
            ),
            _check(
                "gateway.unit.exposure",
                "The gateway's unit is hardened",
                ["systemd-analyze", "security", "--offline=true", limit, str(path)],
                f"exposure of at most {EXPOSURE_LIMIT:g} of 10",
            ),
            _check(
                "gateway.compose.schema",
                "The gateway's compose entry follows the Compose Specification",
                [program, "--builtin-schema", "vendor.compose-spec", str(entry)],
                "no violation of the schema",
            ),
        ]


def _check(name: str, title: str, argv: Sequence[str], expected: str) -> Check:
    tool = Path(argv[0]).name
    program = shutil.which(argv[0])
    if program is None:
        return Check(
            name=name, title=title, status="skip", expected=expected, observed=f"{tool} is missing", fix=INSTALL[tool]
        )
    done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, timeout=60, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    told = [line for line in lines if "gateway.service" in line] if tool == "systemd-analyze" else lines
    last = (told[-1] if told else "no message").replace(str(Path(argv[-1]).parent), "").strip()
    faulty = done.returncode != 0 or (name.endswith("unit.verify") and bool(told))
    return Check(
        name=name,
        title=title,
        status="fail" if faulty else "pass",
        expected=expected,
        observed=last.encode("ascii", "ignore").decode().strip(),
        fix=f"{tool} {' '.join(argv[1:-1])} FILE  (FILE is among the raw files of this chapter)",
    )
