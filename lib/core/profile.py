"""Profiles: one typed YAML file describes a target, what is expected of it and how it is served."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.core import paths, processor
from lib.core.errors import RunbookError, nearest
from lib.core.sections import Profile


def names(folder: Path = paths.PROFILES) -> list[str]:
    """Return the names of all profiles, sorted."""
    return sorted(path.stem for path in folder.glob("*.yml"))


def load(name: str, overrides: Mapping[str, Any] | None = None, folder: Path = paths.PROFILES) -> Profile:
    """Load a profile by name, with what it extends, and apply dotted overrides.

    Parameters
    ----------
    name : str
        File name without `.yml`.
    overrides : mapping of str to value, optional
        Dotted field to value, such as ``{"batching.repeats": 5}``.

    Raises
    ------
    RunbookError
        Unknown profile or key (names the nearest), wrong type, value out of range, broken YAML, circular `extends`.
    """
    data = _merged(name, folder, seen=[])
    data["name"] = name
    for dotted, value in (overrides or {}).items():
        _set(data, dotted, value)
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors()[0], name, dotted=set(overrides or {})) from error
    if profile.serving.dtype != "native":
        return profile
    return change(profile, "serving", dtype="bfloat16" if processor.computes_bfloat16() else "float32")


def _merged(name: str, folder: Path, seen: list[str]) -> dict[str, Any]:
    if name in seen:
        raise RunbookError(
            f"profile '{name}' extends itself",
            where=" -> ".join([*seen, name]),
            fix=f"remove 'extends' from runbook/profiles/{name}.yml",
        )
    path = folder / f"{name}.yml"
    if not path.is_file():
        valid = names(folder)
        raise RunbookError(
            f"unknown profile '{name}'",
            where=f"runbook/profiles/{seen[-1]}.yml, extends" if seen else "--profile",
            nearest=nearest(name, valid),
            fix=f"choose one of: {', '.join(valid)}",
        )
    try:
        data = YAML(typ="safe", pure=True).load(path)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RunbookError(f"not valid YAML: {error.problem}", where=f"runbook/profiles/{path.name}{line}") from error
    if not isinstance(data, dict):
        raise RunbookError("a profile is a mapping of sections", where=f"runbook/profiles/{path.name}")
    base = data.pop("extends", None)
    return _overlay(_merged(base, folder, [*seen, name]), data) if base else data


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Lay `top` over `base`: sections merge, the rest (lists too) is replaced, and null takes back what `base` says."""
    merged = {key: value for key, value in base.items() if top.get(key, value) is not None}
    for key, value in top.items():
        if value is None:
            continue
        below = merged.get(key)
        merged[key] = _overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _set(data: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, leaf = dotted.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise RunbookError(f"'{dotted}' is not a field: '{section}' has no fields of its own", where="--set")
    data[leaf] = value


def thorough(name: str, folder: Path = paths.PROFILES) -> dict[str, Any]:
    """Return what `--thorough` overrides in a profile, dotted field to value: the full sweeps instead of short ones."""
    return dict(_dotted(load(name, folder=folder).thorough))


def change(profile: Profile, section: str, **fields: Any) -> Profile:
    """Return a profile with some fields of one section set, validated like a file.

    Raises
    ------
    RunbookError
        Unknown field, wrong type or value out of range.
    """
    data = profile.model_dump()
    data[section] |= fields
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors()[0], profile.name, dotted=set()) from error


def _dotted(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        # A section's fields are set one by one; a field that is a mapping itself is set as a whole.
        if not prefix and isinstance(value, dict):
            yield from _dotted(value, f"{key}.")
        else:
            yield f"{prefix}{key}", value


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``key=value`` from the command line; the value is read as JSON, or else taken as text."""
    key, separator, value = text.partition("=")
    if not separator:
        raise RunbookError(f"'{text}' is not key=value", where="--set", fix="for example: --set batching.repeats=5")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _explain(detail: ErrorDetails, name: str, dotted: set[str]) -> RunbookError:
    place = ".".join(str(part) for part in detail["loc"])
    source = "--set" if place in dotted else f"runbook/profiles/{name}.yml"
    if detail["type"] == "extra_forbidden":
        valid = _fields(detail["loc"][:-1])
        near = nearest(str(detail["loc"][-1]), valid)
        return RunbookError(
            f"unknown key '{place}'",
            where=source,
            nearest=".".join([*(str(part) for part in detail["loc"][:-1]), near]) if near else "",
            fix=f"valid here: {', '.join(valid)}",
        )
    near = ""
    if detail["type"] == "literal_error":
        expected = str(detail.get("ctx", {}).get("expected", ""))
        near = nearest(str(detail["input"]), expected.replace("'", "").replace(" or ", ", ").split(", "))
    got = "" if detail["type"] == "missing" else f" (got {detail['input']!r})"
    return RunbookError(f"{place}: {detail['msg']}{got}", where=source, nearest=near, fix=_hint(detail["loc"]))


def _field_model(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Walk from `Profile` along an error location to the section that it names."""
    model: type[BaseModel] = Profile
    for part in loc:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        kind = model.model_fields[part].annotation
        candidates = [kind, *get_args(kind)] if get_origin(kind) else [kind]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            return None
        model = found[0]
    return model


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    model = _field_model(loc)
    return sorted(model.model_fields) if model else []


def _hint(loc: tuple[int | str, ...]) -> str:
    model = _field_model(loc[:-1])
    field = model.model_fields.get(str(loc[-1])) if model else None
    return field.description or "" if field else ""
