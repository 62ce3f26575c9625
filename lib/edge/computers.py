"""The owner's computers: each gets a place in the tunnel, a key and settings, in files that only he reads.

`clients.json` beside the file of keys says who is there, without a secret. What is secret lies in a folder of its own,
`clients/NAME`, mode 0700, its files 0600; it goes when the computer is revoked.
"""

import ipaddress
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.sections import Profile
from lib.core.sections.bastion import Bastion
from lib.deploy.bastion import files
from lib.deploy.template import render
from lib.edge import private
from lib.gateway import clients, keys

REGISTRY = "clients.json"
FOLDER = "clients"
SCHEMA = 1
TUNNEL_FILE, PICTURE_FILE, ENVIRONMENT_FILE, SETTINGS = "inference.conf", "inference.png", "inference.env", "settings"


@dataclass(frozen=True)
class Computer:
    """One computer: its name, its address in the tunnel, its public key, and its key of the API by number."""

    name: str
    tunnel: str
    public_key: str
    key_id: str
    created: str
    revoked: str = ""


class Register(NamedTuple):
    """All computers, and the public keys of the VPS by name."""

    computers: list[Computer]
    gates: dict[str, str]

    def find(self, name: str) -> Computer:
        """Return the computer of a name that was not revoked.

        Raises
        ------
        RunbookError
            There is none.
        """
        there = {one.name: one for one in self.computers if not one.revoked}
        if name not in there:
            raise RunbookError(
                f"no computer '{name}'", nearest=nearest(name, list(there)), fix="python -m lib bastion client list"
            )
        return there[name]


class Known(NamedTuple):
    """A VPS as a computer's tunnel names it."""

    name: str
    address: str
    tunnel: str
    public_key: str
    shared_key: str


def load(store: Path) -> Register:
    """Read who is there; `store` is the file of keys."""
    path = store.with_name(REGISTRY)
    if not path.exists():
        return Register([], {})
    try:
        told = json.loads(path.read_text())
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']}")
        return Register([Computer(**entry) for entry in told["computers"]], dict(told["gates"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RunbookError(
            f"not a list of computers: {error}", where=str(path), fix="restore it from a backup"
        ) from error


def folder(store: Path, name: str) -> Path:
    """Return where the files of a computer lie."""
    return store.parent / FOLDER / name


def add(profile: Profile, store: Path, name: str, public_keys: Mapping[str, str]) -> Computer:
    """Make everything that a new computer needs, and what lets it in on every VPS.

    Parameters
    ----------
    store : Path
        The file of keys.
    public_keys : mapping of str to str
        WireGuard's public key of each VPS by name; what was said once is remembered.
    """
    bastion, known = profile.bastion, load(store)
    if any(one.name == name and not one.revoked for one in known.computers):
        raise RunbookError(f"'{name}' is there already", fix=f"python -m lib bastion client revoke {name}")
    gates = _gate_keys(bastion, {**known.gates, **public_keys})
    tunnel = _address(bastion, name, [one.tunnel for one in known.computers if not one.revoked])
    private_key = _wg("genkey")
    public_key = _wg("pubkey", private_key)
    made, secret = keys.create(store, name, [keys.ALL_ROLES])
    computer = Computer(name, tunnel, public_key, made.id, _now())
    sides = [Known(g.name, g.address, g.tunnel, gates[g.name], _wg("genpsk")) for g in bastion.gates]
    shutil.rmtree(folder(store, name), ignore_errors=True)
    try:
        _write(profile, folder(store, name), computer, sides, private_key, secret)
        _save(store, Register([*known.computers, computer], gates))
    except BaseException:
        keys.revoke(store, made.id)
        shutil.rmtree(folder(store, name), ignore_errors=True)
        raise
    return computer


def revoke(profile: Profile, store: Path, name: str) -> Computer:
    """End a computer's key, forget its secrets, and write what keeps it out on every VPS."""
    known = load(store)
    computer = known.find(name)
    keys.revoke(store, computer.key_id)
    ended = replace(computer, revoked=_now())
    place = folder(store, name)
    shutil.rmtree(place, ignore_errors=True)
    for gate in profile.bastion.gates:
        text = render("wireguard/leave.sh.j2", gate=gate, folder=files.CLIENTS, computer=computer)
        private.write(place / f"{gate.name}.leave.sh", text)
    _save(store, Register([ended if one == computer else one for one in known.computers], known.gates))
    return ended


def handover(profile: Profile, store: Path, name: str) -> list[str]:
    """Return the commands that carry what was written to every VPS."""
    place = folder(store, name)
    scripts = [(gate, found) for gate in profile.bastion.gates for found in place.glob(f"{gate.name}.*.sh")]
    return [
        f"ssh root@{gate.address} sh -s <{paths.short(script)} && rm {paths.short(script)}" for gate, script in scripts
    ]


def _write(
    profile: Profile, place: Path, computer: Computer, gates: Sequence[Known], private_key: str, secret: str
) -> None:
    bastion = profile.bastion
    base = f"https://{bastion.hostname}"
    tunnel = render("wireguard/client.conf.j2", b=bastion, gates=gates, private_key=private_key, computer=computer)
    private.write(place / TUNNEL_FILE, tunnel)
    private.write(place / PICTURE_FILE, picture(tunnel))
    told = render("clients/inference.env.j2", base=f"{base}/v1", computer=computer, secret=secret, key=clients.KEY)
    private.write(place / ENVIRONMENT_FILE, told)
    clients.write(profile, place / SETTINGS, base)
    for gate in gates:
        text = render("wireguard/join.sh.j2", gate=gate, folder=files.CLIENTS, computer=computer)
        private.write(place / f"{gate.name}.join.sh", text)


def picture(text: str) -> bytes:
    """Return a QR code as PNG; the text travels on standard input, for it is secret."""
    return _run(["qrencode", "-t", "PNG", "-l", "M", "-s", "4", "-o", "-"], text, "qrencode")


def _wg(command: str, feed: str = "") -> str:
    return _run(["wg", command], feed, "wireguard-tools").decode().strip()


def _run(argv: Sequence[str], feed: str, package: str) -> bytes:
    try:
        return subprocess.run(argv, input=feed.encode(), capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise RunbookError(f"{argv[0]} is not installed", fix=f"apt-get install -y {package}") from error


def _gate_keys(bastion: Bastion, told: Mapping[str, str]) -> dict[str, str]:
    names = [gate.name for gate in bastion.gates]
    for name, key in told.items():
        if name not in names:
            raise RunbookError(
                f"no VPS '{name}'", where="--vps", nearest=nearest(name, names), fix=f"--vps {names[0]}=KEY"
            )
        if len(key) != 44 or not key.endswith("="):
            raise RunbookError(f"that is no public key of {name}", where="--vps", fix=_ask(name))
    if lacking := next((name for name in names if name not in told), None):
        raise RunbookError(f"the public key of {lacking} is not known", where="--vps", fix=_ask(lacking))
    return dict(told)


def _ask(name: str) -> str:
    return f"--vps {name}=KEY, which is on it: wg pubkey < {files.PRIVATE_KEY}"


def _address(bastion: Bastion, name: str, taken: Sequence[str]) -> str:
    """Return the address that the profile keeps for a name, or the last free one of the network."""
    kept = {one.name: one.tunnel for one in bastion.clients}
    if name in kept:
        return kept[name]
    used = {*taken, *kept.values(), *(gate.tunnel for gate in bastion.gates), *(home.tunnel for home in bastion.homes)}
    for address in reversed(list(ipaddress.ip_network(bastion.network).hosts())):
        if str(address) not in used:
            return str(address)
    raise RunbookError(f"no address is left in {bastion.network}", where="bastion.network", fix="a larger network")


def _save(store: Path, told: Register) -> None:
    content = {"schema": SCHEMA, "gates": told.gates, "computers": [asdict(one) for one in told.computers]}
    private.write(store.with_name(REGISTRY), json.dumps(content, indent=1) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
