"""Targets: secrets by file with the right mode, and errors that say which file and what to do."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.resilience.backup import paper, restic
from lib.resilience.backup.repository import Repository, find

NAS: dict[str, Any] = {"address": "sftp:backup@nas:/srv/backup"}


def profile(tmp_path: Path, **targets: dict[str, Any]) -> Profile:
    return profiles.load("embedded", {"backup.targets": targets, "backup.folder": str(tmp_path / "b")})


def repository(tmp_path: Path, secret: Path, **fields: Any) -> Repository:
    return find(profile(tmp_path, nas={"address": str(tmp_path / "r"), "password_file": str(secret), **fields}))


def test_the_only_target_need_not_be_named(tmp_path: Path) -> None:
    assert find(profile(tmp_path, nas=NAS)).name == "nas"


@pytest.mark.parametrize(
    ("targets", "name", "says"),
    [
        ({}, "", "names no target"),
        ({"a": NAS, "b": NAS}, "", "one of: a, b"),
        ({"nas": NAS}, "nass", "did you mean: nas"),
    ],
)
def test_a_target_that_is_not_there_is_bad_input(
    tmp_path: Path, targets: dict[str, dict[str, Any]], name: str, says: str
) -> None:
    with pytest.raises(RunbookError, match=says):
        find(profile(tmp_path, **targets), name)


@pytest.mark.parametrize("target", [{}, {"address": "/a", "address_file": "/b"}])
def test_a_target_has_one_address(tmp_path: Path, target: dict[str, Any]) -> None:
    with pytest.raises(RunbookError, match="one of address and address_file"):
        profile(tmp_path, nas=target)


def test_a_password_that_others_read_is_refused(tmp_path: Path, secret: Path) -> None:
    secret.chmod(0o644)
    with pytest.raises(RunbookError, match="mode 0644") as caught:
        repository(tmp_path, secret).environment()
    assert caught.value.fix.startswith("chmod 600")


def test_a_missing_password_comes_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="password_file is missing") as caught:
        repository(tmp_path, tmp_path / "none").environment()
    assert "umask 077" in caught.value.fix


def test_an_empty_password_is_refused(tmp_path: Path, secret: Path) -> None:
    secret.write_text("\n")
    with pytest.raises(RunbookError, match="is empty"):
        repository(tmp_path, secret).environment()


def test_no_secret_is_in_what_restic_is_called_with(tmp_path: Path, secret: Path) -> None:
    address = tmp_path / "address"
    address.write_text("rest:http://user:hidden-word@nas:8000/")
    address.chmod(0o600)
    found = repository(tmp_path, secret, address="", address_file=str(address))
    environment = found.environment()
    assert environment["RESTIC_REPOSITORY_FILE"] == str(address)
    assert "hidden-word" not in " ".join([*found.options(), *environment.values(), found.address()])
    assert "RESTIC_REPOSITORY" not in environment


def test_credentials_of_a_bucket_come_from_their_file(tmp_path: Path, secret: Path) -> None:
    file = tmp_path / "s3.env"
    file.write_text("# made by the owner\nAWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=se=cret\n")
    file.chmod(0o600)
    told = repository(tmp_path, secret, address="s3:https://s3.example/b", credentials_file=str(file)).environment()
    assert (told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]) == ("id", "se=cret")
    file.write_text("AWS_ACCESS_KEY_ID=id\nexport X\n")
    with pytest.raises(RunbookError, match=r"NAME=VALUE(.|\n)*line 2"):
        repository(tmp_path, secret, address="s3:https://s3.example/b", credentials_file=str(file)).environment()


def test_the_callers_own_credentials_are_not_passed_on(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-caller")
    monkeypatch.setenv("RESTIC_PASSWORD", "of-the-caller")
    assert "of-the-caller" not in repository(tmp_path, secret).environment().values()


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("sftp:backup@nas:/srv", "backup@nas", ""), ("sftp://backup@nas:2222//srv", "backup@nas", "2222")],
)
def test_sftp_goes_with_one_key_and_asks_nobody(
    tmp_path: Path, secret: Path, address: str, host: str, port: str
) -> None:
    told = repository(tmp_path, secret, address=address, sftp_key=str(tmp_path / "key")).options()[-1]
    assert f"-i {tmp_path / 'key'}" in told
    assert "BatchMode=yes" in told
    assert f"-E {tmp_path}" in told
    assert f" {host} -s sftp" in told
    assert (f"-p {port}" in told) == bool(port)


def test_the_limit_is_in_restics_unit(tmp_path: Path, secret: Path) -> None:
    assert repository(tmp_path, secret, upload_mbit_s=15.0).options() == ["--limit-upload=1831"]
    assert repository(tmp_path, secret).options() == []


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Fatal: wrong password or no key found", "password"),
        ("unable to create lock in backend: repository is already locked by PID 1", "locked"),
        ("write /mnt/x: no space left on device", "full"),
        ("server response: 403 Forbidden (403)", "refused"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "unreachable"),
        ("subprocess ssh: Host key verification failed.\nunable to start the sftp session, error: EOF", "stranger"),
        ("subprocess ssh: root@nas: Permission denied (publickey).\nerror: EOF", "unwelcome"),
        ("Fatal: repository contains errors", "damaged"),
        ("pack 594aae4039a358a5f29859d1caee4dbc: does not exist", "damaged"),  # 403 in a name
    ],
)
def test_what_restic_says_is_told_apart(said: str, kind: str) -> None:
    assert restic.kind(said) == kind
    assert restic.ResticError(kind, said, "nas").fix


def test_without_restic_the_error_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RunbookError, match="apt-get install restic"):
        restic.program()


@pytest.mark.skipif(not shutil.which("qrencode"), reason="make setup installs qrencode")
def test_the_page_has_the_password_and_is_its_owners_alone(tmp_path: Path, secret: Path) -> None:
    secret.write_text("abcdefghijklmnop<&>\n")
    file = tmp_path / "key.html"
    paper.write(repository(tmp_path, secret), file)
    markup = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "<span>abcdef</span><span>ghijkl</span><span>mnop&lt;&amp;</span>" in markup
    assert "<svg" in markup
    assert "http://" not in markup.replace("http://www.w3.org", "")
    with pytest.raises(RunbookError, match="the file exists"):
        paper.write(repository(tmp_path, secret), file)


def test_the_password_never_goes_into_a_run(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper.paths, "RUNS", tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    with pytest.raises(RunbookError, match="no secret goes there"):
        paper.write(repository(tmp_path, secret), tmp_path / "runs" / "key.html")
    assert list((tmp_path / "runs").iterdir()) == []


def test_without_the_program_no_page_is_left(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RunbookError, match="apt-get install qrencode"):
        paper.write(repository(tmp_path, secret), tmp_path / "key.html")
    assert not (tmp_path / "key.html").exists()
