"""The way in itself: firewall, tunnel and proxy on a VPS and on a home that know each other."""

from collections.abc import Iterator
from dataclasses import dataclass

from lib.core.errors import RunbookError
from lib.core.sections.bastion import Gate
from lib.deploy.bastion import files, tunnel
from lib.deploy.resources import Account, File, Folder, Kernel, Resource, Secret, Unit
from lib.deploy.resources.base import About
from lib.deploy.site import Probe, Site
from lib.deploy.target import Target
from lib.deploy.template import render

# A file and a unit of its own: the host's other rules, and what other programs add to them, stay as they are.
FIREWALL = "/etc/inference-firewall.nft"
FIREWALL_UNIT = "inference-firewall.service"
AUTH_USER = "inference-auth"
UNITS = "/etc/systemd/system"
NGINX_SOURCE = "https://nginx.org/en/docs/http/ngx_http_auth_request_module.html"
REDIRECTS = "/proc/sys/net/ipv4/conf/all/send_redirects"
REDIRECTS_SOURCE = (
    "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/drivers/net/wireguard/device.c"
)
NFTABLES_SOURCE = "https://wiki.nftables.org/wiki-nftables/index.php/Main_Page"

WHY = {
    files.NGINX: About("The API's few paths and nothing else; the whole file, so that no other site is served.",
                       NGINX_SOURCE),
    files.WIREGUARD: About("The tunnel: each machine has one address and may be nobody else.", tunnel.SOURCE),
    files.AUTH: About("Judges keys and tokens for nginx; it talks to nobody else."),
    files.WATCHDOG: About("After a restart of the VPS WireGuard alone takes up to two minutes to notice."),
}  # fmt: skip


@dataclass(frozen=True)
class Firewall(Unit):
    """A unit that may shut out who starts it: it is stopped again where no new connection gets in."""

    act = ""

    def do(self, target: Target) -> str:
        """Start it, and come in anew.

        Raises
        ------
        RunbookError
            A new connection does not get in; the firewall is open again.
        """
        target.run(super().act)
        if not target.opens():
            target.run(f"systemctl -q disable {self.name}; systemctl stop {self.name}")
            raise RunbookError(
                f"the firewall would shut you out of host '{target.name}': a new SSH connection did not get in",
                where=f"{target.place}; the firewall is open again",
                fix="bastion.ssh_from (VPS) or bastion.lan (home): the network that you come from",
            )
        return ""


def resources(site: Site) -> list[Resource]:
    """Return everything that opens the way; nothing as long as the other side is not known."""
    if not tunnel.wanted(site) or not tunnel.introduced(site):
        return []
    return [*_firewall(site), *(_gate(site) if site.role == "vps" else _home(site))]


def _rendered(site: Site) -> dict[str, files.File]:
    place, bastion = tunnel.here(site), tunnel.known(site)
    if isinstance(place, Gate):
        found = files.gate(bastion, place, site.public_keys)
    else:
        found = files.home(bastion, place, site.public_keys)
    return {file.path: file for file in found}


def _file(file: files.File, path: str = "", reason: str = "") -> File:
    return File(
        path or file.path, file.content, mode=f"{file.mode:o}", about=WHY.get(file.path, About(reason))
    )  # fmt: skip


def _firewall(site: Site) -> Iterator[Resource]:
    rules = _rendered(site)[files.NFTABLES]
    yield File(
        FIREWALL,
        rules.content,
        about=About("Whatever is not named is dropped, whoever else opens a port on this host.", NFTABLES_SOURCE),
    )
    unit = f"{UNITS}/{FIREWALL_UNIT}"
    yield File(
        unit,
        render(f"systemd/{FIREWALL_UNIT}.j2", rules=FIREWALL),
        about=About("The rules are there before the network is, and go as they came."),
    )
    yield Firewall(FIREWALL_UNIT, reads=(FIREWALL, unit), about=About("Now, and at every boot."))


def _tunnel(site: Site) -> Iterator[Resource]:
    yield _file(_rendered(site)[files.WIREGUARD])
    for name, secret in sorted(site.preshared.items()):
        yield File(
            f"{tunnel.WIREGUARD}/{name}.psk",
            f"{secret}\n",
            mode="600",
            private=True,
            about=About("The secret that this host shares with the VPS; it came from there through memory only."),
        )
    # Named, so that it is on record: the driver sets it when the tunnel comes up, and does not set it back.
    yield Kernel(
        REDIRECTS,
        "0",
        about=About("WireGuard's driver sets it for all interfaces when its own comes up.", REDIRECTS_SOURCE),
    )
    secrets = [f"{tunnel.WIREGUARD}/{name}.psk" for name in sorted(site.preshared)]
    yield Unit("wg-quick@wg0.service", reads=(files.WIREGUARD, *secrets), about=About("The tunnel, at every boot."))


def _nginx(site: Site) -> Iterator[Resource]:
    rendered = _rendered(site)
    drop_in = next(path for path in rendered if path.endswith("after-tunnel.conf"))
    yield Folder(drop_in.rpartition("/")[0], about=About("Where settings of nginx's unit are added."))
    yield _file(rendered[drop_in], reason="nginx listens on the tunnel's address, so the tunnel comes first.")
    yield _file(rendered[files.NGINX])
    yield Unit("nginx.service", reads=(files.NGINX, drop_in), about=About("The proxy, at every boot."))


def _program(site: Site, path: str, unit: str, *reads: str) -> Iterator[Resource]:
    rendered = _rendered(site)
    for folder in ("/opt/inference", path.rpartition("/")[0]):
        yield Folder(folder, about=About("Programs of the runbook that run on this host."))
    yield _file(rendered[path])
    yield _file(rendered[f"{UNITS}/{unit}"], reason="Restarted when it ends, with nothing that it does not need.")
    yield Unit(unit, reads=(path, f"{UNITS}/{unit}", *reads), about=About("At every boot."))


def _gate(site: Site) -> Iterator[Resource]:
    yield from _tunnel(site)
    yield Account(AUTH_USER, "/nonexistent", about=About("Judges keys: an account that owns nothing but their hashes."))
    for folder in (files.KEYS.rpartition("/")[0], files.TLS.rpartition("/")[0]):
        yield Folder(folder, about=About("Keys and certificates."))
    for folder, mode in ((files.CHALLENGES, "755"), (files.CERTIFICATES, "700")):
        yield Folder(folder, mode, with_contents=True, about=About("What asking for a certificate leaves."))
    yield from _judged_by(files.KEYS, site.keys, '{"schema": 1, "keys": []}')
    yield from _judged_by(files.SECRETS, site.token_secrets, '{"schema": 1, "secrets": []}')
    yield _first_certificate(site)
    yield from _program(site, files.AUTH, "inference-auth.service")
    yield from _renewal(site)
    yield from _nginx(site)


def _home(site: Site) -> Iterator[Resource]:
    yield from _tunnel(site)
    yield from _nginx(site)
    yield from _program(site, files.WATCHDOG, "inference-watchdog.service")


def _judged_by(path: str, content: str, empty: str) -> Iterator[Resource]:
    """Yield the owner's file as it is; where there is none yet, one that lets nobody in and is then left alone."""
    about = About("Hashes of keys, and secrets of tokens: no key itself. Made and revoked on the owner's machine.")
    if content:
        yield File(path, content, mode="600", owner=AUTH_USER, group=AUTH_USER, private=True, about=about)
    else:
        yield Secret(path, owner=AUTH_USER, group=AUTH_USER, make=f"echo '{empty}'", about=about)


def _first_certificate(site: Site) -> Resource:
    name = site.profile.bastion.hostname
    return Secret(
        files.TLS,
        make=f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj '/CN={name}'"
        f" -addext 'subjectAltName=DNS:{name}'"
        " -keyout /dev/stdout -out /dev/stdout 2>/dev/null",
        about=About("Its own, which nobody trusts, so that nginx can start and answer who issues the real one."),
    )


def _renewal(site: Site) -> Iterator[Resource]:
    rendered = _rendered(site)
    yield _file(rendered[files.ACME], reason="Who issues certificates, and how he asks back.")
    yield _file(rendered[files.CERTIFICATE], reason="Asks for a certificate when it is due, and says when that failed.")
    for name, reason in (
        ("inference-certificate-first.service", "nginx does not start without a certificate."),
        ("inference-certificate.service", "One look at the certificate: renewed when it is due."),
        ("inference-certificate.timer", "Twice a day, also what was missed while the machine was off."),
    ):
        yield _file(rendered[f"{UNITS}/{name}"], reason=reason)
    first, timer = "inference-certificate-first.service", "inference-certificate.timer"
    yield Unit(first, reads=(files.CERTIFICATE, f"{UNITS}/{first}"), about=About("Before nginx, at every boot."))
    yield Unit(timer, reads=(files.CERTIFICATE, f"{UNITS}/{timer}"), about=About("A certificate lasts 90 days."))


def probes(site: Site) -> list[Probe]:
    """Return the questions to a host that is one end of the way."""
    if not tunnel.wanted(site):
        return []
    if not tunnel.introduced(site):
        return [
            Probe(
                "introduced",
                "The other side is known",
                "echo 'it has no keys yet: apply to it, then here again'",
                "known",
            )
        ]
    return [*_both(), *(_of_gate(site) if site.role == "vps" else _of_home(site))]


def _both() -> list[Probe]:
    # A tunnel needs both ends: after a power cut the other one may still be on its way.
    handshake = "wg show wg0 latest-handshakes | awk '$2 > 0' | grep -q ."
    return [
        Probe(
            "firewall",
            "The firewall drops what it does not name",
            "nft list table inet inference | grep -c 'policy drop'",
            "2",
        ),
        Probe(
            "private_key", "Root alone reads the tunnel's key", f"stat -c '%a %U' {files.PRIVATE_KEY}", "600 root"
        ),
        Probe(
            "handshake",
            "The tunnel carries",
            f"for i in $(seq 45); do {handshake} && echo yes && break; sleep 1; done",
            "yes",
        ),
    ]  # fmt: skip


def _of_gate(site: Site) -> list[Probe]:
    bastion = tunnel.known(site)
    name, home = bastion.hostname, bastion.homes[0].tunnel
    status = "curl -sk -o /dev/null --max-time 20 -w '%{http_code}\\n'"
    tls = f"{status} --resolve {name}:443:127.0.0.1"
    return [
        Probe("no_key", "Without a key there is no answer", f"{tls} https://{name}{bastion.paths_get[0]}", "401"),
        Probe("unknown_path", "What is not listed is not there", f"{tls} https://{name}/metrics", "404"),
        Probe("plain", "Plain HTTP leads to TLS", f"{status} http://127.0.0.1/", "308"),
        Probe(
            "old_tls",
            "TLS 1.3 is answered, TLS 1.2 is not",
            f"echo $({tls} https://{name}/) $({tls} --tls-max 1.2 https://{name}/)",
            "404 000",
        ),
        Probe(
            "home_answers",
            "Home answers through the tunnel: its engine, or that it is not up",
            f"{status} http://{home}:{bastion.api_port}{bastion.paths_get[0]}",
            "200|502",
        ),
        Probe(
            "home_closed",
            "The VPS reaches nothing at home but the API",
            f"timeout 5 bash -c '</dev/tcp/{home}/{bastion.ssh_port}' 2>/dev/null && echo open || echo closed",
            "closed",
        ),
    ]


def _of_home(site: Site) -> list[Probe]:
    bastion, place = tunnel.known(site), tunnel.here(site)
    return [
        Probe(
            "listens",
            "The proxy listens on the tunnel's address and, but for this host itself, nowhere else",
            "ss -Hltnp | awk '/nginx/ && $4 !~ /^127[.]/ { print $4 }' | sort -u | paste -sd' '",
            rf"{place.tunnel}:{bastion.api_port}".replace(".", r"\."),
        ),
        Probe("watchdog", "The tunnel is watched", "systemctl is-active inference-watchdog", "active"),
    ]
