"""Record a machine so that somebody else can audit it: exactly what the audit looks at, with names masked."""

import json
import re
import shlex
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.host import audit, driver, tools, tuning
from lib.host.mask import mask, output, parameters
from lib.host.probe import Host, Output
from lib.host.recording import RecordingHost


def capture(host: Host, folder: Path) -> list[str]:
    """Record what audit, driver and tuning checks look at, as `lib.host.probe.RecordedHost` replays it.

    The checks run for every profile, so that the recording serves each of them. Serial numbers, identifiers,
    hardware and network addresses, host and user names are masked.

    Parameters
    ----------
    folder : Path
        A folder that does not exist yet, or is empty.

    Returns
    -------
    list of str
        The files written, relative to `folder`, sorted; ``host.json`` first.

    Raises
    ------
    RunbookError
        The folder holds something already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RunbookError("the folder is not empty", where=str(folder), fix="give a new folder")
    recording = RecordingHost(host)
    audit.facts(recording)
    for name in profiles.names():
        chosen = profiles.load(name)
        for checks in (audit.hardware, driver.checks, tuning.checks):
            checks(recording, chosen)
    names = [socket.gethostname()]
    texts = {
        f"commands/{_file_name(argv)}": _transcript(argv, seen, names) for argv, seen in recording.commands.items()
    }
    texts |= {f"files{path}": text for path, text in recording.files.items() if text is not None}
    texts |= {f"files{path}/.keep": "" for path in recording.folders if host.kind == "live" and Path(path).is_dir()}
    if snapshot := recording.nvml():
        texts["nvml.json"] = json.dumps(snapshot, indent=1) + "\n"
    about = {
        "kind": "captured",
        "about": f"Captured on {datetime.now(UTC):%Y-%m-%d}; serial numbers, identifiers, addresses and names masked.",
        "sources": ["the machine itself"],
    }
    written = {mask(name, names): mask(text, names) for name, text in sorted(texts.items())}
    if (line := "files/proc/cmdline") in written:
        written[line] = parameters(written[line])
    _write(folder, {"host.json": json.dumps(about, indent=1) + "\n", **written})
    return ["host.json", *sorted(written)]


def _write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _file_name(argv: Iterable[str]) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", " ".join(argv)).strip("-")[:80] + ".txt"


def _transcript(argv: tuple[str, ...], seen: Output, names: list[str]) -> str:
    """Write a command with its outcome; the mark is always there, since dmidecode's own output starts with ``#``."""
    mark = "forbidden" if tools.refused(seen) else seen.reason or f"exit {seen.code}"
    return f"$ {shlex.join(argv)}\n# {mark}\n{output(argv, seen.out, names)}"
