"""Chapter 01: what stands there, what the profile expects of it, and how fast its disk reads."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from lib.core import display, paths
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement
from lib.core.sections import Profile
from lib.host import audit, disks, probe
from lib.host.mask import output
from lib.host.recording import RecordingHost

SECONDS = 4.0
MEGABYTES = 512
SCRATCH_MB = 192
SMALLEST = 64 << 20


def facts() -> display.Html:
    """Show what stands there, in words and without serial numbers."""
    host = probe.current()
    rows = [{"": key, " ": value} for key, value in audit.facts(host).items()]
    if isinstance(host, probe.RecordedHost):
        rows.append({"": f"Recorded ({host.kind})", " ": str(host.about.get("about", ""))})
    return display.table(rows)


def expectations(profile: Profile) -> display.Html:
    """Show what the profile expects of the machine; an empty row expects nothing."""
    host = profile.host
    cards = [f"{gpu.name}, {gpu.memory_mib} MiB" for gpu in host.gpus]
    drives = [f"{disk.purpose}: {disk.minimum_gb:g} GB {disk.kind}" for disk in host.disks]
    rows = {
        "Processor": host.cpu.model or "any",
        "Memory": f"at least {host.memory.minimum_gib:g} GiB"
        + (f" in {host.memory.dimms} modules at {host.memory.configured_mts} MT/s" if host.memory.dimms else ""),
        "Graphics cards": "; ".join(cards) or "none",
        "Disks": "; ".join([*drives, f"{host.free_disk_gb:g} GB free where models are kept"]),
        "UPS": "answers through NUT" if host.ups else "none",
        "Questions to the owner": str(len(host.checklist)),
    }
    return display.table([{"": key, "Expected": value} for key, value in rows.items()])


def checks(chapter: Chapter) -> list[Check]:
    """Audit the machine and record every check, with what its tools printed beside it as the raw file."""
    look = RecordingHost(probe.current())
    found = audit.hardware(look, chapter.profile)
    names = [os.uname().nodename]
    said = [
        f"$ {' '.join(argv)}\n{output(argv, seen.out, names) or seen.reason}\n" for argv, seen in look.commands.items()
    ]
    raw = chapter.save("tools.txt", "\n".join(said))
    return list(
        chapter.record(*found, artifacts=[raw], command=f"python -m lib audit --profile {chapter.profile.name}")
    )


def group(found: Sequence[Check], title: str) -> display.Html:
    """Show one group of checks; a group without checks says so."""
    return display.checks(audit.group(found, title), title)


def read_disk(chapter: Chapter) -> list[Measurement]:
    """Measure the disk that models are read from and record it; nothing is measured on a recorded machine.

    An existing model file is read where there is one. Else a scratch file is written into the project's cache and
    removed again.
    """
    if probe.current().kind != "live":
        return []
    source = largest_file(paths.ROOT / chapter.profile.models.store)
    path = source or _scratch(paths.CACHE / "scratch.bin")
    try:
        with chapter.engine_time("disk read"):
            speeds = disks.read_pieces(path, SECONDS, MEGABYTES)
        raw = chapter.save("disk_read.json", json.dumps({"mb_s": [round(speed, 1) for speed in speeds]}) + "\n")
        return list(chapter.record(disks.measurement(path, speeds), artifacts=[raw]))
    except RunbookError as error:
        chapter.record(_unread(error))
        return []
    finally:
        if source is None:
            path.unlink(missing_ok=True)


def largest_file(folder: Path) -> Path | None:
    """Return the largest file below a folder, if it is large enough to measure a disk with."""
    try:
        files = [path for path in folder.rglob("*") if path.is_file() and os.access(path, os.R_OK)]
        largest = max(files, key=lambda path: path.stat().st_size, default=None)
        return largest if largest and largest.stat().st_size >= SMALLEST else None
    except OSError:
        return None


def _scratch(path: Path) -> Path:
    """Write random bytes, which no file system can compress, and wait until they are on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for _ in range(SCRATCH_MB):
            file.write(os.urandom(10**6))
        file.flush()
        os.fsync(file.fileno())
    return path


def _unread(error: RunbookError) -> Check:
    return Check(
        name="hardware.disk.read_speed",
        title="Read speed of the disk with the models",
        status="skip",
        expected="measured",
        observed=error.what,
        fix=error.fix,
    )


def read_speed_check(measured: Sequence[Measurement], profile: Profile) -> list[Check]:
    """Hold the measured speed against what the profile expects of the disk for models, if it expects something."""
    expected = max((disk.read_mb_s for disk in profile.host.disks if "model" in disk.purpose), default=0.0)
    return [
        Check(
            name="hardware.disk.read_speed",
            title="Read speed of the disk with the models",
            status="pass" if item.value >= expected else "warn",
            expected=f"at least {expected:g} MB/s",
            observed=f"{item.value:.0f} MB/s",
            fix="see the drive's PCIe link and temperature above; models on the slower disk load in proportion slower: "
            "set models.store to a folder on the fast one",
        )
        for item in measured
        if expected
    ]


def disk_figure(chapter: Chapter, measured: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw the speed of each piece of the file with the mean and its interval, beside what the profile expects."""
    if not measured:
        return display.table([])
    item = measured[0]
    speeds = json.loads((chapter.artifacts / "disk_read.json").read_text())["mb_s"]
    plot = go.Figure(go.Scatter(x=list(range(1, len(speeds) + 1)), y=speeds, mode="lines+markers", name="each piece"))
    plot.add_hline(y=item.value, line_dash="dot", annotation_text=f"mean {item.value:.0f}")
    if item.interval:
        plot.add_hrect(*item.interval, opacity=0.15, line_width=0, fillcolor=display.PALETTE[0])
    for disk in chapter.profile.host.disks:
        if "model" in disk.purpose and disk.read_mb_s:
            plot.add_hline(y=disk.read_mb_s, line_color=display.PALETTE[1], annotation_text="expected")
    plot.update_layout(height=320, xaxis_title="piece of the file", yaxis_title="MB/s", yaxis_rangemode="tozero")
    caption = (
        f"Cold sequential read from {item.conditions['disk']}: each piece of the file once, mean with 95 % interval"
    )
    return display.figure(plot, caption)


def decide(found: Sequence[Check]) -> Decision:
    """Say whether the machine can carry the profile, and what is to be put right first."""
    failed = [check for check in found if check.status == "fail"]
    open_points = [check for check in found if check.status == "warn"]
    choice = "Go on with this machine"
    reason = "Nothing failed."
    if failed:
        choice = f"Put right first: {', '.join(check.title for check in failed)}"
        reason = "Each failure below either stops the server or endangers it; the column beside it says what to do."
    if open_points:
        count = f"{len(open_points)} warning{'s' if len(open_points) > 1 else ''}"
        reason += f" Still open: {count}, which cost speed or certainty, not the start."
    return Decision(
        name="hardware.fit",
        choice=choice,
        reason=reason,
        evidence=[check.name for check in failed or open_points or found],
        alternatives=["another profile, if this one describes another machine (--profile)"],
    )
