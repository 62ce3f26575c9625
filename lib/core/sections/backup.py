"""What a profile says of backups: what is kept and what is made again, where to, how long, and how often."""

from typing import Literal, Self

from pydantic import Field, model_validator

from lib.core.sections.base import Section

Duration = r"^(\d+[ymdh])+$"
Kind = Literal["memory", "keys", "files", "rebuilt"]


class BackupItem(Section):
    """One row of the table: something that is backed up, or that is made again instead."""

    kind: Kind = Field(
        default="files",
        description="memory and keys: where their sections say; files: as they are; rebuilt: not backed up",
    )
    paths: list[str] = Field(default=[], description="Files and folders; relative to the repository or absolute")
    why: str = Field(min_length=1, description="What its loss would mean, or why it need not be kept")
    rebuild: str = Field(default="", description="How it is made again")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "files" and not self.paths:
            raise ValueError("files need paths")
        if self.kind == "rebuilt" and not self.rebuild:
            raise ValueError("what is not backed up needs a word on how it is made again: rebuild")
        return self


class BackupTarget(Section):
    """One repository of restic. Its secrets are in files of mode 0600, never here."""

    address: str = Field(default="", description="As restic writes it: /mnt/nas, sftp:…, rest:http://…, s3:https://…")
    address_file: str = Field(default="", description="File with the address instead, where it holds a password")
    password_file: str = Field(default=".cache/backup/password", description="File with the repository's password")
    credentials_file: str = Field(default="", description="File of NAME=VALUE lines for S3 or B2; empty: none")
    sftp_key: str = Field(default="", description="File of the private SSH key for sftp; empty: the agent's keys")
    append_only: bool = Field(default=False, description="The target's side prunes; this host cannot delete")
    upload_mbit_s: float = Field(default=0, ge=0, description="What a backup may take of the line; 0: no limit")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.address) == bool(self.address_file):
            raise ValueError("one of address and address_file")
        return self


class Keep(Section):
    """How long snapshots are kept, counted back from the newest: `14d`, `3m`, `1y6m`.

    By age and never by count, and the young ones all: or somebody who can only add would push the true ones out.
    """

    every: str = Field(default="14d", pattern=Duration, description="All of them")
    daily: str = Field(default="3m", pattern=Duration, description="One a day")
    weekly: str = Field(default="1y", pattern=Duration, description="One a week")
    monthly: str = Field(default="3y", pattern=Duration, description="One a month")


class Zfs(Section):
    """Snapshots and replication on a host that has ZFS; beside restic, not instead of it."""

    datasets: list[str] = Field(default=[], description="With snapshots; models lie on one of their own, without")
    frequent_min: Literal[5, 10, 15, 30] = Field(default=30, description="Minutes between the most frequent ones")
    frequently: int = Field(default=96, ge=0, description="How many of these are kept")
    hourly: int = Field(default=72, ge=0)
    daily: int = Field(default=30, ge=0)
    monthly: int = Field(default=12, ge=0)
    replicate_to: str = Field(
        default="",
        pattern=r"^([a-z][a-z0-9_-]*@[A-Za-z0-9.:-]+:[A-Za-z0-9][A-Za-z0-9_./-]*)?$",
        description="Another host's dataset, as syncoid writes it: backup@nas:tank/home; empty: no replication",
    )
    replicate_at: str = Field(default="*:10/30", min_length=1, description="systemd calendar")
    ssh_key: str = Field(default="/etc/inference-backup/replication.key", description="Private key for the other host")


DEFAULT_ITEMS = {
    "memory": BackupItem(kind="memory", why="Sources, chunks, vectors and chats: days of the card's work, and words"),
    "keys": BackupItem(kind="keys", why="Without the hashes every client needs a new key"),
    "configuration": BackupItem(paths=["runbook/profiles", "/etc/inference"], why="What makes this host this host"),
    "runs": BackupItem(paths=["runbook/runs"], why="Evidence of what was measured, and when"),
    "monitoring": BackupItem(paths=["/etc/prometheus"], why="Rules, routes and scrape settings"),
    "models": BackupItem(
        kind="rebuilt",
        why="Large, public, and known by checksum",
        rebuild="python -m lib models fetch; python -m lib models verify",
    ),
    "indexes": BackupItem(
        kind="rebuilt",
        why="Chroma and the lexical index are made from the memory's manifest, which has the vectors",
        rebuild="by itself, when the restored memory is opened",
    ),
    "environment": BackupItem(kind="rebuilt", why="Every package is pinned in runbook/locks", rebuild="make setup"),
    "tunnel keys": BackupItem(
        kind="rebuilt",
        why="Private keys never leave the host that made them",
        rebuild="python -m lib deploy apply; then the new public key on the other side",
    ),
}


class Backup(Section):
    """Backups with restic: consistent copies of what cannot be made again, to one or more targets."""

    folder: str = Field(default=".cache/backup", description="Copies, restic's cache, state; relative or absolute")
    items: dict[str, BackupItem] = Field(default=DEFAULT_ITEMS, description="What is backed up and what is rebuilt")
    targets: dict[str, BackupTarget] = {}
    keep: Keep = Keep()
    zfs: Zfs = Zfs()
    every_min: int = Field(default=30, ge=5, description="Minutes between backups: the most that a loss can cost")
    late_min: int = Field(default=90, ge=5, description="A newest snapshot older than this is a fault")
    verify_at: str = Field(default="Sun 03:30", min_length=1, description="systemd calendar: every byte is read")
    drill_at: str = Field(default="*-*-01 04:30", min_length=1, description="systemd calendar: restore drill")
    verify_parts: int = Field(
        default=1, ge=1, le=52, description="A verification reads one of so many parts, in turn by week; 1: all"
    )
    give_up_min: float = Field(default=600, gt=0, description="Longest that one backup may take, minutes")
    questions: str = Field(default="", description="Golden questions: JSON lines with `question` and `path`")
    golden_top: int = Field(default=5, ge=1, description="Places of an answer that must be the same after a restore")
    metrics_file: str = Field(default="", description="Written for node_exporter's textfile collector; empty: none")
    damages: list[str] = Field(default=[], description="Damages that chapter 14 does; empty: all that need no twin")
    mirror: bool = Field(default=False, description="Lose a leg of a ZFS mirror too, on a twin: minutes")
    growth_mb_day: float = Field(default=200, gt=0, description="What is expected to be new each day, MB")
