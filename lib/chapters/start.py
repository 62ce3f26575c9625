"""Chapter 00: what this run is, what it will do, and how long it will take."""

import re
import shutil
from importlib import metadata
from pathlib import Path

import plotly.graph_objects as go
from packaging.requirements import Requirement

from lib.core import display, fingerprint, notebook, paths, timings
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement

PIN = re.compile(r"[A-Za-z0-9]")  # other lines of a lock are comments and hashes
# Where a field's own name would not read well.
NAMES = {
    "cpu": "Processor",
    "memory": "Memory",
    "gpus": "GPU",
    "nvidia_driver": "NVIDIA driver",
    "kernel": "Kernel",
    "python": "Python",
    "vllm": "vLLM",
    "torch": "PyTorch",
}


def facts() -> display.Html:
    """Show the machine, as far as results depend on it."""
    return display.table(
        [{"": NAMES.get(key, key.replace("_", " ")), " ": value} for key, value in fingerprint.facts().items()]
    )


def plan(chapter: Chapter) -> list[dict[str, object]]:
    """Return the chapters in order with what each needs, changes and is expected to take, in seconds."""
    known = timings.load(chapter.run.parent).get(chapter.profile.name, {})
    return [
        {
            "Chapter": source.id,
            "Title": source.title,
            "Needs": ", ".join(source.metadata.needs) or "nothing",
            "Changes": source.metadata.changes,
            "Seconds": round(known[source.id].seconds if source.id in known else source.metadata.minutes * 60),
            "From": "an earlier run" if source.id in known else "estimate",
        }
        for source in notebook.sources()
    ]


def plan_figure(rows: list[dict[str, object]]) -> display.Figure:
    """Draw the plan of the run as one bar a chapter, end to end."""
    seconds = [float(str(row["Seconds"])) for row in rows]
    begins = [sum(seconds[:index]) for index in range(len(seconds))]
    labels = [f"{row['Chapter']} {row['Title']}" for row in rows]
    bars = go.Bar(y=labels, x=seconds, base=begins, orientation="h", text=[f"{s:.0f} s" for s in seconds])
    figure = go.Figure(bars)
    figure.update_layout(height=60 + 34 * len(rows), xaxis_title="seconds from the start", yaxis_autorange="reversed")
    return display.figure(figure, "The plan of the run: one bar a chapter, in order")


def expected(rows: list[dict[str, object]]) -> Measurement:
    """Return the expected time of the whole run."""
    learned = sum(row["From"] == "an earlier run" for row in rows)
    return Measurement(
        name="run.expected_seconds",
        title="Expected time of the whole run",
        value=sum(float(str(row["Seconds"])) for row in rows),
        unit="s",
        method=f"sum over chapters; {learned} of {len(rows)} learned from earlier runs, the rest estimated",
    )


def checks(chapter: Chapter) -> list[Check]:
    """Check what the run itself stands on: packages as locked, space, an address that only this machine reaches."""
    return [_packages(chapter), _space(chapter), _address(chapter)]


def decide(chapter: Chapter) -> Decision:
    """State the profile as a decision."""
    engine = "vLLM on the CPU" if chapter.profile.hardware == "cpu" else "vLLM on the GPU"
    return Decision(
        name="run.profile",
        choice=f"Profile {chapter.profile.name}, mode {chapter.mode}",
        reason=f"{chapter.profile.description} Served by {engine}. Mode plan changes nothing outside the project.",
        evidence=["run.packages", "run.space", "run.expected_seconds"],
        alternatives=[f"profile {source.stem}" for source in _other_profiles(chapter)],
    )


def _other_profiles(chapter: Chapter) -> list[Path]:
    return sorted(path for path in paths.PROFILES.glob("*.yml") if path.stem != chapter.profile.name)


def _packages(chapter: Chapter) -> Check:
    hardware = chapter.profile.hardware
    locks = [path for path in (paths.LOCKS / f"{hardware}.txt", paths.LOCKS / f"{hardware}-torch.txt") if path.exists()]
    lines = [line.rstrip(" \\") for path in locks for line in path.read_text().splitlines() if PIN.match(line)]
    wanted = [Requirement(line) for line in lines]
    applicable = [requirement for requirement in wanted if not requirement.marker or requirement.marker.evaluate()]
    differing = [r.name for r in applicable if not r.specifier.contains(_installed(r.name), prereleases=True)]
    observed = f"{len(applicable) - len(differing)} of {len(applicable)} as locked"
    if differing:
        observed += f"; not: {', '.join(differing[:6])}" + (" …" if len(differing) > 6 else "")
    return Check(
        name="run.packages",
        title="Installed packages are the locked ones",
        status="warn" if differing else "pass",
        expected=f"every pin of {', '.join(paths.short(path) for path in locks)}",
        observed=observed,
        fix=f"make setup HARDWARE={hardware}",
    )


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "0"


def _space(chapter: Chapter) -> Check:
    free = shutil.disk_usage(paths.ROOT).free / 1e9
    wanted = chapter.profile.host.free_disk_gb
    return Check(
        name="run.space",
        title="Free disk space",
        status="pass" if free >= wanted else "fail",
        expected=f"at least {wanted:g} GB",
        observed=f"{free:.0f} GB",
        fix="make clean  (removes old runs and caches), or free space on this file system",
    )


def _address(chapter: Chapter) -> Check:
    host = chapter.profile.serving.host
    loopback = host in ("127.0.0.1", "::1", "localhost")
    return Check(
        name="run.address",
        title="The engine listens only to this machine",
        status="pass" if loopback else "warn",
        expected="a loopback address; vLLM's key guards /v1 only, so the network reaches it through the bastion",
        observed=host,
        fix="set serving.host to 127.0.0.1 in the profile",
        source="https://docs.vllm.ai/en/stable/usage/security/",
    )
