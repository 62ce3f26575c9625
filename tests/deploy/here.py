"""This machine as a target, with the record in a folder of the test: the real scripts, no SSH."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core.sections.hosts import HostAccess
from lib.deploy import record
from lib.deploy.target import Target, connected

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners, as a deploy does: run as root")


def undo_script(folder: Path) -> str:
    """Return the script that takes back, with the record in this folder."""
    return record.UNDO.replace("/var/lib/inference-runbook", str(folder))


def target(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Yield this machine; the record and the lock lie in the folder, systemd is not asked to reload."""
    place = folder / "record"
    monkeypatch.setattr(record, "PLACE", str(place))
    monkeypatch.setattr(record, "LOCK", str(folder / "lock"))
    monkeypatch.setattr(record, "UNDO", undo_script(place).replace("systemctl daemon-reload\n", ""))
    with connected("here", HostAccess(role="home")) as here:
        yield here
