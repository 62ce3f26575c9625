"""TLS: versions, ciphers, names, the certificate."""

import contextlib
import socket
import ssl
import subprocess
import time

from lib.edge.probes.registry import Ask, Probe, add, probe
from lib.edge.probes.target import WAIT_S, Target, connection, context, send

CONFIG = "ssl_protocols and the default server in /etc/nginx/nginx.conf"
VERSIONS = {"v1_0": ssl.TLSVersion.TLSv1, "v1_1": ssl.TLSVersion.TLSv1_1, "v1_2": ssl.TLSVersion.TLSv1_2}


def _refused(version: ssl.TLSVersion) -> Ask:
    def ask(target: Target) -> tuple[bool, str]:
        try:
            with (
                socket.create_connection(target.place, timeout=WAIT_S) as plain,
                context(target, version, version).wrap_socket(plain, server_hostname=target.hostname) as wrapped,
            ):
                return False, f"{wrapped.version()} with {(wrapped.cipher() or ('',))[0]}"
        except (OSError, ssl.SSLError) as error:
            return True, f"handshake refused ({getattr(error, 'reason', None) or type(error).__name__})"

    return ask


for _name, _version in VERSIONS.items():
    add(
        Probe(
            f"tls.{_name}",
            f"TLS {_name[1:].replace('_', '.')} is refused",
            "no handshake",
            CONFIG,
            _refused(_version),
        )
    )


@probe("tls.v1_3", "TLS 1.3 is spoken", "a handshake with TLS 1.3 and an AEAD cipher", CONFIG)
def _v1_3(target: Target) -> tuple[bool, str]:
    with connection(target) as wire:
        cipher = (wire.cipher() or ("",))[0]
        return wire.version() == "TLSv1.3" and ("GCM" in cipher or "POLY1305" in cipher), f"{wire.version()}, {cipher}"


@probe("tls.certificate", "The certificate is for this name and signed by who the client trusts", "verified", "renew")
def _certificate(target: Target) -> tuple[bool, str]:
    try:
        with connection(target) as wire:
            told = wire.getpeercert() or {}
            names = [str(entry[1]) for entry in told.get("subjectAltName", ())]
            return target.hostname in names, f"verified, for {', '.join(names)}"
    except ssl.SSLError as error:
        return False, str(error.reason)


@probe("tls.lifetime", "The certificate lives on for a while", "at least a week", "renew it; systemctl reload nginx")
def _lifetime(target: Target) -> tuple[bool, str]:
    with connection(target) as wire:
        ends = ssl.cert_time_to_seconds(str((wire.getpeercert() or {})["notAfter"]))
    days = (ends - time.time()) / 86400
    return days >= 7, f"{days:.0f} days"


def _named(name: str | None) -> Ask:
    def ask(target: Target) -> tuple[bool, str]:
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection(target.place, timeout=WAIT_S) as plain,
                blind.wrap_socket(plain, server_hostname=name) as wrapped,
            ):
                return False, f"a certificate of {len(wrapped.getpeercert(binary_form=True) or b'')} bytes"
        except (OSError, ssl.SSLError) as error:
            return True, f"no certificate ({getattr(error, 'reason', None) or type(error).__name__})"

    return ask


add(Probe("tls.no_name", "Who names no host learns none", "no certificate", CONFIG, _named(None)))
add(Probe("tls.other_name", "Who names another host learns none", "no certificate", CONFIG, _named("other.example")))


@probe("tls.early_data", "Early data, which can be replayed, is not accepted", "none offered", "ssl_early_data off")
def _early_data(target: Target) -> tuple[bool, str]:
    told = _openssl(target)
    sizes = [line for line in told.splitlines() if "Max Early Data" in line]
    return all(line.split(":")[1].strip() == "0" for line in sizes), "; ".join(sizes).strip() or "no ticket offers it"


@probe("tls.tickets", "No session ticket outlives a restart", "no ticket is sent", "ssl_session_tickets off")
def _tickets(target: Target) -> tuple[bool, str]:
    told = _openssl(target)
    hints = [line.strip() for line in told.splitlines() if "ticket lifetime hint" in line.lower()]
    stateless = [line for line in told.splitlines() if "TLS session ticket:" in line]
    # A session kept in the server's own memory is named by 32 bytes; a stateless ticket is a sealed box of some 200.
    rows = [line for line in told.splitlines() if line.strip()[:4].isdigit() and " - " in line]
    long = len(rows) > 4 * max(1, len(stateless))
    return not long, f"{len(rows)} lines of ticket, {len(hints)} hints"


@probe("tls.plain", "Plain HTTP on the TLS port gets an error, nothing else", "status 400", "error_page 497")
def _plain(target: Target) -> tuple[bool, str]:
    with socket.create_connection(target.place, timeout=WAIT_S) as wire:
        wire.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {target.hostname}\r\nConnection: close\r\n\r\n".encode())
        raw = b""
        with contextlib.suppress(OSError):
            while part := wire.recv(65536):
                raw += part
    return not raw or b" 400 " in raw.split(b"\r\n")[0], (raw.split(b"\r\n")[0].decode() or "closed")


@probe("tls.http2", "HTTP/2 is offered", "h2 is chosen", "listen 443 ssl http2")
def _http2(target: Target) -> tuple[bool, str]:
    offering = context(target)
    offering.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(target.place, timeout=WAIT_S) as plain,
        offering.wrap_socket(plain, server_hostname=target.hostname) as wrapped,
    ):
        return wrapped.selected_alpn_protocol() == "h2", str(wrapped.selected_alpn_protocol())


@probe("tls.other_host", "A right name in TLS and another in Host reaches nothing", "no answer", "the default server")
def _other_host(target: Target) -> tuple[bool, str]:
    raw = f"GET /v1/models HTTP/1.1\r\nHost: other.example\r\nAuthorization: Bearer {target.key}\r\n\r\n"
    reply = send(target, raw.encode())
    return reply.status in (0, 400, 421), reply.told


def _openssl(target: Target) -> str:
    argv = ["openssl", "s_client", "-connect", f"{target.address}:{target.port}", "-servername", target.hostname]
    argv += ["-CAfile", target.ca_file, "-tls1_3", "-ign_eof"]
    ask = f"GET / HTTP/1.1\r\nHost: {target.hostname}\r\nConnection: close\r\n\r\n"
    done = subprocess.run(argv, input=ask, capture_output=True, text=True, timeout=15, check=False)
    return done.stdout
