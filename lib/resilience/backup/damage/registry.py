"""All damages, in the order in which chapter 14 does them."""

import shutil
from collections.abc import Sequence

from lib.core.errors import RunbookError, nearest
from lib.core.evidence import Check, Measurement, Provenance, Record
from lib.lab import zfs
from lib.resilience.backup.damage import line, mirror, objects, source, stored
from lib.resilience.backup.damage.arena import Arena
from lib.resilience.backup.damage.outcome import Damage, Outcome

DAMAGES = (
    Damage("flipped_byte", "One bit flipped in a pack", "detected", "every byte is read", stored.flipped_byte),
    Damage("deleted_pack", "A pack deleted", "detected", "every pack is read", stored.deleted_pack),
    Damage("truncated_index", "The index cut short", "survived", "restic rebuild-index", stored.truncated_index),
    Damage("lost_password", "The password lost", "survived", "the page on paper", stored.lost_password,
           lambda: "" if shutil.which("qrencode") else "apt-get install qrencode"),
    Damage("stale_lock", "A lock left by a killed backup", "survived", "locks of dead processes go", stored.stale_lock),
    Damage("full_target", "The target full", "survived", "restic adds, and never writes over", line.full_target,
           line.no_mount),
    Damage("connection_lost", "The line lost in mid-backup", "survived", "the target is tried again",
           line.connection_lost, line.no_server),
    Damage("ransomware", "An attacker with the host's credentials", "survived", "an append-only target",
           line.ransomware, line.no_server),
    Damage("locked_bucket", "An attacker with a bucket's credentials", "survived", "object lock, and rewind",
           objects.locked_bucket, objects.no_provider),
    Damage("deleted_history", "A snapshot deleted at the target", "detected", "what was seen is remembered",
           line.deleted_history),
    Damage("flooded_history", "The history flooded, up to the future", "survived", "pruning by age, never by count",
           line.flooded_history),
    Damage("ruined_source", "The memory encrypted in place", "detected", "the copy is checked before it is sent",
           source.ruined_source),
    Damage("torn_copy", "A copy while the memory is written", "survived", "SQLite copies as of one transaction",
           source.torn_copy),
    Damage("changed_after", "A bit flipped after the restore", "detected", "hashes of every file",
           source.changed_after),
)  # fmt: skip

# On a twin with a kernel of its own: that takes minutes, and the first time more, for its modules are built.
MIRROR = Damage(
    "mirror_leg",
    "One leg of a mirror lost",
    "survived",
    "the other leg has every block",
    mirror.mirror_leg,
    zfs.lacking,
)


def chosen(names: Sequence[str], *, twin: bool = False) -> list[Damage]:
    """Return the damages of these names; without names all that need no twin, and with `twin` that one too.

    Raises
    ------
    RunbookError
        There is none of a name.
    """
    known = {damage.name: damage for damage in (MIRROR, *DAMAGES)}
    for name in names:
        if name not in known:
            raise RunbookError(
                f"no damage '{name}'", where="backup.damages", nearest=nearest(name, known), fix=", ".join(known)
            )
    wanted = {*(names or (damage.name for damage in DAMAGES)), *([MIRROR.name] if twin else [])}
    return [damage for name, damage in known.items() if name in wanted]


def suffer(arena: Arena, damage: Damage) -> tuple[Outcome | None, list[Record]]:
    """Do one damage with its defence in place, and return what became of it, as records too."""
    if lacking := damage.needs():
        return None, [_check(damage, "skip", lacking)]
    try:
        outcome = damage.do(arena, True)
    except RunbookError as error:
        return None, [_check(damage, "fail", error.what, fix=error.fix)]
    lab = Provenance(where="lab")
    drill = {"drill": f"backup.{damage.name}"}
    return outcome, [
        _check(damage, "pass" if outcome.good else "fail", outcome.observed, outcome.seconds),
        Measurement(
            name="drill.recovery_seconds",
            title=f"{damage.title}: until it was {damage.how}",
            value=round(outcome.seconds, 4),
            unit="s",
            method="monotonic clock, from the first look after the damage",
            conditions=drill,
            provenance=lab,
        ),
        Measurement(
            name="drill.lost",
            title=f"{damage.title}: acknowledged writes that no restore brings back",
            value=outcome.lost,
            unit="",
            method="counted after the restore",
            conditions=drill,
            provenance=lab,
        ),
    ]


def not_asked() -> Check:
    """Return the record of the damage that needs a twin, where the profile does not ask for it."""
    return _check(
        MIRROR,
        "skip",
        "takes minutes on a virtual machine with a kernel of its own; the profile does not ask for it",
        fix="ask for it: python -m lib run --only 14 --set backup.mirror=true",
    )


def _check(damage: Damage, status: str, observed: str, seconds: float | None = None, fix: str = "") -> Check:
    timed = {} if seconds is None else {"seconds": round(seconds, 4)}
    return Check.model_validate(
        {
            "name": "backup.damage_detected",
            "title": damage.title,
            "status": status,
            "expected": f"{damage.how}: {damage.defence}",
            "observed": observed,
            "fix": "" if status == "pass" else fix or (observed if status == "skip" else "see the chapter's raw files"),
            "conditions": {"damage": damage.name, "how": damage.how, **timed},
            "provenance": {"where": "lab"},
        }
    )
