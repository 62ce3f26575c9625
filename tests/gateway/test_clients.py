"""Clients' configurations: each is what its program reads, names only roles that are there, and holds no key."""

import ast
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lib.core import profile as profiles
from lib.gateway import clients
from lib.gateway.app import POSTS


@pytest.fixture(params=["embedded", "rtx-pro-6000"])
def profile(request: pytest.FixtureRequest) -> profiles.Profile:
    return profiles.load(request.param)


def test_every_file_can_be_read(profile: profiles.Profile, tmp_path: Path) -> None:
    files = clients.write(profile, tmp_path, "http://10.0.0.1:8080/")
    assert [path.relative_to(tmp_path).as_posix() for path in files] == [client.file for client in clients.CLIENTS]
    for path in files:
        text = path.read_text()
        assert "http://10.0.0.1:8080/v1" in text
        assert "{{" not in text.replace("${{ secrets", "")
        if path.suffix == ".json":
            json.loads(text)
        elif path.suffix == ".yaml":
            YAML(typ="safe", pure=True).load(text)
        elif path.suffix == ".py":
            ast.parse(text)


def test_roles_are_those_of_the_profile(profile: profiles.Profile, tmp_path: Path) -> None:
    clients.write(profile, tmp_path)
    models = YAML(typ="safe", pure=True).load((tmp_path / "continue/config.yaml").read_text())["models"]
    assert {model["model"] for model in models} <= set(profile.gateway.roles)
    embeds = [model for model in models if model["roles"] == ["embed"]]
    assert bool(embeds) == ("embed" in profile.gateway.roles)


def test_memory_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    clients.write(profiles.load("rtx-pro-6000", {"gateway.memory": True}), tmp_path)
    assert json.loads((tmp_path / "obsidian/provider.json").read_text())["chatModel"] == "memory/planner"


def test_no_key_stands_in_them(profile: profiles.Profile, tmp_path: Path) -> None:
    text = "".join(path.read_text() for path in clients.write(profile, tmp_path))
    assert "rb_" not in text
    assert clients.KEY in text


def test_what_they_call_is_there() -> None:
    called = {call for client in clients.CLIENTS for call in client.calls}
    assert called <= {*POSTS, "/v1/models"}
