"""What is installed where a run takes place: Python environments by their own word, system packages by dpkg's."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.report.seal.cyclonedx import Component, Distribution, Licence, hashes, properties, purl

# Runs in the environment that is asked, which may have nothing of this project.
_QUESTION = """
import hashlib, json, platform
from importlib import metadata

def told(found):
    record = found.read_text("RECORD")
    digest = hashlib.sha256(record.encode()).hexdigest() if record else ""
    return found.metadata["Name"], found.version, found.metadata.get("License-Expression") or "", digest

print(json.dumps({
    "implementation": platform.python_implementation().lower(),
    "version": platform.python_version(),
    "distributions": [told(found) for found in metadata.distributions() if found.metadata["Name"]],
}))
"""
_LIMIT_S = 60
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")
_OS_RELEASE = Path("/etc/os-release")


class Locked(NamedTuple):
    """A package of a lock: its name, in the form in which names are compared, and its version."""

    name: str
    version: str


def normalised(name: str) -> str:
    """Return a package's name as Python's package index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locks(folder: Path = paths.LOCKS) -> dict[Locked, list[str]]:
    """Return the SHA-256 of every archive that the locks allow, by package."""
    found: dict[Locked, set[str]] = {}
    for file in sorted(folder.glob("*.txt")):
        digests: set[str] = set()
        for line in file.read_text(encoding="utf-8").splitlines():
            if head := _LOCKED.match(line):
                digests = found.setdefault(Locked(normalised(head[1]), head[2]), set())
            digests.update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return {package: sorted(digests) for package, digests in found.items()}


def python(
    environment: str, program: str = sys.executable, locked: Mapping[Locked, list[str]] | None = None
) -> Iterator[Component]:
    """Yield a Python and everything that is installed in its environment; one that does not answer says why.

    Parameters
    ----------
    environment : str
        What to call it: it begins the `bom-ref` of each component.
    program : str
        The environment's Python.
    locked : mapping, optional
        Archives that the locks allow, see `locks`.
    """
    try:
        asked = subprocess.run(
            [program, "-I", "-c", _QUESTION], capture_output=True, text=True, timeout=_LIMIT_S, check=True
        )
        told = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        why = properties({"not-listed": f"it did not answer: {type(error).__name__}"})
        yield Component(type="platform", bom_ref=f"{environment}/python", name="python", properties=why)
        return
    yield Component(
        type="platform",
        bom_ref=f"{environment}/python",
        name=told["implementation"],
        version=told["version"],
        purl=purl("generic", told["implementation"], told["version"]),
        properties=properties({"environment": environment}),
    )
    seen: set[str] = set()
    for name, version, licence, record in sorted(told["distributions"]):
        if normalised(name) not in seen:  # the first of two in the path is the one that is imported
            seen.add(normalised(name))
            archives = (locked or {}).get(Locked(normalised(name), version), [])
            yield _distribution(environment, name, version, licence, record, archives)


def _distribution(
    environment: str, name: str, version: str, licence: str, record: str, archives: list[str]
) -> Component:
    """Return a package. Of several archives in the lock nobody knows any more which was installed."""
    address = purl("pypi", name.lower().replace("_", "-"), version)
    allowed = [Distribution(url=address, comment="one of the archives in the lock", hashes=hashes(archives) or [])]
    return Component(
        type="library",
        bom_ref=f"{environment}/{address}",
        name=name,
        version=version,
        hashes=hashes(archives) if len(archives) == 1 else None,
        licenses=[Licence(expression=licence)] if licence else None,
        purl=address,
        external_references=allowed if len(archives) > 1 else None,
        properties=properties(
            {
                "environment": environment,
                "installed-record-sha256": record,
                "locked": "" if archives else "no: no lock has a hash of this version",
            }
        ),
    )


def system(declared: Path = paths.RUNBOOK / "system-packages.txt") -> Iterator[Component]:
    """Yield the operating system and those of the declared packages that are installed."""
    release = _release()
    kind = release.get("ID", "linux")
    yield Component(
        type="operating-system", bom_ref="system", name=release.get("NAME", "Linux"), version=release.get("VERSION_ID")
    )
    for name, version, architecture in _packages(declared):
        address = purl("deb", f"{kind}/{name}", version, arch=architecture)
        yield Component(type="library", bom_ref=f"system/{address}", name=name, version=version, purl=address)


def _release() -> dict[str, str]:
    if not _OS_RELEASE.exists():
        return {}
    lines = (line.partition("=") for line in _OS_RELEASE.read_text(encoding="utf-8").splitlines())
    return {key: value.strip("\"'") for key, _, value in lines}


def _packages(declared: Path) -> Iterator[list[str]]:
    """Yield name, version and architecture of the installed ones."""
    lines = declared.read_text(encoding="utf-8").splitlines()
    names = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    if shutil.which("dpkg-query") is None:
        return
    form = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"
    # It ends with 1 when one of the names is unknown, and tells of the others.
    asked = subprocess.run(["dpkg-query", "-W", "-f", form, *names], capture_output=True, text=True, timeout=_LIMIT_S)
    rows = [line.split("\t") for line in asked.stdout.splitlines()]
    yield from sorted(row[1:] for row in rows if row[0] == "installed")
