"""What checks of claims may look at: the engine, the packages, the catalogue, the target, this run's evidence."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lib.chapters.claims import ask
from lib.chapters.claims.formula import MissingError
from lib.core import evidence, paths, profile
from lib.core.errors import RunbookError, nearest
from lib.core.evidence import AnyRecord, Check, Measurement
from lib.core.sections import Profile
from lib.engine.models import catalogue, sizes

TARGET = "rtx-pro-6000"  # the machine that the briefing is about, whatever machine this run is on
Version = tuple[int, ...]


@dataclass(frozen=True)
class Known:
    """The sources of all checks; `records` are those of this run."""

    records: Sequence[AnyRecord] = ()
    root: Path = paths.ROOT

    @cached_property
    def engine(self) -> ask.Engine | None:
        """The installed engine, asked once."""
        return ask.installed()

    @cached_property
    def checks(self) -> list[Check]:
        """The checks of this run."""
        return [record for record in self.records if isinstance(record, Check)]

    @cached_property
    def measurements(self) -> list[Measurement]:
        """The measurements of this run."""
        return [record for record in self.records if isinstance(record, Measurement)]

    def need_engine(self) -> ask.Engine:
        """Return the engine, or raise `MissingError` where there is none."""
        if self.engine is None:
            raise MissingError("no engine is installed here")
        return self.engine

    @cached_property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions of formulas."""
        return {
            "weights": lambda name: sizes.weight_bytes(catalogue.get(name)),
            "kv": lambda name, dtype="auto": sizes.kv_token_bytes(catalogue.get(name), dtype),
            "parameters": lambda name: sizes.parameters(catalogue.get(name).architecture),
            "read": _read_bytes,
            "heads": lambda name: catalogue.get(name).architecture.q_heads,
            "kv_heads": lambda name: catalogue.get(name).architecture.kv_heads,
            "context": lambda name: catalogue.get(name).context,
            "attention": lambda name, capability: catalogue.get(name).kernels[capability].attention,
            "in_catalogue": lambda name: name in catalogue.load(),
            "target": target,
            "version": version,
            "locked": lambda package, lock="cuda": package in locked(self.root / f"runbook/locks/{lock}.txt"),
            "lock": self._lock,
            "installed": lambda package: version(installed(package)),
            "choices": self._choices,
            "default": self._default,
            "reference": reference,
            "published": published,
            "round": round,
            "min": min,
        }

    def _lock(self, package: str, lock: str = "cuda") -> Version:
        found = locked(self.root / f"runbook/locks/{lock}.txt")
        if package not in found:
            raise RunbookError(f"no {package} in the lock", where=f"runbook/locks/{lock}.txt")
        return version(found[package])

    def _choices(self, flag: str) -> list[str]:
        return self._option(flag).choices

    def _default(self, flag: str) -> str:
        return self._option(flag).default

    def _option(self, flag: str) -> ask.Option:
        option = self.need_engine().option(flag)
        if option is None:
            raise MissingError(f"the engine has no flag {flag}")
        return option


# What the value of a function rests on, in the words of the table.
ORIGINS = {
    **dict.fromkeys(("weights", "kv", "parameters", "read", "heads", "kv_heads", "context"), "catalogue"),
    **dict.fromkeys(("attention", "in_catalogue"), "catalogue"),
    **dict.fromkeys(("locked", "lock", "installed"), "packages"),
    **dict.fromkeys(("choices", "default"), "engine"),
    "target": "profile",
    "reference": "reference machine",
    "published": "published figure",
}


def version(text: str) -> Version:
    """Return the leading numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0]))


def target(dotted: str) -> Any:
    """Return a field of the target's profile, such as `host.gpus.0.memory_mib`."""
    value: Any = _target()
    for part in dotted.split("."):
        try:
            value = _field(value, part)
        except (AttributeError, IndexError, KeyError) as error:
            valid: Iterable[str] = getattr(type(value), "model_fields", {})
            raise RunbookError(
                f"the profile has no '{part}'",
                where=f"runbook/profiles/{TARGET}.yml, {dotted}",
                nearest=nearest(part, valid),
            ) from error
    return value


@cache
def _target() -> Profile:
    return profile.load(TARGET)


def _field(value: Any, part: str) -> Any:
    if part.isdigit():
        return value[int(part)]
    return value[part] if isinstance(value, dict) else getattr(value, part)


@cache
def locked(lock: Path) -> dict[str, str]:
    """Return the packages of a lock with their versions."""
    found = re.findall(r"^([A-Za-z0-9][-_.A-Za-z0-9]*)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.lower(): number for name, number in found}


def installed(package: str) -> str:
    """Return the version of a package installed here."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise MissingError(f"{package} is not installed here") from error


def _read_bytes(name: str) -> float:
    """Return the bytes that one token reads when a model answers a single request."""
    model = catalogue.get(name)
    return sum(sizes.read_bytes(model, model.architecture.top_k).values())


def reference(name: str, **conditions: Any) -> float:
    """Return the mean of what reference machines measured under these conditions."""
    found = [
        record.value
        for record in _references()
        if record.name == name and all(record.conditions.get(key) == value for key, value in conditions.items())
    ]
    if not found:
        raise MissingError(f"no reference machine measured {name} with {conditions}")
    return sum(found) / len(found)


@cache
def _references() -> tuple[Measurement, ...]:
    files = sorted((paths.RUNBOOK / "reference").glob("*/evidence.jsonl"))
    return tuple(record for file in files for record in evidence.read(file) if isinstance(record, Measurement))


def published(quantity: str, **settings: Any) -> float:
    """Return the one published figure with these settings, from `runbook/published.yml`."""
    figures = [
        figure["value"]
        for figure in _published()
        if figure["quantity"] == quantity and all(figure.get(key) == value for key, value in settings.items())
    ]
    if len(figures) != 1:
        raise RunbookError(
            f"{len(figures)} published figures fit {quantity} with {settings}", where="runbook/published.yml"
        )
    return float(figures[0])


@cache
def _published() -> list[dict[str, Any]]:
    data = YAML(typ="safe").load(paths.RUNBOOK / "published.yml")
    figures: list[dict[str, Any]] = data["figures"]
    return figures
