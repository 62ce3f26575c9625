"""How long a backup takes over the owner's line, and a restore back over it: computed, and said to be."""

from typing import NamedTuple

from lib.core.sections import Profile
from lib.core.sections.backup import BackupTarget

SHARE = 0.95  # of the line's rate, for data: TCP, TLS and HTTP take the rest


class Estimate(NamedTuple):
    """Hours for all data the first time, minutes for a day's new data, hours to have all back."""

    first_h: float
    daily_min: float
    back_h: float
    upload_mbit_s: float


def estimate(profile: Profile, target: BackupTarget, size: float) -> Estimate:
    """Return the times for a number of bytes.

    Nothing is counted for compression and for what restic knows already, so the true time is shorter.
    """
    line = profile.line
    up = min(line.upload_mbit_s, target.upload_mbit_s or line.upload_mbit_s)
    return Estimate(
        first_h=_seconds(size, up) / 3600,
        daily_min=_seconds(profile.backup.growth_mb_day * 1e6, up) / 60,
        back_h=_seconds(size, line.download_mbit_s) / 3600,
        upload_mbit_s=up,
    )


def local(target: BackupTarget) -> bool:
    """Tell whether a target is a disk of this host: then the line does not matter."""
    return not target.address_file and ":" not in target.address.split("/")[0]


def _seconds(size: float, mbit_s: float) -> float:
    return size * 8 / (mbit_s * 1e6 * SHARE)
