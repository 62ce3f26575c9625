"""Close a run's folder: as a crate that others can read, under a seal that shows every change from then on."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lib.core import evidence, paths
from lib.core.errors import RunbookError
from lib.core.state import RunState, read_state
from lib.report.seal import crate, envelope, materials
from lib.report.seal import statement as statements
from lib.report.seal.crate import Entry

ASIDE = ".seal.new"
# What closing writes itself; whether it changed says nothing about the run.
DERIVED = (crate.NAME, crate.WORKFLOW)


@dataclass(frozen=True)
class Closed:
    """A folder that was closed, and how its files differ from those under the seal before, if there was one."""

    folder: Path
    differences: list[str]

    @property
    def told(self) -> list[str]:
        """One line a file that is not as the seal before had it, and one if nobody knows what the run ran with."""
        lines = [f"since the seal before: {line}" for line in self.differences]
        if not (self.folder.parent / materials.NAME).exists():
            lines.append(
                f"no {materials.NAME}: what the run ran with can only be listed on its machine, as it was then"
            )
        return lines


def close(run: Path, key: Path | None = None, *, environment: bool = False) -> Closed:
    """Seal a run's folder; with a private key also sign the seal. An earlier seal is replaced.

    Where nothing changed and no key is given, the seal stays as it is, with its signature. A crash leaves a folder
    without a seal, which can be closed again.

    Parameters
    ----------
    run : Path
        The run's folder.
    key : Path, optional
        The owner's private key.
    environment : bool
        List what the run ran with as it is now, because the run has just ended. Otherwise the list that lies there
        stays; if there is none, it is made only on the machine and with the versions of the run.

    Raises
    ------
    RunbookError
        There is no run, its evidence is damaged, or the key is none.
    """
    run = run.resolve()
    state = read_state(run)
    shutil.rmtree(run / ASIDE, ignore_errors=True)
    _refuse_what_cannot_be_sealed(run)
    written = _derived(run, state, environment)
    payload = statements.encode(statements.make(run, _digests(written)))
    seal = run / statements.FOLDER
    before = statements.read(seal / statements.NAME)
    differences = [] if before is None else _differences(before, payload)
    if key is None and _same(seal / statements.NAME, payload) and all(_same(run / n, c) for n, c in written.items()):
        return Closed(seal, [])
    sealed = {statements.NAME: payload}
    if key:
        sealed[statements.SIGNED] = json.dumps(envelope.sign(payload, key), indent=1).encode()
    _write(run, written, sealed)
    return Closed(seal, differences)


def _refuse_what_cannot_be_sealed(run: Path) -> None:
    strange = [name for name, path in statements.files(run) if not statements.regular(path) or not _encodable(name)]
    if strange:
        raise RunbookError(
            "only plain files with readable names can be sealed",
            where=f"{paths.short(run)}: {', '.join(map(repr, strange))}",
            fix="remove it",
        )


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _derived(run: Path, state: RunState, environment: bool) -> dict[str, bytes]:
    """Return the files that closing adds to the folder: materials, workflow, crate."""
    written = {crate.WORKFLOW: crate.workflow(state).encode()}
    if environment or (not (run / materials.NAME).exists() and materials.same_machine(state)):
        written[materials.NAME] = materials.make(run, state)
    kept = {name: path for name, path in statements.files(run) if name not in written and name != crate.NAME}
    files = {name: Entry(path.stat().st_size, evidence.sha256(path)) for name, path in kept.items()}
    files |= {name: Entry(len(content), _sha256(content)) for name, content in written.items()}
    return {**written, crate.NAME: statements.encode(crate.make(run, state, files))}


def _digests(written: Mapping[str, bytes]) -> dict[str, str]:
    listed = crate.listed(written[crate.NAME])
    return {**listed, crate.NAME: _sha256(written[crate.NAME])}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _same(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def _differences(before: Mapping[str, object], payload: bytes) -> list[str]:
    was, now = statements.subjects(before), statements.subjects(json.loads(payload))
    return [
        line for line in statements.differing(was, now) if not line.startswith(tuple(f"{name}:" for name in DERIVED))
    ]


def _write(run: Path, written: Mapping[str, bytes], sealed: Mapping[str, bytes]) -> None:
    """Put everything in place: the old seal goes first and the new one comes last, by a rename each."""
    aside = run / ASIDE
    aside.mkdir()
    for name, content in {**written, **sealed}.items():
        _durable(aside / name, content)
    if (run / statements.FOLDER).exists():
        (run / statements.FOLDER).rename(aside / "before")
    for name in written:
        (aside / name).replace(run / name)
    shutil.rmtree(aside / "before", ignore_errors=True)
    aside.rename(run / statements.FOLDER)
    _sync(run)


def _durable(file: Path, content: bytes) -> None:
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
