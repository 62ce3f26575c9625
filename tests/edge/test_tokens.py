"""Tokens: their secret is made once and is private; a service gets one by command."""

import json
from pathlib import Path

import pytest

from lib import cli
from lib.core.errors import Exit, RunbookError
from lib.deploy.bastion.auth_service import Judge
from lib.edge import tokens
from lib.gateway import keys


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    store = tmp_path / "folder" / "keys.json"
    made = tokens.secrets_of(store)
    first = made.read_bytes()
    assert made.stat().st_mode & 0o777 == 0o600
    assert tokens.secrets_of(store).read_bytes() == first
    assert [path.name for path in made.parent.iterdir()] == [tokens.SECRETS], "no scratch file is left"


def test_the_newest_secret_signs_and_an_older_one_still_holds(tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    old = tokens.token("n8n", store)
    path = tokens.secrets_of(store)
    told = json.loads(path.read_text())
    told["secrets"].append({"id": "newer", "secret": "c29tZXRoaW5nIGVsc2UgdGhhdCBpcyBsb25n", "created": ""})
    path.write_text(json.dumps(told))
    judge = Judge(store, path)
    new = tokens.token("n8n", store)
    assert [judge.judge(f"Bearer {one}", "x").status for one in (old, new)] == [204, 204]
    told["secrets"].pop(0)
    path.write_text(json.dumps(told))
    path.touch()
    fresh = Judge(store, path)
    assert [fresh.judge(f"Bearer {one}", "x").status for one in (old, new)] == [401, 204]


@pytest.mark.parametrize("minutes", [0, -1, 15.1, 1e9])
def test_a_life_that_the_bastion_would_refuse_is_refused_here(tmp_path: Path, minutes: float) -> None:
    with pytest.raises(RunbookError, match="15 minutes at most"):
        tokens.token("n8n", tmp_path / "keys.json", minutes)
    assert list(tmp_path.iterdir()) == []


def test_by_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(keys, "place", lambda _: tmp_path / "keys.json")

    def call(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["lib", "bastion", "token", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    assert call("n8n", "--minutes", "5", "--per-minute", "2") == 0
    token = capsys.readouterr().out.strip()
    judge = Judge(tmp_path / "keys.json", tmp_path / tokens.SECRETS)
    assert [judge.judge(f"Bearer {token}", "x").status for _ in range(3)] == [204, 204, 403]
    assert call("n8n", "--minutes", "60") == Exit.BAD_INPUT
    assert "--minutes 10" in capsys.readouterr().err
