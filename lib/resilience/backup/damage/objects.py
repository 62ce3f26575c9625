"""An attacker with the credentials of a bucket: a real S3 server, with object lock and without."""

import json
import os
import secrets
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lib.core.errors import RunbookError
from lib.core.lifetime import Lifetime
from lib.core.profile import change
from lib.core.sections import Profile
from lib.engine.serve import command
from lib.engine.serve.process import Guarded
from lib.lab.vm import free_ports
from lib.resilience.backup import bucket, restic, verify
from lib.resilience.backup.bucket import COMPLIANCE, CREDENTIALS, Bucket
from lib.resilience.backup.damage.arena import TARGET, Arena
from lib.resilience.backup.damage.outcome import Outcome, Watch
from lib.resilience.backup.repository import find
from lib.resilience.backup.restic import ResticError
from lib.resilience.backup.restore import restore

BUCKET = "history"
READY_S = 30
# SeaweedFS is several servers in one process, and each has a second port for the others of them.
SERVERS = ("master", "volume", "filer", "s3")
# SeaweedFS's words for what an account may do, and S3's for a rule.
OWNERS = ("Admin",)
HOSTS = ("Read", "Write", "List", "GetBucketObjectLockConfiguration")
ON, OFF = "Enabled", "Suspended"
# S3 tells times in whole seconds.
TICK_S = 1.0
LOOPBACK = "127.0.0.1"


class Provider(Lifetime):
    """SeaweedFS on the loopback: S3 with versions, object lock and accounts, as a provider sells it.

    A context manager. The owner's account may do everything; this host's may read, write, list and delete.

    Parameters
    ----------
    folder : Path
        Its data and its log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._accounts = {name: _account() for name in ("owner", "host")}
        self._process: Guarded | None = None

    def start(self) -> None:
        """Start it and return when it answers.

        Raises
        ------
        RunbookError
            It ended, or did not answer in time.
        """
        data, accounts = self.folder / "data", self.folder / "accounts.json"
        data.mkdir(parents=True)
        Arena.password(accounts, json.dumps({"identities": [self._identity(name) for name in self._accounts]}))
        ports = free_ports([name + kind for name in SERVERS for kind in ("", ".grpc")])
        self.url = f"http://{LOOPBACK}:{ports['s3']}"
        words = [f"-dir={data}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", f"-s3.config={accounts}", "-filer", "-s3"]
        words += [f"-{name}.port{kind}={ports[name + kind]}" for name in SERVERS for kind in ("", ".grpc")]
        words += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=8"]
        argv = [str(_program()), "-logtostderr", "server", *words, "-master.telemetry=false"]
        self._process = Guarded(argv, self.folder / "provider.log", command.inherited(), grace=0)
        self.owner = bucket.client(self.url, self.credentials("owner"))
        end = time.monotonic() + READY_S
        while not self._answers():
            if self._process.wait(0.1) is not None or time.monotonic() > end:
                raise RunbookError("the S3 server did not start", where="provider.log")

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.stop()

    def credentials(self, name: str) -> dict[str, str]:
        """Return an account's key and secret, as restic's environment has them."""
        return dict(zip(CREDENTIALS, self._accounts[name], strict=True))

    def bucket(self, days: int) -> str:
        """Make a bucket, with object lock for so many days or, with 0, without; and return its address."""
        self.owner.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=bool(days))
        if days:
            rule = dict(DefaultRetention=dict(Mode=COMPLIANCE, Days=days))
            told = dict(ObjectLockEnabled=ON, Rule=rule)
            self.owner.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=told)
        return f"s3:{self.url}/{BUCKET}/home"

    def _identity(self, name: str) -> dict[str, Any]:
        key, secret = self._accounts[name]
        actions = OWNERS if name == "owner" else HOSTS
        return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}

    def _answers(self) -> bool:
        try:
            self.owner.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True


def locked_bucket(arena: Arena, defended: bool) -> Outcome:
    """Delete and overwrite every object, and every version of it, with this host's credentials; then rewind."""
    with _stored(arena, "locked_bucket", defended) as (profile, provider):
        before, watch = {one.id for one in restic.snapshots(find(profile))}, Watch()
        rule = verify.locked(profile, find(profile))
        moment = datetime.now(UTC)
        time.sleep(TICK_S)
        refused, tried = _attack(provider)
        with watch.run():
            hidden = _ids(profile) != before
            steps = _rewound(profile, moment)
            back = before & _ids(profile)
            whole = bool(back) and _whole(arena, profile)
    good = hidden and whole and back == before and rule.status == "pass"
    seen = (
        f"{refused} of {tried} requests that destroy refused; restic found {'nothing' if hidden else 'all'}; "
        f"{steps} names rewound, {len(back)} of {len(before)} snapshots back"
    )
    return Outcome(good, seen, watch.seconds, lost=0 if whole else len(arena.golden.notes))


def no_provider() -> str:
    """Return what is missing for a bucket."""
    return "" if _program() else "make setup  (SeaweedFS comes with the other packages of Python)"


@contextmanager
def _stored(arena: Arena, name: str, locked: bool) -> Iterator[tuple[Profile, Provider]]:
    """Yield a profile whose backup lies in a bucket, and the provider of it."""
    profile = arena.fresh(name)
    own = arena.place / "damages" / name
    days = verify.span(profile.backup.keep.every).days if locked else 0
    with Provider(own / "provider") as provider:
        address, credentials = provider.bucket(days), own / "credentials"
        Arena.password(credentials, "\n".join("=".join(pair) for pair in provider.credentials("host").items()))
        told = {"address": address, "credentials_file": str(credentials), "password_file": str(own / "password")}
        profile = change(profile, "backup", targets={TARGET: told | {"append_only": True}})
        arena.back_up(profile)
        yield profile, provider


def _attack(provider: Provider) -> tuple[int, int]:
    """Do all that destroys, and return how much of it was refused: versions, the rule, the bucket; then hide all."""
    host = bucket.client(provider.url, provider.credentials("host"))
    told = host.list_object_versions(Bucket=BUCKET)
    objects = [(one["Key"], one["VersionId"]) for one in told.get("Versions", [])]
    tries = [
        partial(host.delete_object, Key=key, VersionId=version, **forced)
        for key, version in objects
        for forced in ({}, dict(BypassGovernanceRetention=True))
    ]
    tries += [
        partial(host.put_object_lock_configuration, ObjectLockConfiguration=dict(ObjectLockEnabled=ON)),
        partial(host.put_bucket_versioning, VersioningConfiguration=dict(Status=OFF)),
    ]
    refused = sum(_refused(request) for request in tries)
    for number, (key, _) in enumerate(objects):
        _refused(partial(host.put_object, Key=key, Body=b"encrypted by somebody else"))
        if number % 2:
            _refused(partial(host.delete_object, Key=key))
    return refused + _refused(host.delete_bucket), len(tries) + 1


def _refused(request: Callable[..., object]) -> bool:
    try:
        request(Bucket=BUCKET)
    except ClientError:
        return True
    return False


def _rewound(profile: Profile, moment: datetime) -> int:
    there = Bucket(find(profile))
    try:
        steps = bucket.steps(there.versions(), moment)
    except bucket.BucketError:
        return 0  # the bucket itself is gone
    for step in steps:
        there.take(step)
    return len(steps)


def _ids(profile: Profile) -> set[str]:
    try:
        return {one.id for one in restic.snapshots(find(profile))}
    except ResticError:
        return set()


def _whole(arena: Arena, profile: Profile) -> bool:
    place = arena.place / "damages" / "restored-from-bucket"
    try:
        return not restore(profile, place, TARGET).wrong
    except RunbookError:
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _program() -> str | None:
    """Return SeaweedFS's program; its package puts it beside Python."""
    return shutil.which("weed", path=os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", ""))))


def _account() -> tuple[str, str]:
    return secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
