"""What a host at home has before anybody deploys: the pools and datasets that its profile names."""

from lib.core.sections import Profile
from lib.lab import zfs
from lib.lab.image import Say
from lib.lab.settings import Role
from lib.lab.twins import Lab


def lay(twins: Lab, profile: Profile, role: Role, say: Say = lambda _: None) -> None:
    """Give a twin ZFS and its datasets, where its profile has any; they hold through power cuts."""
    wanted = profile.backup.zfs.datasets
    if role == "home" and wanted:
        zfs.give(twins, role, say)
        zfs.datasets(twins, role, wanted)
