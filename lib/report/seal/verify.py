"""Tell from a run's folder alone whether anything in it was changed, added or lost since it was closed."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.core import evidence, paths
from lib.core.errors import RunbookError
from lib.report.seal import crate, envelope
from lib.report.seal import statement as statements


@dataclass(frozen=True)
class Verdict:
    """What a look at a sealed folder found; without faults it is as it was when it closed."""

    faults: list[str]
    files: int
    key: str

    @property
    def told(self) -> str:
        """One sentence: whole or not, and who vouches for it."""
        state = f"{len(self.faults)} faults" if self.faults else f"{self.files} files as they were when the run closed"
        return f"{state}; {self.key}"


def verify(run: Path, key: Path | None = None) -> Verdict:
    """Compare a run's folder with its seal; with a public key also ask whose seal it is. Changes nothing.

    Raises
    ------
    RunbookError
        The folder has no seal, or the key is none.
    """
    run = run.resolve()
    folder = run / statements.FOLDER
    if not run.is_dir():
        raise RunbookError("no such folder", where=paths.short(run))
    if not (folder / statements.NAME).exists() and not (folder / statements.SIGNED).exists():
        raise RunbookError("this folder has no seal", where=paths.short(run), fix="python -m lib seal close RUN")
    if key:
        envelope.public(key)
    faults = list(_seal_faults(folder, key))
    told = statements.read(folder / statements.NAME)
    if told is None:
        return Verdict([*faults, f"{statements.NAME}: missing, or no statement"], 0, "not verified")
    subjects = statements.subjects(told)
    faults += _file_faults(run, subjects)
    faults += _crate_faults(run, subjects)
    faults += _content_faults(run, told)
    return Verdict(faults, len(subjects), _whose(folder, key, bool(faults)))


def _seal_faults(folder: Path, key: Path | None) -> Iterator[str]:
    known = {statements.NAME, statements.SIGNED}
    for path in sorted(folder.iterdir()):
        if path.name not in known or not statements.regular(path):
            yield f"seal/{path.name}: does not belong to the seal"
    signed = folder / statements.SIGNED
    if not signed.is_file():
        if key:
            yield f"seal/{statements.SIGNED}: missing; the seal is not signed"
        return
    content = signed.read_bytes()
    try:
        kind, payload, _ = envelope.opened(content)
    except ValueError as error:
        yield f"seal/{statements.SIGNED}: {error}"
        return
    if kind != envelope.PAYLOAD_TYPE:
        yield f"seal/{statements.SIGNED}: holds {kind}, not {envelope.PAYLOAD_TYPE}"
    if not (folder / statements.NAME).is_file() or payload != (folder / statements.NAME).read_bytes():
        yield f"seal/{statements.SIGNED}: signs another statement than {statements.NAME}"
    if key and not envelope.signed_by(content, key):
        yield f"seal/{statements.SIGNED}: not signed with {paths.short(key)}"


def _file_faults(run: Path, subjects: Mapping[str, str]) -> Iterator[str]:
    there = dict(statements.files(run))
    strange = {name for name, path in there.items() if not statements.regular(path)}
    # A pipe is never read: it would wait for somebody to write.
    now = {name: "" if name in strange else evidence.sha256(path) for name, path in there.items()}
    turned = strange & subjects.keys()
    yield from statements.differing(_without(subjects, turned), _without(now, turned))
    yield from (f"{name}: no plain file any more" for name in sorted(turned))


def _without(digests: Mapping[str, str], names: Set[str]) -> dict[str, str]:
    return {name: digest for name, digest in digests.items() if name not in names}


def _crate_faults(run: Path, subjects: Mapping[str, str]) -> Iterator[str]:
    """Yield where the crate, which others read, says other than the statement, which is signed."""
    file = run / crate.NAME
    if crate.NAME not in subjects:
        yield f"seal/{statements.NAME}: does not cover {crate.NAME}"
    try:
        listed = crate.listed(file.read_bytes()) if file.is_file() else None
    except ValueError as error:
        yield f"{crate.NAME}: {error}"
        return
    if listed is None:
        return
    for name in sorted((subjects.keys() | listed.keys()) - {crate.NAME}):
        if subjects.get(name) != listed.get(name):
            yield f"{crate.NAME}: says something else of {name} than the seal"


def _content_faults(run: Path, told: Mapping[str, Any]) -> Iterator[str]:
    """Yield where the statement's own words do not fit the evidence that it covers."""
    try:
        if statements.results(run) != told.get("predicate"):
            yield f"seal/{statements.NAME}: tells other results than the evidence"
    except RunbookError as error:
        yield f"{error.where or 'run.json'}: {error.what}"
    except OSError as error:
        yield f"run.json: {error.strerror}"


def _whose(folder: Path, key: Path | None, faulty: bool) -> str:
    if not (folder / statements.SIGNED).is_file():
        return "not signed: whoever changed a file could have sealed it again"
    if key and not faulty:
        return f"signed with {paths.short(key)}"
    return "signed, not verified" if key else "signed; --key FILE.pub tells by whom"
