"""What the probes are pointed at, and the wire they use: bytes as they are, so that nothing is corrected on the way."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

WAIT_S = 5.0
# Below the bastion's own limit (20 a second, 40 at once): a probe that is limited has not been answered.
PER_SECOND, AT_ONCE = 15.0, 25.0


class Target(NamedTuple):
    """One bastion, and what a client of it knows. Keys are only ever passed on standard input.

    `routes` are the engine's own, each with its method; `open_routes` those that the bastion lets through.
    """

    hostname: str
    address: str
    ca_file: str
    model: str
    key: str
    revoked: str
    expired: str
    token: str
    bad_tokens: Mapping[str, str]
    routes: list[tuple[str, str]]
    open_routes: list[tuple[str, str]]
    slow_timeout_s: float
    body_mib: int
    small_key: str = ""
    small_share: int = 3
    connections: int = 64
    port: int = 443

    @property
    def place(self) -> tuple[str, int]:
        """Address and port of TLS."""
        return self.address, self.port

    @property
    def chat(self) -> bytes:
        """A small valid request."""
        message = {"role": "user", "content": "Say yes."}
        return json.dumps({"model": self.model, "messages": [message], "max_tokens": 4, "temperature": 0}).encode()


class Reply(NamedTuple):
    """What came back on one connection; status 0 means that it was closed without an answer."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    raw: bytes = b""

    @property
    def told(self) -> str:
        """The reply in a few words."""
        return f"status {self.status}" if self.status else "closed without an answer"

    @property
    def openai_error(self) -> bool:
        """Whether the body is an error in OpenAI's shape."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            error = json.loads(self.body)["error"]
            return {"message", "type", "param", "code"} <= set(error)
        return False


class Pace:
    """Holds requests back, so that only the probes of the limit meet the limit."""

    def __init__(self) -> None:
        self._left, self._when = AT_ONCE, time.monotonic()

    def wait(self) -> None:
        """Wait until the next request is due."""
        now = time.monotonic()
        self._left = min(AT_ONCE, self._left + (now - self._when) * PER_SECOND)
        self._when = now
        if self._left < 1:
            time.sleep((1 - self._left) / PER_SECOND)
        self._left -= 1


PACE = Pace()


def context(target: Target, low: int = ssl.TLSVersion.TLSv1_3, high: int = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return a client's TLS settings for a range of versions; the certificate is verified."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(target.ca_file)
    if low < ssl.TLSVersion.TLSv1_2:
        made.set_ciphers("ALL:@SECLEVEL=0")
    made.minimum_version, made.maximum_version = ssl.TLSVersion(low), ssl.TLSVersion(high)
    return made


@contextmanager
def connection(target: Target, timeout: float = WAIT_S) -> Iterator[ssl.SSLSocket]:
    """Open a verified TLS connection."""
    with (
        socket.create_connection(target.place, timeout=timeout) as plain,
        context(target).wrap_socket(plain, server_hostname=target.hostname) as wrapped,
    ):
        yield wrapped


def send(target: Target, raw: bytes, timeout: float = WAIT_S) -> Reply:
    """Send bytes as they are and return the first reply; `raw` of it holds everything that came."""
    PACE.wait()
    try:
        with connection(target, timeout) as wire:
            with contextlib.suppress(OSError):  # refused before all was sent; the answer is there all the same
                wire.sendall(raw)
            return parse(_all(wire, timeout))
    except (OSError, ssl.SSLError):
        return Reply(0)


def ask(target: Target, path: str, *, method: str = "GET", key: str = "", body: bytes = b"", **headers: str) -> Reply:
    """Send one well-formed HTTP/1.1 request; underscores in names of headers become dashes."""
    return send(target, request(target, path, method=method, key=key, body=body, **headers))


def request(
    target: Target, path: str, *, method: str = "GET", key: str = "", body: bytes = b"", **headers: str
) -> bytes:
    """Return the bytes of one request that closes its connection."""
    lines = {"Host": target.hostname, "Connection": "close"}
    if key:
        lines["Authorization"] = f"Bearer {key}"
    if body or method in ("POST", "PUT"):
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def parse(raw: bytes) -> Reply:
    """Read the first reply of what came."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith("HTTP/"):
        return Reply(0, raw=raw)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Reply(int(words[1]), headers, body, raw)


def answers(raw: bytes) -> int:
    """Count the replies in what came on one connection."""
    return raw.count(b"HTTP/1.1 ") + raw.count(b"HTTP/1.0 ")


def _all(wire: socket.socket, timeout: float) -> bytes:
    wire.settimeout(timeout)
    parts = []
    with contextlib.suppress(OSError):
        while part := wire.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)
