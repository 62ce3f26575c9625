"""The rendered service: what it says, that the real tools accept it, and that each verification can fail."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lib.core import profile
from lib.core.errors import RunbookError
from lib.core.evidence import Check
from lib.deploy import serving, template
from lib.deploy.serving import Service

ARGUMENTS = ["--model", "/srv/models/m", "--host", "127.0.0.1", "--port", "8000", "--dtype", "auto", "--x", "a b"]
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="apt-get install systemd")


@pytest.fixture(params=["embedded", "rtx-pro-6000"])
def described(request: pytest.FixtureRequest) -> Service:
    return serving.service(profile.load(request.param), "m", ARGUMENTS, {"HF_HUB_OFFLINE": "1"})


def verdicts(described: Service) -> dict[str, Check]:
    return {check.name: check for check in serving.verify(described)}


def changed(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Let a renderer return its text with one thing changed."""
    original: Callable[[Service], str] = getattr(serving, name)

    def damaged(described: Service) -> str:
        text = original(described)
        assert old in text
        return text.replace(old, new, 1)

    monkeypatch.setattr(serving, name, damaged)


@needs_systemd
def test_the_real_tools_accept_what_is_rendered(described: Service) -> None:
    found = verdicts(described)
    for name in ("serving.unit.verify", "serving.unit.exposure", "serving.compose.schema"):
        assert found[name].status == "pass", found[name].observed


@needs_systemd
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("NoNewPrivileges=yes", "NoNewPrivilegez=yes", "NoNewPrivilegez"),
        ("RestartSec=10", "RestartSec=soon", "soon"),
        ("Type=exec", "Type=execute", "execute"),
        ("ExecStart=", "ExecStrat=", "ExecStrat"),
    ],
)
def test_a_mistake_in_the_unit_is_found(
    described: Service, monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str
) -> None:
    changed(monkeypatch, "unit", old, new)
    check = verdicts(described)["serving.unit.verify"]
    assert check.status == "fail"
    assert says in check.observed


@needs_systemd
def test_a_unit_without_hardening_is_found(described: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "unit", lambda _: "[Service]\nExecStart=/bin/true\n")
    assert verdicts(described)["serving.unit.exposure"].status == "fail"


@pytest.mark.parametrize(
    ("old", "new"), [("    command:", "    comand:"), ("    cap_drop:\n      - ALL", "    cap_drop: ALL")]
)
def test_a_mistake_in_the_compose_file_is_found(
    described: Service, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    changed(monkeypatch, "compose", old, new)
    assert verdicts(described)["serving.compose.schema"].status == "fail"


def test_an_image_by_tag_warns_and_by_digest_passes(described: Service) -> None:
    assert verdicts(described)["serving.compose.image"].status == "warn"
    pinned = described._replace(image="vllm/vllm-openai@sha256:" + "0" * 64)
    assert verdicts(pinned)["serving.compose.image"].status == "pass"


def test_a_missing_tool_is_a_skip_that_says_so(described: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = verdicts(described)
    for name, fix in (("serving.unit.verify", "apt-get install systemd"), ("serving.compose.schema", "make setup")):
        assert (found[name].status, found[name].fix) == ("skip", fix)


def test_the_engine_is_published_on_this_machine_only(described: Service) -> None:
    container: dict[str, Any] = YAML(typ="safe", pure=True).load(serving.compose(described))["services"]["vllm"]
    assert container["ports"] == ["127.0.0.1:8000:8000"]
    assert container["command"][container["command"].index("--host") + 1] == "0.0.0.0"
    text = serving.unit(described)
    assert "IPAddressDeny=any" in text
    assert "--host 127.0.0.1" in text


def test_a_card_is_asked_for_only_where_there_is_one(described: Service) -> None:
    assert ("DeviceAllow=char-nvidia rw" in serving.unit(described)) is described.gpu
    assert ("driver: nvidia" in serving.compose(described)) is described.gpu


def test_words_with_blanks_stay_words(described: Service) -> None:
    assert "--x 'a b'" in serving.unit(described)
    assert '- "a b"' in serving.compose(described)


def test_no_watchdog_and_limited_restarts(described: Service) -> None:
    lines = serving.unit(described).splitlines()
    assert not [line for line in lines if line.startswith("WatchdogSec")]
    assert "StartLimitBurst=5" in lines


def test_a_forgotten_value_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("User={{ user }}\n")
    monkeypatch.setattr("lib.core.paths.TEMPLATES", tmp_path)
    with pytest.raises(RunbookError, match="'user' is undefined"):
        template.render("x.j2")
    with pytest.raises(RunbookError, match="TemplateNotFound"):
        template.render("none.j2")
