"""What a run ran with, as a CycloneDX bill of materials: environments, models with their files' digests, images."""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from lib.core import evidence, fingerprint, paths
from lib.core import profile as profiles
from lib.core.sections import Profile
from lib.core.state import RunState
from lib.engine.models import fetch, manifest
from lib.report.seal import installed
from lib.report.seal.cyclonedx import Bom, Component, Metadata, hashes, properties, purl
from lib.report.seal.statement import encode

NAME = "sbom.cdx.json"
_DIGEST = re.compile(r"@sha256:([0-9a-f]{64})$")
_LITERAL_IMAGE = re.compile(r"^\s*(?:image:|FROM)\s+([^\s{}]+)\s*$", re.MULTILINE)
_BUILT = re.compile(r"^\s*build:", re.MULTILINE)


def same_machine(state: RunState) -> bool:
    """Tell whether this machine has what the run ran with: the same hardware, kernel, Python and engine."""
    return bool(state.host) and state.host == fingerprint.facts()


def make(run: Path, state: RunState) -> bytes:
    """Return the bill of materials of a run, as JSON; the same content gives the same bytes.

    Raises
    ------
    RunbookError
        The run's profile is unknown by now, or its evidence is damaged.
    """
    profile = profiles.load(state.profile, state.overrides)
    bom = Bom(
        metadata=Metadata(
            timestamp=state.started + timedelta(seconds=state.seconds),
            component=Component(type="application", bom_ref="runbook", name="inference-runbook"),
            properties=properties({"run": state.id, "profile": state.profile, "mode": state.mode}) or [],
        ),
        components=[*_environments(profile), *_driver(state), *_models(run, profile), *images(profile)],
    )
    number = uuid.uuid5(uuid.NAMESPACE_URL, fingerprint.digest(bom.content()) + state.id)
    return encode(bom.model_copy(update={"serial_number": f"urn:uuid:{number}"}).content())


def _environments(profile: Profile) -> Iterator[Component]:
    locked = installed.locks()
    yield from installed.python("runbook", locked=locked)
    if profile.serving.python:
        yield from installed.python("engine", profile.serving.python, locked)
    yield from installed.system()


def _driver(state: RunState) -> Iterator[Component]:
    told = state.host.get("nvidia_driver", "none")
    if told != "none":
        yield Component(type="device-driver", bom_ref="nvidia-driver", name="NVIDIA driver", description=told)


def _models(run: Path, profile: Profile) -> Iterator[Component]:
    """Yield the models of the store that the profile or a record of the run names."""
    named = {record.provenance.model for record in evidence.read(run / "evidence.jsonl")}
    named |= set(_texts(profile.model_dump()))
    for name in fetch.present(profile.models.store):
        known = fetch.installed(name, profile.models.store)
        if known and name in named:
            yield model(known, fetch.folder(name, profile.models.store))


def model(known: manifest.Manifest, folder: Path) -> Component:
    """Return a model with the digest of each of its files, as its manifest has them."""
    origin = known.origin
    repository = origin.get("repo", "")
    damaged = manifest.damage(folder, known)
    files = [
        Component(type="file", bom_ref=f"model/{known.model}/{name}", name=name, hashes=hashes([entry.sha256]))
        for name, entry in sorted(known.files.items())
    ]
    return Component(
        type="machine-learning-model",
        bom_ref=f"model/{known.model}",
        name=known.model,
        version=origin.get("revision") or origin.get("version"),
        purl=purl("huggingface", repository, origin.get("revision", "").lower()) if repository else None,
        components=files,
        properties=properties(
            {
                **{f"origin:{key}": value for key, value in origin.items()},
                **{f"converter:{key}": value for key, value in known.converter.items()},
                "compared-with-published-hashes": "yes" if known.verified else "no",
                "damaged": "; ".join(f"{found.file} {found.what}" for found in damaged),
            }
        ),
    )


def images(profile: Profile, templates: Path = paths.TEMPLATES / "compose") -> list[Component]:
    """Return the container images that the profile and the compose templates name."""
    named = {value: "" for key, value in _leaves(profile.model_dump()) if key.endswith("image") and value}
    for file in sorted(templates.glob("*.j2")):
        text = file.read_text(encoding="utf-8")
        for found in _LITERAL_IMAGE.finditer(text):
            local = "image:" in found[0] and _BUILT.search(text)
            named.setdefault(found[1], "is built on the host" if local else "")
    return [_image(reference, note) for reference, note in sorted(named.items())]


def _image(reference: str, note: str) -> Component:
    digest = _DIGEST.search(reference)
    folder, slash, last = reference.partition("@")[0].rpartition("/")
    name, _, tag = last.partition(":")  # a colon before the last slash is a port
    place = f"{folder}{slash}{name}"
    host, _, rest = place.partition("/")
    registry = {"repository_url": host} if rest and ("." in host or ":" in host) else {}
    return Component(
        type="container",
        bom_ref=f"image/{reference}",
        name=place,
        version=tag or _tag(digest, tag) or None,
        hashes=hashes([digest[1]]) if digest else None,
        purl=None if note else purl("docker", rest if registry else place, _tag(digest, tag), **registry),
        properties=properties({"digest": "" if digest else f"none: it {note or 'is named by its tag only'}"}),
    )


def _tag(digest: re.Match[str] | None, tag: str) -> str:
    return f"sha256:{digest[1]}" if digest else tag


def _leaves(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts of nested mappings, each with its own key."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        elif isinstance(value, str):
            yield key, value


def _texts(data: Any) -> Iterator[str]:
    """Yield every text in nested mappings and lists."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value)
