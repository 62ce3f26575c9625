"""The kinds of things that a deploy sets on a host; each knows how to look, do, record and restore."""

from lib.deploy.resources.accounts import Account
from lib.deploy.resources.base import Resource
from lib.deploy.resources.files import File, Folder, Secret
from lib.deploy.resources.kernel import Kernel
from lib.deploy.resources.packages import Packages
from lib.deploy.resources.units import Unit

__all__ = ["Account", "File", "Folder", "Kernel", "Packages", "Resource", "Secret", "Unit"]
