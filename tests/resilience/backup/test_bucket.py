"""Buckets: back to a moment whatever was done since, and a rule that is asked for instead of believed."""

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.core.profile import change
from lib.core.sections import Profile
from lib.resilience.backup import bucket, verify
from lib.resilience.backup.bucket import Bucket, BucketError, Lock, Step, Version
from lib.resilience.backup.commands import app
from lib.resilience.backup.damage import objects
from lib.resilience.backup.damage.arena import Arena
from lib.resilience.backup.repository import Repository, find

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEYS = ("config", "data/aa", "data/bb")
# What somebody does to a name: write it, or hide it.
acts = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), max_size=12)


class Model:
    """A bucket that keeps versions, as S3 describes it."""

    def __init__(self) -> None:
        self.states: dict[str, list[tuple[str, str | None]]] = {}
        self.times: dict[str, datetime] = {}
        self.number = 0

    def put(self, key: str, content: str | None, moment: datetime) -> None:
        self.number += 1
        name = f"v{self.number}"
        self.states.setdefault(key, []).insert(0, (name, content))
        self.times[name] = moment

    def versions(self) -> list[Version]:
        return [
            Version(key, name, self.times[name], place == 0, content is None, content or "")
            for key in sorted(self.states)
            for place, (name, content) in enumerate(self.states[key])
        ]

    def shown(self) -> dict[str, str]:
        return {key: states[0][1] for key, states in self.states.items() if states and states[0][1] is not None}

    def take(self, step: Step, moment: datetime) -> None:
        if step.hides:
            self.put(step.key, None, moment)
        self.states[step.key] = [one for one in self.states[step.key] if one[0] not in step.markers]
        if step.copied:
            self.put(step.key, dict(self.states[step.key])[step.copied], moment)


def do(model: Model, given_acts: list[tuple[str, bool]], begin: datetime) -> datetime:
    for number, (key, writes) in enumerate(given_acts):
        if writes or model.states.get(key):
            moment = begin + timedelta(seconds=number)
            model.put(key, f"{key} {moment}" if writes else None, moment)
    return begin + timedelta(seconds=len(given_acts))


@given(acts, acts)
def test_every_name_shows_again_what_it_showed(before: list[tuple[str, bool]], after: list[tuple[str, bool]]) -> None:
    model = Model()
    moment = do(model, before, START)
    shown = model.shown()
    later = do(model, after, moment + timedelta(seconds=1))
    found = bucket.steps(model.versions(), moment)
    for step in found:
        model.take(step, later)
    assert model.shown() == shown
    assert bucket.steps(model.versions(), later) == [], "and nothing is left to do"


def test_what_has_not_changed_is_left_alone() -> None:
    model = Model()
    do(model, [("config", True)], START)
    assert bucket.steps(model.versions(), START) == []


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("s3:https://s3.example.com/history/home", ("https://s3.example.com", "history", "home/")),
        ("s3:s3.amazonaws.com/history", ("https://s3.amazonaws.com", "history", "")),
        ("s3://nas:9000/history/a/b", ("https://nas:9000", "history", "a/b/")),
        ("s3:http://127.0.0.1:8333/history/home/", ("http://127.0.0.1:8333", "history", "home/")),
    ],
)
def test_an_address_has_three_parts(address: str, parts: tuple[str, str, str]) -> None:
    assert bucket._parts(address) == parts


@pytest.mark.parametrize("address", ["sftp:backup@nas:/srv", "s3:https://s3.example.com/", "/mnt/nas"])
def test_what_is_no_bucket_says_how_one_is_written(address: str) -> None:
    with pytest.raises(RunbookError, match="no bucket of S3") as caught:
        bucket._parts(address)
    assert caught.value.fix.startswith("an address like s3:https://")


class Rented(NamedTuple):
    """A provider with a bucket, and the profile of a host that goes there."""

    provider: objects.Provider
    profile: Profile

    def target(self, **fields: Any) -> Profile:
        there = self.profile.backup.targets["cloud"].model_dump()
        return change(self.profile, "backup", targets={"cloud": there | fields})

    def repository(self, **fields: Any) -> Repository:
        return find(self.target(**fields))

    def put(self, key: str, body: bytes | None) -> None:
        owner = self.provider.owner
        if body is None:
            owner.delete_object(Bucket=objects.BUCKET, Key=key)
        else:
            owner.put_object(Bucket=objects.BUCKET, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return bytes(self.provider.owner.get_object(Bucket=objects.BUCKET, Key=key)["Body"].read())


def rented(place: Path, days: int) -> Iterator[Rented]:
    password, credentials = place / "password", place / "credentials"
    with objects.Provider(place / "provider") as provider:
        Arena.password(password)
        Arena.password(credentials, "\n".join(f"{key}={value}" for key, value in provider.credentials("host").items()))
        target = {
            "address": provider.bucket(days),
            "password_file": str(password),
            "credentials_file": str(credentials),
        }
        told = {"backup.targets": {"cloud": target}, "backup.folder": str(place / "backup")}
        yield Rented(provider, profiles.load("embedded", told))


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rented]:
    yield from rented(tmp_path_factory.mktemp("locked"), 30)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rented]:
    yield from rented(tmp_path_factory.mktemp("plain"), 0)


def test_the_rule_is_read_from_the_bucket(locked: Rented, plain: Rented) -> None:
    assert Bucket(locked.repository()).lock() == Lock("COMPLIANCE", 30)
    assert Bucket(plain.repository()).lock() is None


def test_a_rule_that_holds_as_long_as_snapshots_is_a_passed_check(locked: Rented) -> None:
    found = verify.locked(locked.profile, locked.repository())
    assert (found.name, found.status, found.observed) == ("backup.verify.lock", "pass", "COMPLIANCE, 30 days")


@pytest.mark.parametrize(("append_only", "status"), [(True, "fail"), (False, "warn")])
def test_a_bucket_that_deletes_is_told(plain: Rented, append_only: bool, status: str) -> None:
    found = verify.locked(plain.profile, plain.repository(append_only=append_only))
    assert found.status == status
    assert "can delete all" in found.observed
    assert "object lock" in found.fix


@pytest.mark.parametrize("lock", [Lock("GOVERNANCE", 365), Lock("COMPLIANCE", 13)])
def test_a_rule_with_a_way_around_it_is_no_rule(plain: Rented, lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bucket, "lock", lambda _: lock)
    assert verify.locked(plain.profile, plain.repository(append_only=True)).status == "fail"


def test_a_key_that_may_not_ask_is_told_which_right_it_lacks(locked: Rented, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Bucket) -> Lock:
        raise BucketError("AccessDenied", "no", self.target)

    monkeypatch.setattr(Bucket, "lock", refuse)
    found = verify.locked(locked.profile, locked.repository())
    assert found.status == "warn"
    assert "s3:GetBucketObjectLockConfiguration" in found.observed


def test_a_wrong_secret_is_an_error_that_names_the_target(locked: Rented, tmp_path: Path) -> None:
    credentials = tmp_path / "wrong"
    Arena.password(credentials, "AWS_ACCESS_KEY_ID=nobody\nAWS_SECRET_ACCESS_KEY=nothing")
    with pytest.raises(BucketError, match="the bucket says InvalidAccessKeyId") as caught:
        Bucket(locked.repository(credentials_file=str(credentials))).lock()
    assert caught.value.where == "cloud"
    assert "nothing" not in str(caught.value)


def test_a_target_without_credentials_is_bad_input(locked: Rented) -> None:
    with pytest.raises(RunbookError, match="no credentials for its bucket"):
        Bucket(locked.repository(credentials_file=""))


def test_the_command_tells_first_and_does_when_it_is_told_to(locked: Rented) -> None:
    locked.put("home/data/aa", b"old")
    locked.put("home/config", b"config")
    locked.put("elsewhere", b"not below the target's path")
    moment = _next_second(locked)
    locked.put("home/data/aa", b"encrypted by somebody else")
    locked.put("home/config", None)
    locked.put("home/new", b"added")
    locked.put("elsewhere", None)
    target = json.dumps({"cloud": locked.profile.backup.targets["cloud"].model_dump()})
    words = ["rewind", f"{moment.astimezone():%Y-%m-%d %H:%M:%S}", "--set", f"backup.targets={target}"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "3 names differ" in told.output
    assert locked.get("home/data/aa") == b"encrypted by somebody else"
    done = CliRunner().invoke(app, [*words, "--do"])
    assert "3 names brought back" in done.output
    assert (locked.get("home/data/aa"), locked.get("home/config")) == (b"old", b"config")
    shown = locked.provider.owner.list_objects_v2(Bucket=objects.BUCKET).get("Contents", [])
    assert [one["Key"] for one in shown] == ["home/config", "home/data/aa"]
    assert "0 names differ" in CliRunner().invoke(app, words).output


def test_a_moment_that_is_none_is_refused() -> None:
    assert CliRunner().invoke(app, ["rewind", "yesterday"]).exit_code == 2


def _next_second(there: Rented) -> datetime:
    """Return the time of the newest version, when the provider's clock has left that second."""
    newest = max(one.time for one in Bucket(there.repository()).versions())
    while datetime.now(UTC) < newest + timedelta(seconds=1.1):
        time.sleep(0.05)
    return newest


def test_no_file_of_the_provider_is_left(tmp_path: Path) -> None:
    with objects.Provider(tmp_path / "provider") as provider:
        address = provider.url
        assert (tmp_path / "provider" / "accounts.json").stat().st_mode & 0o077 == 0
    shutil.rmtree(tmp_path / "provider")
    with pytest.raises(BucketError, match="cannot be reached"):
        Bucket(_gone(tmp_path, address)).versions()


def _gone(place: Path, address: str) -> Repository:
    password, credentials = place / "password", place / "credentials"
    Arena.password(password)
    Arena.password(credentials, "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b")
    target = {"address": f"s3:{address}/b", "password_file": str(password), "credentials_file": str(credentials)}
    return find(profiles.load("embedded", {"backup.targets": {"t": target}, "backup.folder": str(place / "backup")}))
