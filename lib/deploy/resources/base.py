"""What all kinds of resources share.

A resource compares texts: `look` is a shell script that prints the state on the host in a fixed form, and `wanted` is
that text as it should be. Before a change, `record` saves what is there into the folder ``$R`` on the host, and
`restore` is the script that brings it back from there. When everything is back, `settle` lets what reads it notice,
and `differs` says what is not as it was. All three are kept beside what was saved, so that a host can be restored
without the program that changed it.
"""

import shlex
from dataclasses import dataclass
from typing import Protocol

from lib.deploy.target import Target

quote = shlex.quote


class Resource(Protocol):
    """One thing on a host that is as wanted, or is to be changed."""

    @property
    def key(self) -> str:
        """What it is, unique on a host: ``file /etc/hosts``."""

    @property
    def wanted(self) -> str:
        """What `look` prints when it is as it should be."""

    @property
    def look(self) -> str:
        """The script that prints its state; it changes nothing and never fails."""

    @property
    def record(self) -> str:
        """The script that saves what is there into ``$R``."""

    @property
    def restore(self) -> str:
        """The script that brings back what was saved in ``$R``."""

    @property
    def settle(self) -> str:
        """The script that runs once everything is restored; a failure in it is a failure of taking back."""

    @property
    def differs(self) -> str:
        """The script that prints how what is there differs from what was saved in ``$R``; nothing if it is equal."""

    @property
    def commands(self) -> tuple[str, ...]:
        """What is done, as commands that a person would type."""

    @property
    def about(self) -> "About":
        """Why, and from which source."""

    @property
    def act(self) -> str:
        """The script that brings it about; empty where `do` does it instead."""

    def do(self, target: Target) -> str:
        """Bring about what takes more than a script; return the script that notes what came of it in ``$R``."""


# Scripts end at the first command that fails. `|| true` stands where failing is an answer: is-active and is-enabled
# say "inactive" and "disabled", getent and dpkg -S "nobody has it", by their exit status as well. What was answered is
# written down or compared, and `differs` asks it once more after an undo.
# What was there may have come with a package that was taken back after it, and so is gone: that is no difference.
# record: $path exists. differs: succeeds where $path went with its package.
NOTE_PACKAGE = 'dpkg -S {path} 2>/dev/null | sed "s/:.*//; s/,.*//" >"$R/package" || true'
WENT_WITH_PACKAGE = (
    '[ -s "$R/package" ] && ! [ -e {path} ] && '
    'case $(dpkg-query -W -f=\'${{db:Status-Abbrev}}\' "$(cat "$R/package")" 2>/dev/null) in ?i*) false;; esac'
)


class Scripted:
    """A resource that one script brings about."""

    @property
    def settle(self) -> str:
        return ""

    def do(self, target: Target) -> str:  # noqa: ARG002 - the script has done it
        return ""


@dataclass(frozen=True)
class About:
    """Why a host is changed, with a source."""

    reason: str = ""
    source: str = ""


UNEXPLAINED = About()
