"""Packages of the distribution; taken back are exactly those that came, their dependencies too."""

from collections.abc import Collection
from dataclasses import dataclass

from lib.deploy.resources.base import UNEXPLAINED, About, Scripted

_ACTIVE = "systemctl list-units --no-legend --plain --state=active | awk '{ print $1 }' | sort"
# Which packages are there, sorted; a removed package whose settings are left does not count.
_LIST = "dpkg-query -W -f='${db:Status-Abbrev}|${Package}\\n' | sed -n 's/^.i .*|//p' | sort"


# Apt's own tools read all its lists for an answer that stands in a file.
_AUTOMATIC = """awk '/^Package:/ { p = $2 } /^Auto-Installed: 1/ { print p }' /var/lib/apt/extended_states | sort -u"""
_HELD = "dpkg-query -W -f='${db:Status-Abbrev}|${Package}\\n' | sed -n 's/^h. .*|//p' | sort"
# What a package makes by itself and leaves behind even when it is purged.
LITTER = {"nginx": "/var/www/html/index.nginx-debian.html"}
# A folder goes only if nobody else put something there.
REMOVE_LITTER = """while read -r path; do
    if [ -d "$path" ]; then rmdir --ignore-fail-on-non-empty "$path"; else rm -f "$path"; fi
done <"$R/litter\""""
# Apt's lists are read anew where they are older than that, minutes.
_FRESH = 30
_APT = "apt-get -q -o DPkg::Lock::Timeout=120"


# Debian's own way to keep packages from starting what they bring: invoke-rc.d(8).
_POLICY = "/usr/sbin/policy-rc.d"
_MARK = "the inference runbook's"


def starts_again() -> str:
    """Return the script that takes the runbook's rule away, and nobody else's."""
    return f'if grep -qs "{_MARK}" {_POLICY}; then rm -f {_POLICY}; fi'


def starts_later(units: Collection[str]) -> str:
    """Return the script that keeps packages from starting these units; it says nothing once its process is gone."""
    if not units:
        return ":"
    return rf"""if ! [ -e {_POLICY} ]; then
    cat >{_POLICY} <<END
#!/bin/sh
# {_MARK}: these are started when they are set up
[ -d /proc/$$ ] || exit 0
case " {" ".join(sorted(units))} " in *" \$1 "*|*" \$1.service "*) exit 101;; esac
END
    chmod 755 {_POLICY}
fi"""


def note_litter(names: Collection[str]) -> str:
    """Return the script that notes what these packages will leave behind, and which folders are not there yet."""
    paths = " ".join(LITTER[name] for name in names if name in LITTER)
    return f"""for path in {paths}; do
    while ! [ -e "$path" ]; do echo "$path"; path=$(dirname "$path"); done
done >"$R/litter\""""


@dataclass(frozen=True)
class Packages(Scripted):
    """A set of packages that are installed together, so that apt runs once.

    Parameters
    ----------
    hold : bool
        Automatic upgrades leave them alone.
    later : tuple of str
        Units that are set up and started afterwards: the packages do not start them with settings of their own.
    """

    names: tuple[str, ...]
    hold: bool = False
    later: tuple[str, ...] = ()
    about: About = UNEXPLAINED

    @property
    def key(self) -> str:
        return f"packages {' '.join(self.names)}"

    @property
    def wanted(self) -> str:
        state = "held" if self.hold else "installed"
        return "\n".join(f"{name} {state}" for name in self.names)

    @property
    def look(self) -> str:
        held = (
            "case $(dpkg-query -W -f='${db:Status-Abbrev}' \"$p\" 2>/dev/null) in hi*) s=held;; esac\n"
            if self.hold
            else ""
        )
        return (
            f"for p in {' '.join(self.names)}; do\ns=absent\n"
            "case $(dpkg-query -W -f='${db:Status-Abbrev}' \"$p\" 2>/dev/null) in ?i*) s=installed;; esac\n"
            f'{held}echo "$p $s"\ndone'
        )

    @property
    def record(self) -> str:
        return f"""{_LIST} >"$R/before"
{_ACTIVE} >"$R/active"
{_AUTOMATIC} >"$R/automatic" 2>/dev/null || true
{_HELD} >"$R/hold"
{note_litter(self.names)}"""

    @property
    def restore(self) -> str:
        # Purged are those that were not there before and came with these: what somebody added later and does not
        # depend on them stays, and apt's own answer is asked first.
        return f"""export DEBIAN_FRONTEND=noninteractive
{starts_again()}
dpkg --configure -a
{_HELD} | comm -13 "$R/hold" - | xargs -r apt-mark unhold >/dev/null
[ -f "$R/after" ] || {_LIST} >"$R/after"
new=$(comm -13 "$R/before" "$R/after")
here=$({_LIST})
gone=$(for p in $new; do echo "$here" | grep -x "$p" || true; done)
# Not every package stops what it started when it goes (unattended-upgrades does not).
units='s,^.*/systemd/system/([^/@]+\\.(service|socket|timer|path))$,\\1,p'
for unit in $(for p in $gone; do dpkg -L "$p"; done | sed -nE "$units" | sort -u); do
    if ! grep -qxF "$unit" "$R/active" && systemctl -q is-active "$unit"; then systemctl stop "$unit"; fi
done
if [ -n "$gone" ]; then {_APT} -y --allow-change-held-packages purge $gone; fi
{REMOVE_LITTER}
for p in {" ".join(self.names)}; do
    if grep -qx "$p" "$R/automatic"; then apt-mark auto "$p" >/dev/null; fi
done"""

    @property
    def differs(self) -> str:
        # What an earlier step brought was there before this one, and has gone with that one.
        return f"""here=$({_LIST})
brought=$(for s in "$R"/../*/; do if [ -f "$s/after" ]; then comm -13 "$s/before" "$s/after"; fi; done)
for p in $(comm -13 "$R/before" "$R/after"); do
    if echo "$here" | grep -qx "$p"; then echo "$p is still installed"; fi
done
for p in {" ".join(self.names)}; do
    if echo "$brought" | grep -qx "$p" || echo "$here" | grep -qx "$p"; then continue; fi
    if grep -qx "$p" "$R/before"; then echo "$p is no longer installed"; fi
done"""

    @property
    def commands(self) -> tuple[str, ...]:
        names = " ".join(self.names)
        install = f"apt-get update; apt-get install -y --no-install-recommends {names}"
        return (install, f"apt-mark hold {names}") if self.hold else (install,)

    @property
    def act(self) -> str:
        """Install; what a package started is judged by the units that are declared after it."""
        names = " ".join(self.names)
        hold = f"apt-mark hold {names} >/dev/null" if self.hold else ":"
        return f"""export DEBIAN_FRONTEND=noninteractive
{starts_again()}
{starts_later(self.later)}
dpkg --configure -a
lists=${{R%/steps/*}}/lists-read
if [ -z "$(find "$lists" -mmin -{_FRESH} 2>/dev/null)" ]; then {_APT} update; : >"$lists"; fi
{_APT} -y --no-install-recommends -o Dpkg::Options::=--force-confold install {names}
{hold}
{starts_again()}
{_LIST} >"$R/after\""""
