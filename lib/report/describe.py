"""Say what a reference bundle holds: the machine and its runs as data, and as a page for a reader."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.core import evidence
from lib.core.evidence import AnyRecord
from lib.core.state import RunState
from lib.report import portable
from lib.report.reference import EVIDENCE_FILE, HOST_FILE, Machine, RunSummary

_VERSION = re.compile(r"\b\d{3}\.\d+(?:\.\d+)?\b")


@dataclass(frozen=True)
class Source:
    """A finished run: its folder, its state, its evidence."""

    folder: Path
    state: RunState
    records: list[AnyRecord]


def machine(sources: Sequence[Source], name: str) -> Machine:
    """Return `host.json` of a bundle of these runs, all of one machine, oldest first."""
    facts = [source.state.host for source in sources]
    records = [record for source in sources for record in source.records]
    return Machine(
        name=name,
        date=f"{sources[0].state.started:%Y-%m-%d}",
        card=_card(facts[0], records),
        driver=_driver(facts[0].get("nvidia_driver", "none")),
        fingerprint=sorted({r.provenance.host for r in records if r.provenance.where == "host" and r.provenance.host}),
        weights=_weights(records),
        runs=[_summary(source) for source in sources],
        **{key: _joined(facts, key) for key in ("cpu", "memory", "kernel", "python", "torch")},
        engine=_joined(facts, "vllm"),
    )


def _joined(facts: Sequence[Mapping[str, str]], key: str) -> str:
    return ", ".join(dict.fromkeys(known.get(key, "none") for known in facts))


def _card(facts: Mapping[str, str], records: Sequence[AnyRecord]) -> str:
    """Name the cards; where the kernel does not tell them (in a container), as the hardware audit saw them."""
    told = facts.get("gpus", "none")
    if told != "none":
        return told
    checks = [r for r in records if isinstance(r, evidence.Check) and r.name == "hardware.gpu.present"]
    seen = [check.observed for check in checks if check.status == "pass" and check.observed != "none"]
    return seen[0].removesuffix("; not used by this profile") if seen else "none"


def _driver(line: str) -> str:
    version = _VERSION.search(line)
    return version.group() if version else line


def _weights(records: Sequence[AnyRecord]) -> dict[str, str]:
    told: dict[str, set[str]] = {}
    for record in records:
        if record.provenance.model and record.provenance.weights:
            told.setdefault(record.provenance.model, set()).add(record.provenance.weights)
    return {model: " and ".join(sorted(kinds)) for model, kinds in sorted(told.items())}


def _summary(source: Source) -> RunSummary:
    state = source.state
    overrides = portable.value(state.overrides)
    chapters = [chapter.id for chapter in state.chapters]
    words = ["python", "-m", "lib", "run", "--profile", state.profile, "--only", ",".join(chapters)]
    words += [word for key, item in overrides.items() for word in ("--set", f"{key}={_word(item)}")]
    return RunSummary(
        id=state.id,
        profile=state.profile,
        mode=state.mode,
        command=shlex.join(words),
        started=f"{state.started:%Y-%m-%dT%H:%M:%SZ}",
        seconds=state.seconds,
        chapters=chapters,
        failed=[chapter.id for chapter in state.chapters if chapter.status != "passed"],
        checks=state.checks,
        overrides=overrides,
    )


def _word(item: object) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def readme(of: Machine, files: Mapping[str, str]) -> str:
    """Return the page of a bundle; `files` are its other files, path to text."""
    weights = "; ".join(f"{model}: {kind} weights" for model, kind in of.weights.items()) or "no model was served"
    lines = [
        f"# Reference: {of.name}",
        "",
        "Written by `python -m lib reference`; do not edit it by hand. The document shows these numbers beside those "
        "of its own host (lib/report/beside.py).",
        "",
        f"- machine: {of.card if of.card != 'none' else 'no GPU'}; driver {of.driver}; {of.cpu}; {of.memory}; "
        f"kernel {of.kernel}",
        f"- software: {of.engine}, torch {of.torch}, Python {of.python}",
        f"- date: {of.date}",
        f"- models: {weights}"
        + (". Random weights have a real speed; what they say means nothing." if "random" in weights else "."),
        "",
        "## Runs",
        "",
    ]
    for run in of.runs:
        ended = ", ".join(f"{count} {status}" for status, count in run.checks.items())
        failed = f"; not passed: chapters {', '.join(run.failed)}" if run.failed else ""
        lines += [f"- {run.id}, mode {run.mode}, {run.seconds:.0f} s; checks: {ended}{failed}", f"  `{run.command}`"]
    bench, logs = (sum(path.startswith(folder) for path in files) for folder in ("bench/", "log/"))
    records = files[EVIDENCE_FILE].count("\n")
    lines += [
        "",
        "## Files",
        "",
        f"- `{EVIDENCE_FILE}`: all {records} records; paths of the machine are shortened, and only raw files that are "
        "here are named",
        f"- `{HOST_FILE}`: the machine and the runs, for programs",
        f"- `bench/`: {_counted(bench, 'result')} of vLLM's benchmarks, without the lists of single requests",
        f"- `log/`: {_counted(logs, 'log')} of the engine, only the lines that tell what it chose, and warnings",
    ]
    return "\n".join(lines) + "\n"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
