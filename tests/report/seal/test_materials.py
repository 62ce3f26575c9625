"""The bill of materials: packages, models with their files' digests, images.

The official schema of CycloneDX 1.6 lies in no package of the lock and is not copied here; the fields that it requires
and what it says of references, digests and package URLs are held below, on a bill of this very machine.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from report.seal.sealed_run import build

from lib.core import paths
from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.core.state import read_state
from lib.engine.models import manifest
from lib.report.seal import installed, materials
from lib.report.seal.cyclonedx import Component, Hash, purl

# The types of the package URL specification that occur here, each with what it asks of name and version.
PURL = {
    "pypi": r"pkg:pypi/[a-z0-9.-]+@[\w.%-]+",
    "deb": r"pkg:deb/[a-z]+/[a-z0-9.+%-]+@[\w.:%~+-]+\?arch=\w+",
    "docker": r"pkg:docker/[\w./-]+@[\w.:-]+(\?repository_url=[\w.:-]+)?",
    "huggingface": r"pkg:huggingface/[\w.-]+/[\w.-]+@[0-9a-f]{40}",
    "generic": r"pkg:generic/[a-z]+@[\w.%-]+",
}


@pytest.fixture(scope="module")
def bom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = build(tmp_path_factory.mktemp("materials") / "run")
    state = read_state(run).model_copy(update={"overrides": {}})
    made = materials.make(run, state)
    assert made == materials.make(run, state), "the same is told in the same bytes"
    told: dict[str, Any] = json.loads(made)
    return told


def everything(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        yield component
        yield from everything(component.get("components", []))


def told(component: Component) -> dict[str, str]:
    return {each.name.removeprefix("runbook:"): each.value for each in component.properties or []}


def test_it_has_what_the_specification_requires(bom: dict[str, Any]) -> None:
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    assert uuid.UUID(bom["serialNumber"].removeprefix("urn:uuid:")).version == 5
    assert bom["metadata"]["timestamp"] == "2026-11-24T19:31:30Z"
    assert bom["metadata"]["lifecycles"] == [{"phase": "operations"}]
    for component in [bom["metadata"]["component"], *everything(bom["components"])]:
        assert component["type"]
        assert component["name"]
        for digest in component.get("hashes", []):
            assert digest["alg"] == "SHA-256"
            assert re.fullmatch("[0-9a-f]{64}", digest["content"])


def test_every_reference_is_unique_and_every_package_url_valid(bom: dict[str, Any]) -> None:
    found = [bom["metadata"]["component"], *everything(bom["components"])]
    references = [component["bom-ref"] for component in found]
    assert len(references) == len(set(references))
    addresses = [component["purl"] for component in found if "purl" in component]
    assert len(addresses) > 200
    for address in addresses:
        assert re.fullmatch(PURL[address.removeprefix("pkg:").partition("/")[0]], address), address


def test_every_installed_package_is_listed_in_its_version(bom: dict[str, Any]) -> None:
    here = {installed.normalised(d.metadata["Name"]) for d in metadata.distributions() if d.metadata["Name"]}
    listed = {
        installed.normalised(c["name"]): c for c in bom["components"] if c["bom-ref"].startswith("runbook/pkg:pypi/")
    }
    assert here <= listed.keys()
    assert listed["pydantic"]["version"] == metadata.version("pydantic")
    record = metadata.distribution("pydantic").read_text("RECORD")
    assert record
    properties = {p["name"]: p["value"] for p in listed["pydantic"]["properties"]}
    assert properties["runbook:installed-record-sha256"] == hashlib.sha256(record.encode()).hexdigest()


def test_what_the_lock_pins_carries_the_digests_of_the_lock(bom: dict[str, Any]) -> None:
    lock = (paths.LOCKS / "cpu.txt").read_text()
    listed = {c["name"]: c for c in bom["components"] if c["type"] == "library"}
    (single,) = listed["jinja2" if "jinja2" in listed else "Jinja2"]["hashes"]
    assert f"sha256:{single['content']}" in lock
    (archives,) = listed["numpy"]["externalReferences"]
    assert "hashes" not in listed["numpy"], "of several archives nobody knows which was installed"
    assert archives["url"] == listed["numpy"]["purl"]
    assert all(f"sha256:{digest['content']}" in lock for digest in archives["hashes"])


def test_a_lock_gives_each_package_its_archives(tmp_path: Path) -> None:
    one, two = "1" * 64, "2" * 64
    (tmp_path / "a.txt").write_text(f"# by hand\nRuamel_Yaml==0.18 \\\n    --hash=sha256:{one}\ntorch==2.13.0+cpu\n")
    (tmp_path / "b.txt").write_text(f"ruamel-yaml==0.18 ; python_full_version < '3.12' \\\n    --hash=sha256:{two}\n")
    assert installed.locks(tmp_path) == {("ruamel-yaml", "0.18"): [one, two], ("torch", "2.13.0+cpu"): []}


def test_an_environment_that_does_not_answer_says_so(tmp_path: Path) -> None:
    (found,) = installed.python("engine", str(tmp_path / "no-python"))
    assert told(found) == {"not-listed": "it did not answer: FileNotFoundError"}
    assert found.bom_ref == "engine/python"


def test_a_second_environment_has_references_of_its_own() -> None:
    found = list(installed.python("engine"))
    assert all(component.bom_ref.startswith("engine/") for component in found)
    assert {told(component)["environment"] for component in found} == {"engine"}


def test_a_models_files_carry_their_digests(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    known = manifest.Manifest(
        model="qwen3-0.6b",
        origin={"repo": "Qwen/Qwen3-0.6B", "revision": "c1899de289a04d12100db370d81485cdf75e47ca"},
        verified=True,
        files=manifest.describe(tmp_path, {}),
    )
    found = materials.model(known, tmp_path)
    assert found.type == "machine-learning-model"
    assert found.purl == f"pkg:huggingface/Qwen/Qwen3-0.6B@{known.origin['revision']}"
    digests = {file.name: file.hashes[0].content for file in found.components or [] if file.hashes}
    assert digests == {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in known.files}
    assert "damaged" not in told(found)
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    assert "model.safetensors has other content" in told(materials.model(known, tmp_path))["damaged"]


def test_models_that_neither_profile_nor_run_names_are_left_out(bom: dict[str, Any]) -> None:
    profile = profiles.load("embedded")
    listed = {c["name"] for c in bom["components"] if c["type"] == "machine-learning-model"}
    named = set(materials._texts(profile.model_dump()))
    assert listed <= named


def test_an_image_without_a_digest_says_that_it_has_none() -> None:
    profile = profiles.load("embedded", {"serving.image": f"host.example:5000/vllm/vllm:v1@sha256:{'c' * 64}"})
    found = {component.name: component for component in materials.images(profile)}
    pinned = found["host.example:5000/vllm/vllm"]
    assert [digest.content for digest in pinned.hashes or []] == ["c" * 64]
    assert pinned.purl == f"pkg:docker/vllm/vllm@sha256:{'c' * 64}?repository_url=host.example:5000"
    assert pinned.version == "v1"
    assert told(pinned) == {}
    assert told(found["python"]) == {"digest": "none: it is named by its tag only"}
    assert found["python"].purl == "pkg:docker/python@3.12-slim"
    assert told(found["inference-gateway"]) == {"digest": "none: it is built on the host"}
    assert found["inference-gateway"].purl is None


def test_every_image_of_the_compose_templates_is_listed() -> None:
    literal = re.compile(r"(?:image:|FROM) ([\w./:-]+)$", re.MULTILINE)
    texts = [file.read_text() for file in (paths.TEMPLATES / "compose").glob("*.j2")]
    named = {match for text in texts for match in literal.findall(text)}
    listed = {component.bom_ref.removeprefix("image/") for component in materials.images(profiles.load("embedded"))}
    assert named
    assert named <= listed
    fields = {match for text in texts for match in re.findall(r"image: \{\{ (?:\w+)\.(\w+) \}\}", text)}
    assert fields == {"image", "vane_image", "searxng_image"}, "each is a field of the profile that ends so"


def test_it_names_no_place_of_this_machine(bom: dict[str, Any]) -> None:
    text = json.dumps(bom)
    assert str(Path.home()) + "/" not in text
    assert str(paths.ROOT) not in text


def test_an_unknown_profile_is_an_error(tmp_path: Path) -> None:
    run = build(tmp_path / "run")
    with pytest.raises(RunbookError, match="unknown profile"):
        materials.make(run, read_state(run).model_copy(update={"profile": "gone"}))


def test_package_urls_are_encoded() -> None:
    assert purl("pypi", "torch", "2.13.0+cpu") == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert purl("deb", "debian/tidy", "2:5.6.0-11", arch="amd64") == "pkg:deb/debian/tidy@2:5.6.0-11?arch=amd64"


def test_a_digest_is_a_digest() -> None:
    with pytest.raises(ValidationError):
        Hash(content="abc")
