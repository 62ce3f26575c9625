"""Take out of a recording what identifies a machine or its owner, and nothing that a check reads."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

MASKED = "masked"
# Kernel parameters that a check may read; the rest of the command line (disk identifiers, consoles) stays home.
PARAMETERS = re.compile(
    r"(amd_|intel_)?iommu|mitigations|pcie?|pcie_aspm|(default_)?hugepages\w*|transparent_hugepage|(amd|intel)_pstate"
    r"|cpufreq\.\w+|isolcpus|nohz_full|numa_balancing|nvidia\S*|nouveau\S*|quiet|nomodule"
)
_KEYS = r"(?:serial|uuid|wwn|asset[ _]?tag|eui-?64|guid|hostname)"


def _zeros(match: re.Match[str]) -> str:
    return re.sub(r"[0-9a-fA-F]", "0", match.group())


def _address(match: re.Match[str]) -> str:
    """Replace an IP address by one of the documentation ranges; loopback and what is no address stay."""
    try:
        address = ipaddress.ip_address(match.group().split("%")[0])
    except ValueError:
        return match.group()
    if address.is_loopback or address.is_unspecified:
        return match.group()
    return "192.0.2.1" if address.version == 4 else "2001:db8::1"


RULES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"/(home|media)/[^/\s\"']+"), r"/\1/user"),
    # Hardware addresses, also those that udev makes an interface's name from.
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.I), "02:00:00:00:00:00"),
    (re.compile(r"\b(enx|wlx)[0-9a-f]{12}\b"), r"\g<1>020000000000"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I), _zeros),
    (re.compile(r"(?<=Device Serial Number )[0-9a-f-]+"), _zeros),
    # "serial": "…" of JSON, the wwn object of smartctl, and "Serial Number: …" of dmidecode and upsc.
    (re.compile(r'("wwn"\s*:\s*)\{[^}]*\}'), rf'\1"{MASKED}"'),
    (re.compile(rf'("[^"\n]*{_KEYS}[^"\n]*"\s*:\s*)(?:"[^"\n]*"|\d+)', re.I), rf'\1"{MASKED}"'),
    (re.compile(rf"^(\s*[\w. ]*{_KEYS}[\w ]*:[ \t]*)(?!Unknown|Not |None)\S.*$", re.I | re.M), rf"\1{MASKED}"),
    (re.compile(r"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"), _address),
    (re.compile(r"(?<![\w:.])[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:]*(?:%\w+)?(?![\w:.])", re.I), _address),
]


def mask(text: str, names: Iterable[str] = ()) -> str:
    """Return a text without serial numbers, identifiers, addresses, home folders and the given host names."""
    for name in names:
        # A name such as "vm" would also be found inside words that mean something else.
        if len(name) > 2 and name != "localhost":
            text = re.sub(rf"\b{re.escape(name)}\b", MASKED, text)
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return text


def output(argv: Sequence[str], text: str, names: Iterable[str] = ()) -> str:
    """Return what a tool printed, masked; of a kernel log only the NVIDIA driver's own lines, for the rest is private.

    Parameters
    ----------
    argv : sequence of str
        The command with its arguments.
    """
    if argv[0] in ("dmesg", "journalctl"):
        text = "".join(line for line in text.splitlines(keepends=True) if "NVRM" in line)
    return mask(text, names)


def parameters(text: str) -> str:
    """Keep the kernel parameters that a check may read."""
    return " ".join(word for word in text.split() if PARAMETERS.fullmatch(word.split("=")[0])) + "\n"
