"""Tools that may be missing or forbidden: which package brings one, and the skip that says so."""

import re

from lib.core.evidence import Check
from lib.host.probe import Output

PACKAGES = {
    "lscpu": "util-linux",
    "lsblk": "util-linux",
    "df": "coreutils",
    "lspci": "pciutils",
    "dmidecode": "dmidecode",
    "nvme": "nvme-cli",
    "smartctl": "smartmontools",
    "upsc": "nut-client",
    "zpool": "zfsutils-linux",
}
AS_ROOT = 'run as root: sudo "$(command -v python)" -m lib run --only 01'


def refused(output: Output) -> bool:
    """Tell whether the tool ran into missing rights."""
    text = (output.out + output.err).lower()
    return output.reason == "forbidden" or (not output.ok and ("permission denied" in text or "must be root" in text))


def skip(name: str, title: str, tool: str, output: Output, expected: str, note: str = "") -> Check:
    """Return the skip for a tool that gave no usable output: why, and the command that changes it.

    Parameters
    ----------
    note : str, optional
        What a person should know beside the command, for example that a virtual machine shows no modules.
    """
    if output.reason == "missing":
        observed, fix = f"{tool} is not installed", f"sudo apt-get install {PACKAGES[tool]}"
    elif refused(output):
        observed, fix = f"{tool} may only be used by root", AS_ROOT
    elif output.reason == "timeout":
        observed, fix = f"{tool} did not answer in time", f"run it by hand and see where it hangs: sudo {tool}"
    else:
        said = (output.err or output.out).strip().splitlines()
        observed = f"{tool} told nothing" + (f": {said[-1].strip()}" if said else "")
        fix = f"run it by hand: sudo {tool}"
    fix = f"{fix}\n{note}" if note else fix
    return Check(name=name, title=title, status="skip", expected=expected, observed=observed, fix=fix)


def slug(text: str) -> str:
    """Return a text as one part of a record's name."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "other"


def count(text: str | None) -> int | None:
    """Return the whole number that a file or field holds, or None."""
    try:
        return int((text or "").strip())
    except ValueError:
        return None
