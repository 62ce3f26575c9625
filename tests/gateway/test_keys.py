"""Keys: nothing of a key is stored but its hash; changes are whole, private, and seen by who serves."""

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.gateway import keys
from lib.gateway.keys import FORM, Key, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "keys.json"


def test_a_key_is_checked_and_nowhere_stored(path: Path) -> None:
    key, secret = keys.create(path, "laptop", ["planner", "coder"], requests_per_minute=60)
    assert FORM.fullmatch(secret)
    assert Store(path).check(secret) == key
    assert secret.split("_", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_as_the_bastion_reads_it(path: Path) -> None:
    keys.create(path, "laptop", ["*"], days=1)
    content = json.loads(path.read_text())
    fields = {"id", "name", "sha256", "roles", "created", "expires", "revoked", "requests_per_minute"}
    assert content["schema"] == 1
    assert set(content["keys"][0]) == fields
    assert datetime.fromisoformat(content["keys"][0]["expires"]) > datetime.now(UTC)


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s[:-1] + ("A" if s[-1] != "A" else "B"), lambda s: ""])
def test_what_is_not_the_key_is_refused(path: Path, change: "object") -> None:
    _, secret = keys.create(path, "laptop", ["*"])
    assert Store(path).check(change(secret)) is None  # type: ignore[operator]


def test_a_running_store_sees_every_change(path: Path) -> None:
    store = Store(path)
    assert store.check("rb_00000000_" + "a" * 43) is None
    key, secret = keys.create(path, "laptop", ["*"])
    assert store.check(secret)
    new, newer = keys.rotate(path, key.id)
    assert store.check(secret) is None
    assert store.check(newer) == new
    keys.revoke(path, new.id)
    assert store.check(newer) is None
    path.unlink()
    assert store.check(newer) is None


def test_an_overlap_keeps_the_old_key_for_a_while(path: Path) -> None:
    key, secret = keys.create(path, "laptop", ["fast"], requests_per_minute=7)
    new, newer = keys.rotate(path, key.id, overlap_hours=1)
    store = Store(path)
    assert store.check(secret)
    assert store.check(newer)
    assert (new.roles, new.requests_per_minute) == (("fast",), 7)
    later = datetime.now(UTC) + timedelta(hours=2)
    assert [key.state(later) for key in keys.load(path)] == ["expired", "active"]


def test_rotation_never_lengthens_a_life(path: Path) -> None:
    key, _ = keys.create(path, "laptop", ["*"], days=0.01)
    new, _ = keys.rotate(path, key.id, overlap_hours=100)
    assert new.expires == key.expires
    assert all(
        datetime.fromisoformat(str(k.expires)) <= datetime.fromisoformat(str(key.expires)) for k in keys.load(path)
    )


def test_scope() -> None:
    key = Key("0" * 8, "n", "", ("coder", "embed"), "")
    assert [key.may(role) for role in ("coder", "memory/coder", "planner", "memory/planner")] == [
        True,
        True,
        False,
        False,
    ]
    assert Key("0" * 8, "n", "", ("*",), "").may("memory/planner")


@pytest.mark.parametrize(
    ("name", "roles", "limit", "text"),
    [
        ("../x", ["*"], 0, "no name for a key"),
        ("", ["*"], 0, "no name for a key"),
        ("ok", [], 0, "needs a role"),
        ("ok", ["Planner!"], 0, "is no role"),
        ("ok", ["*"], -1, "negative"),
    ],
)
def test_bad_input_is_refused(path: Path, name: str, roles: list[str], limit: int, text: str) -> None:
    with pytest.raises(RunbookError, match=text):
        keys.create(path, name, roles, requests_per_minute=limit)
    assert not path.exists()


def test_one_active_key_a_name(path: Path) -> None:
    key, _ = keys.create(path, "laptop", ["*"])
    with pytest.raises(RunbookError, match="holds a key already") as caught:
        keys.create(path, "laptop", ["*"])
    assert f"rotate {key.id}" in caught.value.fix
    keys.revoke(path, key.id)
    assert keys.create(path, "laptop", ["*"])[0].id != key.id


def test_an_unknown_id_names_the_nearest(path: Path) -> None:
    key, _ = keys.create(path, "laptop", ["*"])
    with pytest.raises(RunbookError) as caught:
        keys.revoke(path, key.id[:-1])
    assert caught.value.nearest == key.id


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 2, "keys": []}', '{"schema": 1, "keys": [{"id": "x"}]}', '{"schema": 1}']
)
def test_a_damaged_file_is_an_error_with_its_place(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(RunbookError, match="not a file of keys") as caught:
        keys.load(path)
    assert caught.value.where == str(path)


def test_damage_neither_locks_out_nor_lets_in(path: Path) -> None:
    _, secret = keys.create(path, "laptop", ["*"])
    store = Store(path)
    assert store.check(secret)
    path.write_text("{")
    assert store.check(secret), "what was known holds"
    assert store.fault
    assert Store(path).check(secret) is None, "who never read it lets nobody in"


def test_others_may_not_read_it(path: Path) -> None:
    keys.create(path, "laptop", ["*"])
    path.chmod(0o640)
    with pytest.raises(RunbookError, match="others may read") as caught:
        keys.load(path)
    assert caught.value.fix == f"chmod 600 {path}"


def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.create(path, "laptop", ["*"])
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        keys.create(path, "phone", ["*"])
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir() if "lock" not in entry.name] == ["keys.json"]


def test_writers_at_the_same_time_lose_nothing(path: Path) -> None:
    threads = [threading.Thread(target=keys.create, args=(path, f"n{n}", ["*"])) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert {key.name for key in keys.load(path)} == {f"n{n}" for n in range(8)}
