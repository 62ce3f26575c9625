"""The AI search's files: what compose accepts, where each pitfall is met, and what Vane is told."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lib.core import profile
from lib.core.sections.bastion import Bastion
from lib.deploy.bastion import files, search, search_config

KEY = "rb_00000000_test"


@pytest.fixture(scope="module")
def bastion() -> Bastion:
    return profile.load("rtx-pro-6000").bastion


@pytest.fixture(scope="module")
def rendered(bastion: Bastion) -> dict[str, files.File]:
    return {file.path: file for file in search.search(bastion, bastion.gates[0])}


def read(file: files.File) -> Any:
    return YAML(typ="safe", pure=True).load(file.content)


def test_compose_accepts_it(rendered: dict[str, files.File], tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(rendered[search.COMPOSE].content)
    program = Path(sys.executable).with_name("check-jsonschema")
    _, *words, _ = rendered[search.COMPOSE].check
    done = subprocess.run([program, *words, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    path.write_text(path.read_text().replace("    init: true", "    inti: true"))
    assert subprocess.run([program, *words, path], capture_output=True, check=False).returncode == 1


def test_nobody_but_the_tunnel_reaches_it(bastion: Bastion, rendered: dict[str, files.File]) -> None:
    services = read(rendered[search.COMPOSE])["services"]
    assert services["vane"]["ports"] == [f"{bastion.gates[0].tunnel}:3000:3000"]
    assert "ports" not in services["searxng"]
    assert services["vane"]["extra_hosts"] == [f"{bastion.hostname}:host-gateway"]


def test_docker_starts_nothing_before_the_tunnel(rendered: dict[str, files.File]) -> None:
    services = read(rendered[search.COMPOSE])["services"]
    assert {one["restart"] for one in services.values()} == {"no"}
    unit = rendered["/etc/systemd/system/inference-search.service"].content
    assert "Requires=docker.service wg-quick@wg0.service" in unit
    assert f"ConditionPathExists={search.KEY}" in unit


def test_searxng_speaks_json_counts_nobody_and_tells_nothing_before_it_is_asked(
    rendered: dict[str, files.File],
) -> None:
    told = read(rendered[search.SETTINGS])
    assert "json" in told["search"]["formats"]
    assert told["server"]["limiter"] is False
    assert told["search"]["autocomplete"] == ""
    assert "secret_key" not in told["server"], "it comes from a file of the host"
    assert {"name": "wolframalpha", "disabled": False} in told["engines"]


def test_every_image_has_a_tag_that_stays(rendered: dict[str, files.File]) -> None:
    composed = next(read(file) for path, file in rendered.items() if path.endswith("compose.yml"))
    images = [service["image"] for service in composed["services"].values()]
    assert len(images) == 2
    assert all(re.search(r":(?!latest$)[\w.-]*\d[\w.-]*$", image) for image in images), images


def test_no_models_no_search(bastion: Bastion) -> None:
    without = bastion.model_copy(update={"search": bastion.search.model_copy(update={"chat": []})})
    assert search.search(without, bastion.gates[0]) == []
    public = dict.fromkeys([one.name for one in (*bastion.gates, *bastion.homes)], "A" * 43 + "=")
    firewall = {file.path: file for file in files.gate(without, bastion.gates[0], public)}[files.NFTABLES].content
    assert "inf-search" not in firewall


def run(folder: Path, rendered: dict[str, files.File], key: str = KEY) -> subprocess.CompletedProcess[str]:
    (folder / "models.json").write_text(rendered[search.MODELS].content)
    (folder / "search.key").write_text(key + "\n")
    argv = [sys.executable, "-IS", search_config.__file__, "--settings", f"{folder}/models.json"]
    argv += ["--key", f"{folder}/search.key", "--secret", f"{folder}/search.env", "--folder", f"{folder}/data"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_vane_knows_its_models_and_asks_for_no_set_up(
    bastion: Bastion, rendered: dict[str, files.File], tmp_path: Path
) -> None:
    assert run(tmp_path, rendered).returncode == 0
    path = tmp_path / "data" / "config.json"
    told = json.loads(path.read_text())
    assert told["setupComplete"] is True
    [provider] = told["modelProviders"]
    assert provider["type"] == "openai"
    assert provider["config"] == {"apiKey": KEY, "baseURL": f"https://{bastion.hostname}/v1"}
    assert [one["key"] for one in provider["chatModels"]] == bastion.search.chat
    assert [one["key"] for one in provider["embeddingModels"]] == bastion.search.embeddings
    for secret in (path, tmp_path / "search.env"):
        assert secret.stat().st_mode & 0o777 == 0o600


def test_the_provider_has_the_hash_that_vane_would_give_it() -> None:
    made = search_config.provider({"base_url": "https://a/v1", "chat": [], "embeddings": []}, "k")
    assert made["hash"] == hashlib.sha256(b'{"apiKey":"k","baseURL":"https://a/v1"}').hexdigest()


def test_another_key_replaces_the_one_before_and_keeps_what_the_owner_set(
    rendered: dict[str, files.File], tmp_path: Path
) -> None:
    run(tmp_path, rendered)
    path, secret = tmp_path / "data" / "config.json", (tmp_path / "search.env").read_text()
    told = json.loads(path.read_text())
    told["preferences"]["theme"] = "light"
    told["modelProviders"].append({"id": "other", "name": "other"})
    path.write_text(json.dumps(told))
    assert run(tmp_path, rendered, "rb_11111111_test").returncode == 0
    again = json.loads(path.read_text())
    assert again["preferences"] == {"theme": "light"}
    assert [one["id"] for one in again["modelProviders"]] == ["inference", "other"]
    assert again["modelProviders"][0]["config"]["apiKey"] == "rb_11111111_test"
    assert (tmp_path / "search.env").read_text() == secret


def test_a_damaged_file_is_begun_anew_and_an_empty_key_is_refused(
    rendered: dict[str, files.File], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "config.json"
    path.write_text("{")
    assert run(tmp_path, rendered, "").returncode == 1
    assert path.read_text() == "{"
    assert run(tmp_path, rendered).returncode == 0
    assert json.loads(path.read_text())["setupComplete"] is True


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
def test_systemd_accepts_the_unit(rendered: dict[str, files.File], tmp_path: Path) -> None:
    unit = rendered["/etc/systemd/system/inference-search.service"]
    path = tmp_path / "inference-search.service"
    path.write_text(unit.content)
    program, *words, _ = unit.check
    done = subprocess.run([program, *words, path], capture_output=True, text=True, check=False)
    # Docker need not be here; a word that systemd does not know is told with its line.
    assert not re.findall(r"inference-search.service:\d+:.*", done.stdout + done.stderr)
    path.write_text(unit.content.replace("ExecStop=", "ExecEnd="))
    done = subprocess.run([program, *words, path], capture_output=True, text=True, check=False)
    assert re.findall(r"inference-search.service:\d+:.*", done.stdout + done.stderr)
