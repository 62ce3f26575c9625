"""What a run wrote, made fit to be committed: no folder of the machine, no address, no lists of single requests."""

import json
import re
from collections.abc import Mapping
from typing import Any

from lib.core.evidence import AnyRecord
from lib.engine.serve import log
from lib.host.mask import mask
from lib.report.text import plain
from lib.report.text import portable as without_roots

# Folders that every Linux has, or that the runbook's templates give the target; and the routes of an API.
_COMMON = r"(?:proc|sys|dev|etc|usr|srv|var|opt|boot|bin|sbin|lib|lib64|v1|v2)"
_PATH = re.compile(rf"(?<![\w.:/~*-])/(?!{_COMMON}/)[\w.+@-]+(?:/[\w.+@=,-]+)+/?")
# From here on a path means the same in every checkout.
_INSIDE = re.compile(r"/(\.venv/|\.cache/|runbook/|notebooks/|lib/(?:core|engine|host|chapters)/)")
# A file of an installed package is named by the package alone, wherever it is installed.
_PACKAGES = re.compile(r"(?<![\w.:/~*-])/[\w.+@/-]*?/(?:site|dist)-packages/")
_PER_REQUEST = {"errors", "generated_texts", "input_lens", "itls", "latencies", "output_lens", "queue_times"}
_PER_REQUEST |= {"start_times", "ttfts"}
_LONGEST_LIST = 32
_SUMMARIES = ({"duration", "completed"}, {"avg_latency"}, {"elapsed_time", "tokens_per_second"})
_LOUD = re.compile(r"\b(?:WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d\b")
_PROGRESS = re.compile(r"\d+%\s*(?:Completed|\|)")
_STAMP = re.compile(r"pid=\d+|\d\d-\d\d \d\d:\d\d:\d\d")
_FIRST_STAGE = log.stage("")
MOST_LINES = 200
LONGEST_LINE = 1500


def text(value: str) -> str:
    """Return a text without the places, addresses and numbers that belong to one machine."""
    return _PATH.sub(_shorter, _PACKAGES.sub("", mask(without_roots(value))))


def value(data: Any) -> Any:
    """Return JSON-like data with every text in it made portable."""
    if isinstance(data, str):
        return text(data)
    if isinstance(data, Mapping):
        return {key: value(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [value(item) for item in data]
    return data


def record(found: AnyRecord, files: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Return a record as it travels.

    Parameters
    ----------
    found : AnyRecord
        A record of the run.
    files : mapping of str to (str, str)
        Path below the run's folder to path below the bundle and SHA-256 there; other raw files are no longer named.
    """
    data = found.model_dump(mode="json", by_alias=True)
    raw = [files[artifact.path] for artifact in found.provenance.artifacts if artifact.path in files]
    moved: dict[str, Any] = value(data)
    moved["provenance"]["artifacts"] = [{"path": path, "sha256": digest} for path, digest in raw]
    moved["provenance"]["host"] = found.provenance.host
    return moved


def benchmark(content: str) -> str | None:
    """Return the summary of a result of vLLM's benchmarks as JSON, or None if the file is none."""
    try:
        data = json.loads(content)
    except ValueError:
        return None
    if not isinstance(data, dict) or not any(keys <= data.keys() for keys in _SUMMARIES):
        return None
    kept = {key: item for key, item in data.items() if key not in _PER_REQUEST and not _long(item)}
    return json.dumps(value(kept), indent=1, ensure_ascii=False) + "\n"


def engine_log(content: str) -> str:
    """Return the decisive lines of an engine's log: what `lib.engine.serve.log` reads in it, and every warning.

    Lines that differ only in time and process are kept once; a log without any decisive line gives an empty text.
    """
    kept: list[str] = []
    seen: set[str] = set()
    for line in plain(content).splitlines():
        if not _decisive(line) or (same := _STAMP.sub("", line)) in seen:
            continue
        seen.add(same)
        whole = text(line)
        kept.append(whole if len(whole) <= LONGEST_LINE else f"{whole[:LONGEST_LINE]} …")
    if len(kept) > MOST_LINES:
        left = len(kept) - MOST_LINES
        kept = [*kept[:MOST_LINES], f"… {left} more decisive lines are left out"]
    return "\n".join(kept) + "\n" if kept else ""


def _decisive(line: str) -> bool:
    if _LOUD.search(line):
        return True
    if _PROGRESS.search(line):
        return False
    return log.read(line) != log.Readback() or log.stage(line) != _FIRST_STAGE


def _long(item: Any) -> bool:
    return isinstance(item, list) and len(item) > _LONGEST_LIST


def _shorter(match: re.Match[str]) -> str:
    path = match.group()
    if inside := _INSIDE.search(path):
        return path[inside.start() + 1 :]
    return f"…/{path.rstrip('/').rsplit('/', 1)[-1]}"
