"""What a seal states: the SHA-256 of every file of a run, and the result of its checks.

The form is an in-toto statement with the predicate `test-result`: other tools can read it.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lib.core import evidence
from lib.core.evidence import Check, Status
from lib.core.state import read_state

FOLDER = "seal"
NAME = "statement.json"
SIGNED = "statement.dsse.json"
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
_RESULTS: dict[Status, str] = {"pass": "passedTests", "warn": "warnedTests", "fail": "failedTests"}


def files(run: Path) -> Iterator[tuple[str, Path]]:
    """Yield every entry of a run's folder but its seal: regular files, and whatever else is no folder."""
    for folder, inner, names in os.walk(run):
        here = Path(folder)
        if here == run and FOLDER in inner and not (here / FOLDER).is_symlink():
            inner.remove(FOLDER)
        links = [name for name in inner if (here / name).is_symlink()]
        for name in (*names, *links):
            path = here / name
            yield path.relative_to(run).as_posix(), path


def regular(path: Path) -> bool:
    """Tell whether a path is a plain file: not a link, whose content lies elsewhere, nor a pipe or device."""
    return stat.S_ISREG(path.lstat().st_mode)


def make(run: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return the statement about a run's folder.

    Parameters
    ----------
    run : Path
        The run's folder.
    digests : mapping of str to str
        Name and SHA-256 of every file in it but the seal's.
    """
    return {
        "_type": TYPE,
        "subject": [{"name": name, "digest": {"sha256": digests[name]}} for name in sorted(digests)],
        "predicateType": PREDICATE,
        "predicate": results(run),
    }


def results(run: Path) -> dict[str, Any]:
    """Return what the evidence of a run says about its checks, in the words of the predicate."""
    state = read_state(run)
    checks = [record for record in evidence.read(run / "evidence.jsonl") if isinstance(record, Check)]
    told = {key: sorted({c.name for c in checks if c.status == status}) for status, key in _RESULTS.items()}
    stopped = not state.complete or any(chapter.status != "passed" for chapter in state.chapters)
    result = "FAILED" if told["failedTests"] or stopped else "WARNED" if told["warnedTests"] else "PASSED"
    return {"result": result, "configuration": [{"name": state.profile, "annotations": {"run": state.id}}], **told}


def encode(content: Mapping[str, Any]) -> bytes:
    """Return a document as bytes, always the same for the same content."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def read(file: Path) -> dict[str, Any] | None:
    """Read a statement of the form that `make` gives it; anything else is none."""
    try:
        told = json.loads(file.read_bytes())
        names = [entry["name"] for entry in told["subject"] if set(entry["digest"]) == {"sha256"}]
        whole = len(names) == len(set(names)) == len(told["subject"]) > 0
        kinds = (told["_type"], told["predicateType"]) == (TYPE, PREDICATE)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if whole and kinds else None


def subjects(told: Mapping[str, Any]) -> dict[str, str]:
    """Return name and SHA-256 of every file that a statement covers."""
    return {entry["name"]: entry["digest"]["sha256"] for entry in told["subject"]}


def differing(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield which files were added, lost or changed, by name and SHA-256."""
    yield from (f"{name}: added" for name in sorted(now.keys() - was.keys()))
    yield from (f"{name}: lost" for name in sorted(was.keys() - now.keys()))
    yield from (f"{name}: changed" for name in sorted(was.keys() & now.keys()) if was[name] != now[name])
