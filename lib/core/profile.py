"""Profiles: one typed YAML file describes a target, what is expected of it and how it is served."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.core import paths
from lib.core.errors import RunbookError, nearest


class Section(BaseModel):
    """Base of all sections: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Cpu(Section):
    """The processor that the profile expects; an empty or zero field expects nothing."""

    model: str = Field(default="", description="Part of the model name that lscpu prints")
    sockets: int = Field(default=0, ge=0)
    cores: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    numa_nodes: int = Field(default=0, ge=0)
    governor: str = Field(default="", description="cpufreq governor wanted for serving")
    power_w: float = Field(default=0, ge=0, description="What it draws at full load, W; for the UPS's sum")


class Memory(Section):
    """Main memory: at least so much, in so many modules, at this configured speed."""

    minimum_gib: float = Field(default=0, ge=0)
    dimms: int = Field(default=0, ge=0)
    channels: int = Field(default=0, ge=0)
    configured_mts: int = Field(default=0, ge=0, description="MT/s that the firmware should run the modules at")


class Gpu(Section):
    """One expected GPU."""

    vendor: Literal["nvidia", "amd"] = "nvidia"
    name: str = Field(description="Part of the name that the driver prints")
    memory_mib: int = Field(ge=1)
    compute_capability: str = Field(default="", pattern=r"^(\d+\.\d)?$")
    pcie_generation: int = Field(default=0, ge=0, le=7)
    pcie_width: int = Field(default=0, ge=0, le=16)
    power_default_w: float = Field(default=0, ge=0)
    power_cap_w: float = Field(default=0, ge=0, description="Recommended power limit; 0 leaves the default")
    temperature_warn_c: float = Field(default=83, ge=30, le=110)
    ecc: bool | None = None


class Disk(Section):
    """A disk that must be there, and how fast it must read for the load times that the owner wants."""

    purpose: str
    minimum_gb: float = Field(ge=0)
    kind: Literal["nvme", "ssd", "hdd", "any"] = "any"
    read_mb_s: float = Field(default=0, ge=0, description="Sequential read expected, MB/s; 0 expects nothing")


Answer = Literal["unanswered", "yes", "no"]


class ChecklistItem(Section):
    """A question that software cannot answer; the owner does. Unanswered is a warning, `no` a failure."""

    question: str
    why: str
    answer: Answer = "unanswered"
    note: str = ""


class HostExpectations(Section):
    """What chapter 01 holds the machine against."""

    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    gpus: list[Gpu] = []
    disks: list[Disk] = []
    ups: bool = Field(default=False, description="A UPS is expected to answer through NUT")
    free_disk_gb: float = Field(default=10, ge=0, description="Free space needed where models and runs are kept")
    checklist: dict[str, ChecklistItem] = {}


class Driver(Section):
    """What chapter 02 holds the NVIDIA stack against."""

    minimum: str = Field(default="580", pattern=r"^\d+(\.\d+)*$")
    preferred_branches: list[int] = [580, 595]
    module: Literal["open", "any"] = "open"
    cuda_minimum: str = Field(default="13.0", pattern=r"^\d+\.\d+$")
    arch: str = Field(default="", pattern=r"^(sm_\d+a?)?$", description="Architecture the engine must be built for")
    container_toolkit: bool = False


class Tuning(Section):
    """What chapter 03 recommends where it departs from the defaults of the runbook."""

    swappiness: int = Field(default=10, ge=0, le=200)
    transparent_hugepages: Literal["always", "madvise", "never"] = "madvise"
    hugepages: int = Field(default=0, ge=0, description="Static 2 MiB huge pages; vLLM uses none")
    open_files: int = Field(default=65536, ge=1024)
    persistence: bool = True


class Models(Section):
    """Which models, where they lie, and what must fit together."""

    store: str = Field(default=".cache/models", description="Folder of models; relative to the repository or absolute")
    served: str = Field(description="Catalogue name of the model that chapters 05 and 06 serve")
    others: list[str] = Field(default=[], description="Further catalogue names that the owner wants ready")
    combinations: list[list[str]] = Field(default=[], description="Sets of models that should share the card")
    card_gib: float = Field(default=0, ge=0, description="Memory of the card, GiB; 0 on a CPU")
    reserve_gib: float = Field(default=3.0, ge=0, description="Per process: CUDA context, graphs, activations")


class Serving(Section):
    """How the engine is started. Every field becomes a vLLM flag or environment variable of the same meaning."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="0 picks a free port")
    max_model_len: int = Field(default=2048, ge=16)
    max_num_seqs: int = Field(default=32, ge=1)
    max_num_batched_tokens: int = Field(default=2048, ge=16)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    kv_cache_dtype: str = "auto"
    gpu_memory_utilization: float = Field(default=0.92, gt=0, le=1)
    cpu_kv_cache_gib: int = Field(default=0, ge=0, description="VLLM_CPU_KVCACHE_SPACE; CPU only")
    enforce_eager: bool = False
    load_format: Literal["auto", "dummy"] = Field(default="auto", description="dummy fills random weights: speed only")
    ready_timeout_s: float = Field(default=600, gt=0)
    stop_timeout_s: float = Field(default=30, gt=0)
    extra_args: list[str] = Field(default=[], description="Further vLLM flags, one word an item")
    environment: dict[str, str] = {}
    image: str = Field(default="vllm/vllm-openai:v0.33.0", description="Container image of the compose file")


class Batching(Section):
    """The load of chapter 06 and the latency limits that the owner wants to hold."""

    concurrency: list[int] = Field(default=[1, 4, 16, 32], min_length=1)
    input_tokens: int = Field(default=128, ge=1)
    output_tokens: int = Field(default=64, ge=2)
    prompts_per_slot: int = Field(default=2, ge=1, description="Requests a point = concurrency × this")
    repeats: int = Field(default=3, ge=2)
    warmup_prompts: int = Field(default=1, ge=0, description="Uncounted requests of each point, × concurrency")
    ttft_limit_ms: float = Field(default=2000, gt=0)
    tpot_limit_ms: float = Field(default=100, gt=0)


class Line(Section):
    """The owner's connection."""

    download_mbit_s: float = Field(default=30, gt=0)


class Profile(Section):
    """One target: a typed file in runbook/profiles."""

    name: str
    title: str
    description: str
    hardware: Literal["cpu", "cuda"]
    host: HostExpectations = HostExpectations()
    driver: Driver = Driver()
    tuning: Tuning = Tuning()
    models: Models
    serving: Serving = Serving()
    batching: Batching = Batching()
    line: Line = Line()


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
        return Profile.model_validate(data)
    except ValidationError as error:
        raise _explain(error.errors()[0], name, dotted=set(overrides or {})) from error


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
