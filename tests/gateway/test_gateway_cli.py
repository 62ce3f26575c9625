"""`python -m lib gateway`: keys are made, listed, changed and ended; mistakes get a message."""

import json
from pathlib import Path

import pytest

from lib import cli
from lib.core.errors import Exit
from lib.gateway import keys


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["lib", "gateway", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_a_keys_life(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    at = ("--file", str(file))
    assert call(monkeypatch, "key", "create", "laptop", "--roles", "planner, coder", "--per-minute", "9", *at) == 0
    secret = capsys.readouterr().out.strip()
    key = keys.Store(file).check(secret)
    assert key is not None
    assert (key.roles, key.requests_per_minute) == (("planner", "coder"), 9)
    assert call(monkeypatch, "key", "list", *at) == 0
    listed = capsys.readouterr().out
    assert "laptop" in listed
    assert secret not in listed
    assert call(monkeypatch, "key", "rotate", key.id, *at) == 0
    newer = capsys.readouterr().out.strip()
    assert keys.Store(file).check(secret) is None
    found = keys.Store(file).check(newer)
    assert found is not None
    assert call(monkeypatch, "key", "revoke", found.id, *at) == 0
    assert [entry["revoked"] is None for entry in json.loads(file.read_text())["keys"]] == [False, False]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("key", "revoke", "12345678"), "no key '12345678'"),
        (("key", "create", "a b"), "no name for a key"),
        (("key", "create", "ok", "--roles", ","), "needs a role"),
        (("serve", "--set", "gateway.prot=1"), "did you mean: gateway.port"),
        (("serve", "--set", "gateway.roles={}"), "no role for the gateway"),
        (("serve", "--profile", "embeded"), "did you mean: embedded"),
    ],
)
def test_mistakes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    text: str,
) -> None:
    more = ("--file", str(tmp_path / "keys.json")) if arguments[0] == "key" else ()
    assert call(monkeypatch, *arguments, *more) == Exit.BAD_INPUT
    assert text in capsys.readouterr().err


def test_clients_are_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, "clients", str(tmp_path), "--url", "http://127.0.0.1:1") == 0
    assert "continue/config.yaml" in capsys.readouterr().out
