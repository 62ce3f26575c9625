"""A bucket of S3 behind a target: whether it is locked, and back to what its names showed at a moment.

Object lock keeps versions, not names. Who has the host's credentials can still hide an object behind a delete marker or
a newer version, and restic then finds nothing; no byte is lost, and the names are made to show the old versions again.
He can also take the bucket's rule away, which leaves later objects unlocked: so the rule is looked at with every
verification.
"""

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lib.core.errors import RunbookError
from lib.resilience.backup.repository import Repository

SCHEME = "s3:"
REGION = "us-east-1"
AMAZON = ".amazonaws.com"
COMPLIANCE = "COMPLIANCE"
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# A bucket without a rule, and services that have no object lock at all.
NO_LOCK = frozenset(("ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed"))


class Lock(NamedTuple):
    """A bucket's rule for new objects: in GOVERNANCE some keys may delete, in COMPLIANCE none; for so many days."""

    mode: str
    days: int


class Version(NamedTuple):
    """One state of one name; a `marker` says that the name was deleted, `etag` is a hash of what it holds."""

    key: str
    id: str
    time: datetime
    latest: bool
    marker: bool
    etag: str = ""


class Step(NamedTuple):
    """What brings one name back: remove these markers, or copy this version to the front, or hide what came later."""

    key: str
    markers: tuple[str, ...] = ()
    copied: str = ""

    @property
    def hides(self) -> bool:
        """Whether the name was not there at the moment."""
        return not (self.markers or self.copied)


class Bucket:
    """The bucket of a target whose address begins with ``s3:``.

    Parameters
    ----------
    repository : Repository
        The target; its credentials are those that restic has.

    Raises
    ------
    RunbookError
        The address is no bucket's, or the credentials are missing.
    """

    def __init__(self, repository: Repository) -> None:
        self.target = repository.name
        endpoint, self.name, self.prefix = _parts(repository.address())
        told = repository.environment()
        if not told.keys() >= set(CREDENTIALS):
            raise RunbookError(
                f"target '{self.target}' has no credentials for its bucket",
                where=f"backup.targets.{self.target}.credentials_file",
                fix=f"a file, mode 0600, of {CREDENTIALS[0]}=… and {CREDENTIALS[1]}=…, one line each",
            )
        self._client = client(endpoint, told)

    def lock(self) -> Lock | None:
        """Return the rule for new objects, or None where the bucket has none."""
        try:
            told = self._ask("get_object_lock_configuration")
        except BucketError as error:
            if error.code in NO_LOCK:
                return None
            raise
        rule = told.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
        return Lock(rule["Mode"], rule.get("Days", 0) + 365 * rule.get("Years", 0)) if rule else None

    def versions(self) -> list[Version]:
        """Return every state of every name below the target's path, each name's newest first."""
        found: list[Version] = []
        further: dict[str, str] = {}
        while True:
            told = self._ask("list_object_versions", Prefix=self.prefix, **further)
            for kind, marker in (("Versions", False), ("DeleteMarkers", True)):
                found += [
                    Version(
                        one["Key"], one["VersionId"], one["LastModified"], one["IsLatest"], marker, one.get("ETag", "")
                    )
                    for one in told.get(kind, [])
                ]
            if not told.get("IsTruncated"):
                return sorted(found, key=lambda one: (one.key, not one.latest, -one.time.timestamp()))
            further = dict(KeyMarker=told["NextKeyMarker"], VersionIdMarker=told["NextVersionIdMarker"])

    def take(self, step: Step) -> None:
        """Bring one name back. Nothing is deleted but markers, so that a step can be undone by another one."""
        if step.hides:
            self._ask("delete_object", Key=step.key)
        for marker in step.markers:
            self._ask("delete_object", Key=step.key, VersionId=marker)
        if step.copied:
            source = dict(Bucket=self.name, Key=step.key, VersionId=step.copied)
            self._ask("copy_object", Key=step.key, CopySource=source)

    def _ask(self, operation: str, **fields: object) -> dict[str, Any]:
        try:
            return dict(getattr(self._client, operation)(Bucket=self.name, **fields))
        except ClientError as error:
            told = error.response.get("Error", {})
            raise BucketError(
                told.get("Code", ""), f"the bucket says {told.get('Code')}: {told.get('Message')}", self.target
            ) from error
        except BotoCoreError as error:
            raise BucketError("", f"the bucket cannot be reached: {error}", self.target) from error


class BucketError(RunbookError):
    """A bucket refused, or was not reached; `code` is S3's own word for it, or empty."""

    def __init__(self, code: str, what: str, target: str) -> None:
        self.code = code
        super().__init__(what, where=target, fix="compare address and credentials of the target with the provider's")


def client(endpoint: str, told: Mapping[str, str]) -> Any:
    """Return boto3's client of an address; credentials and region as in restic's environment."""
    roots = ssl.get_default_verify_paths()
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=told[CREDENTIALS[0]],
        aws_secret_access_key=told[CREDENTIALS[1]],
        region_name=told.get("AWS_DEFAULT_REGION", REGION),
        verify=roots.cafile or roots.capath or True,  # the system's, as restic has it; not boto3's own
        config=Config(
            s3={"addressing_style": "auto" if endpoint.endswith(AMAZON) else "path"},
            # Newer checksums are Amazon's; others answer them with an error.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=10,
            retries={"total_max_attempts": 3},
        ),
    )


def has_bucket(repository: Repository) -> bool:
    """Tell whether a target is a bucket of S3."""
    return repository.address().startswith(SCHEME)


def steps(versions: Iterable[Version], moment: datetime) -> list[Step]:
    """Return what brings every name back to what it showed at a moment.

    Parameters
    ----------
    versions : iterable of Version
        As `Bucket.versions` returns them.
    moment : datetime
        With its time zone.
    """
    found = (_step(states, moment) for states in _by_name(versions))
    return [step for step in found if step]


def _step(states: Sequence[Version], moment: datetime) -> Step | None:
    key, latest = states[0].key, states[0]
    then = next((one for one in states if one.time <= moment), None)
    if then is None or then.marker:
        return None if latest.marker else Step(key)
    later = states[: states.index(then)]
    if not later or (then.etag and then.etag == latest.etag):
        return None
    if all(one.marker for one in later):
        return Step(key, markers=tuple(one.id for one in later))
    return Step(key, copied=then.id)


def _by_name(versions: Iterable[Version]) -> Iterator[list[Version]]:
    states: list[Version] = []
    for one in versions:
        if states and states[0].key != one.key:
            yield states
            states = []
        states.append(one)
    if states:
        yield states


def _parts(address: str) -> tuple[str, str, str]:
    """Split ``s3:https://host/bucket/path`` or ``s3:host/bucket/path`` into endpoint, bucket and path."""
    rest = address.removeprefix(SCHEME).removeprefix("//")
    url = urlsplit(rest if "://" in rest else f"https://{rest}")
    name, _, prefix = url.path.strip("/").partition("/")
    if not address.startswith(SCHEME) or not url.netloc or not name:
        raise RunbookError(
            "this target is no bucket of S3",
            where="backup.targets",
            fix="an address like s3:https://s3.eu-central-003.backblazeb2.com/bucket/home",
        )
    return f"{url.scheme}://{url.netloc}", name, f"{prefix}/" if prefix else ""
