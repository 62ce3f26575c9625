"""What is too large, too slow, ambiguous, or too much."""

import contextlib
import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lib.edge.probes.registry import Ask, Probe, add, probe
from lib.edge.probes.target import PACE, Reply, Target, answers, ask, connection, parse, request, send

SIZES = "client_max_body_size and large_client_header_buffers in /etc/nginx/nginx.conf"
SLOW = "client_header_timeout and client_body_timeout in /etc/nginx/nginx.conf"
SMUGGLE = "an nginx with security updates: apt-get upgrade nginx"
LIMITS = "limit_req, limit_conn in /etc/nginx/nginx.conf and --bad-keys-minute of inference-auth"
MARGIN_S = 5.0


@probe("size.body", "A request above the limit is refused before it is read", "status 413, OpenAI's shape", SIZES)
def _body(target: Target) -> tuple[bool, str]:
    head = request(target, "/v1/chat/completions", method="POST", key=target.key)
    raw = head.replace(b"Content-Length: 0", f"Content-Length: {(target.body_mib << 20) + 1}".encode())
    # nginx goes on reading for a while after its answer, which is all that is waited for here.
    reply = send(target, raw + b"{" * 4096, timeout=2)
    return reply.status == 413 and reply.openai_error, reply.told


@probe("size.chunked", "A request above the limit whose length is not told is refused too", "status 413", SIZES)
def _chunked(target: Target) -> tuple[bool, str]:
    head = request(target, "/v1/chat/completions", method="POST", key=target.key, Transfer_Encoding="chunked")
    head = head.replace(b"Content-Length: 0\r\n", b"")
    piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    reply = send(target, head + piece * (target.body_mib + 1) + b"0\r\n\r\n", timeout=20)
    return reply.status in (413, 0), reply.told


@probe("size.uri", "An address of 64 KiB is refused", "status 414 or 400", SIZES)
def _uri(target: Target) -> tuple[bool, str]:
    reply = ask(target, "/v1/models/" + "x" * 65536, key=target.key)
    return reply.status in (0, 400, 414), reply.told


def _lets_go(begin: Callable[[Target], bytes], drip: bytes) -> Ask:
    """Send the beginning, then a byte a second: the server must end it within its limit and a margin."""

    def run(target: Target) -> tuple[bool, str]:
        started, limit = time.monotonic(), target.slow_timeout_s + MARGIN_S
        with connection(target, 2) as wire:
            wire.sendall(begin(target))
            wire.settimeout(1)
            raw = b""
            while time.monotonic() - started < limit:
                try:
                    if drip and len(raw) == 0:
                        wire.sendall(drip)
                    part = wire.recv(4096)
                except TimeoutError:
                    continue
                except (OSError, ssl.SSLError):
                    break
                if not part:
                    break
                raw += part
            else:
                return False, f"still open after {limit:.0f} s"
        reply = parse(raw)
        return reply.status in (0, 400, 408), f"{reply.told} after {time.monotonic() - started:.0f} s"

    return run


def _slow(name: str, title: str, begin: Callable[[Target], bytes], drip: bytes = b"") -> None:
    add(Probe(f"slow.{name}", title, "let go within the limit", SLOW, _lets_go(begin, drip)))


_slow("silent", "A connection that asks nothing is let go", lambda _: b"")
_slow(
    "header",
    "A header that never ends is let go",
    lambda t: f"GET /v1/models HTTP/1.1\r\nHost: {t.hostname}\r\n".encode(),
    b"X-a: b\r\n",
)
_slow(
    "body",
    "A body that stops is let go",
    lambda t: request(t, "/v1/chat/completions", method="POST", key=t.key).replace(b"Length: 0", b"Length: 99") + b"{",
)


def _smuggled(head: str, body: bytes) -> Ask:
    """One ambiguous request with a second one hidden behind it: no second answer, and no metrics."""

    def run(target: Target) -> tuple[bool, str]:
        filled = head.format(host=target.hostname, key=target.key)
        reply = send(target, filled.encode("latin-1") + body.replace(b"HOST", target.hostname.encode()), timeout=3)
        leaked = b"vllm:" in reply.raw or b"# HELP" in reply.raw
        count = answers(reply.raw)
        refused = reply.status in (0, 400, 405, 413, 501)
        return refused and not leaked, f"{reply.told}, {count} answer(s){', METRICS' if leaked else ''}"

    return run


_END = b"0\r\n\r\n"
_CHUNKED = "Transfer-Encoding: chunked\r\n"
_HIDDEN = b"GET /metrics HTTP/1.1\r\nHost: HOST\r\n\r\n"
_HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
for _name, _title, _lines, _content in [
    ("cl_te", "Length and chunks at once", f"Content-Length: 4\r\n{_CHUNKED}\r\n", _END + _HIDDEN),
    ("two_lengths", "Two lengths that differ", "Content-Length: 0\r\nContent-Length: 40\r\n\r\n", _HIDDEN),
    ("te_invented", "An invented encoding", "Transfer-Encoding: xchunked\r\n\r\n", _END + _HIDDEN),
    ("te_twice", "Two encodings", f"{_CHUNKED}Transfer-Encoding: identity\r\n\r\n", _END + _HIDDEN),
    ("te_tab", "An encoding behind a vertical tab", "Transfer-Encoding:\x0bchunked\r\n\r\n", _END + _HIDDEN),
    ("length_sign", "A length with a sign", "Content-Length: +0\r\n\r\n", _HIDDEN),
    ("length_negative", "A negative length", "Content-Length: -1\r\n\r\n", _HIDDEN),
    ("length_list", "A length that is a list", "Content-Length: 0, 0\r\n\r\n", _HIDDEN),
    ("chunk_size", "A chunk size that is none", "Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n\r\n" + _HIDDEN),
    ("chunk_overflow", "A chunk size beyond 64 bits", "Transfer-Encoding: chunked\r\n\r\n", b"f" * 20 + b"\r\n\r\n"),
    ("space_before_colon", "A blank before the colon", "Content-Length : 0\r\n\r\n", _HIDDEN),
]:  # fmt: skip
    add(
        Probe(
            f"smuggle.{_name}",
            f"{_title}: refused, and nothing behind it is answered",
            "status 400, 405, 413 or 501, no metrics",
            SMUGGLE,
            _smuggled(_HEAD + _lines, _content),
        )
    )


@probe("smuggle.version_0_9", "HTTP/0.9 reaches nothing", "no content", SMUGGLE)
def _old(target: Target) -> tuple[bool, str]:
    reply = send(target, b"GET /v1/models\r\n\r\n", timeout=3)
    return target.model.encode() not in reply.raw, f"{len(reply.raw)} bytes"


def _statuses(target: Target, number: int, make: Callable[[int], bytes]) -> Counter[int]:
    """Send many requests on connections of their own, so many at a time, as nobody would who waits for answers."""

    def one(count: int) -> int:
        try:
            with connection(target) as wire:
                wire.sendall(make(count))
                return parse(wire.recv(4096)).status
        except OSError:
            return 0

    with ThreadPoolExecutor(16) as pool:
        return Counter(pool.map(one, range(number)))


def _told(counts: Counter[int]) -> str:
    return ", ".join(f"{number} × {status or 'closed'}" for status, number in sorted(counts.items()))


@probe(
    "rate.key_share", "A key gets its share of the minute and no more", "then 429, OpenAI's shape", LIMITS, last=True
)
def _share(target: Target) -> tuple[bool, str]:
    replies = [ask(target, "/v1/models", key=target.small_key) for _ in range(target.small_share + 3)]
    fine = sum(reply.status == 200 for reply in replies)
    over = [reply for reply in replies if reply.status == 429]
    good = fine == target.small_share and bool(over) and all(reply.openai_error for reply in over)
    return good, f"{fine} answered, {len(over)} × 429"


@probe(
    "rate.bad_keys",
    "Wrong keys are counted: most of 40 in a row meet the limit",
    "at least 20 × 429",
    LIMITS,
    last=True,
)
def _bad_keys(target: Target) -> tuple[bool, str]:
    counts = _statuses(target, 40, lambda n: request(target, "/v1/models", key=f"rb_bbbbbbbb_{n:043d}"))
    return counts[429] >= 20 and not counts[200], _told(counts)


@probe("rate.good_key", "A valid key still opens for the address that sent wrong ones", "status 200", LIMITS, last=True)
def _good_key(target: Target) -> tuple[bool, str]:
    time.sleep(3)
    reply = ask(target, "/v1/models", key=target.key)
    return reply.status == 200, reply.told


@probe("rate.requests", "More requests than the limit are refused, with any key", "some 429", LIMITS, last=True)
def _requests(target: Target) -> tuple[bool, str]:
    counts = _statuses(target, 100, lambda _: request(target, "/nothing", key=target.key))
    return counts[429] >= 10, _told(counts)


@probe("rate.forwarded_for", "An invented X-Forwarded-For is no new address", "some 429", LIMITS, last=True)
def _forwarded(target: Target) -> tuple[bool, str]:
    def made(number: int) -> bytes:
        told = f"198.51.100.{number}"
        return request(target, "/nothing", X_Forwarded_For=told, X_Real_IP=told, Forwarded=f"for={told}")

    counts = _statuses(target, 100, made)
    return counts[429] >= 10, _told(counts)


@probe("rate.connections", "One address holds only so many requests at a time", "some 429", LIMITS, last=True)
def _connections(target: Target) -> tuple[bool, str]:
    # Slower than the limit of requests, which would answer first.
    time.sleep(3)
    held, counts = [], Counter[int]()
    head = request(target, "/v1/chat/completions", method="POST", key=target.key).replace(b"Length: 0", b"Length: 9")
    with contextlib.ExitStack() as stack:
        for _ in range(target.connections + 16):
            PACE.wait()
            with contextlib.suppress(OSError):
                held.append(stack.enter_context(connection(target)))
                held[-1].sendall(head)
        time.sleep(0.2)
        for wire in select.select(held, [], [], 0)[0]:
            wire.settimeout(0.5)
            with contextlib.suppress(OSError):
                counts[parse(wire.recv(4096)).status] += 1
    return counts[429] >= 10, _told(counts) or "none refused"


@probe("http.redirect", "Port 80 answers with nothing but the way to TLS", "status 308", "the server of port 80")
def _redirect(target: Target) -> tuple[bool, str]:
    reply = _plain(target, request(target, "/v1/models", key=target.key))
    where = reply.headers.get("location", "")
    return reply.status == 308 and where.startswith(f"https://{target.hostname}/"), f"{reply.told}, {where}"


@probe("http.no_api", "Port 80 passes no question on, key or no key", "status 308", "the server of port 80")
def _no_api(target: Target) -> tuple[bool, str]:
    reply = _plain(target, request(target, "/v1/chat/completions", method="POST", key=target.key, body=target.chat))
    return reply.status == 308, reply.told


@probe("http.challenge", "The folder of ACME challenges shows no other file", "status 404", "the alias of port 80")
def _challenge(target: Target) -> tuple[bool, str]:
    reply = _plain(target, request(target, "/.well-known/acme-challenge/../../../etc/passwd"))
    other = _plain(target, request(target, "/.well-known/acme-challenge/"))
    return reply.status in (308, 400, 404) and other.status in (403, 404), f"{reply.told}; {other.told}"


def _plain(target: Target, raw: bytes) -> Reply:
    with socket.create_connection((target.address, 80), timeout=5) as wire:
        wire.sendall(raw)
        parts = []
        with contextlib.suppress(OSError):
            while part := wire.recv(65536):
                parts.append(part)
    return parse(b"".join(parts))
