"""Tells nginx whether a request may pass: API keys for people and programs, short-lived JWTs for services.

One file, standard library only, deployed as it is. nginx asks it with `auth_request` over a Unix socket and passes the
client's address in `X-Real-IP`. It answers 204 with who it is, 401 for a key that is missing or wrong, 403 with a
reason for one that was right once, or for an address that has sent too many wrong ones.

    auth_service.py --keys keys.json --secrets jwt.json --socket auth.sock [--bad-keys-minute 10]

Nothing that was sent is ever written anywhere.
"""

import argparse
import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import math
import os
import re
import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

KEY = re.compile(r"rb_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
AUDIENCE = "inference-bastion"
# A service asks for a new token every few minutes; one that leaks is worth little.
LONGEST_TOKEN_S = 900
CLOCK_SKEW_S = 30
# So many addresses and keys are remembered; the longest unused is forgotten first.
REMEMBERED = 10_000


class Verdict(NamedTuple):
    """What nginx is told: status, and who it is or why not."""

    status: int
    client: str = ""
    roles: str = ""
    reason: str = ""


class Bucket:
    """So many per minute for each name: full at first, and refilled evenly."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, per_minute: int) -> bool:
        """Take one; return False where none is left."""
        left = self.left(name, per_minute)
        enough = left >= 1
        self._left[name] = (left - 1 if enough else left, self._clock())
        self._left.move_to_end(name)
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return enough

    def left(self, name: str, per_minute: int) -> float:
        """Return how many are left now."""
        known = self._left.get(name)
        if known is None:
            return float(per_minute)
        left, when = known
        return min(float(per_minute), left + (self._clock() - when) * per_minute / 60)


class Store:
    """A JSON file that is read again whenever it was replaced. A damaged or missing one lets nobody in."""

    def __init__(self, path: Path, field: str) -> None:
        self.path, self.field = path, field
        self._seen: tuple[int, int] | None = None
        self._entries: dict[str, dict[str, Any]] = {}

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the entries by `id`."""
        try:
            state = self.path.stat()
            seen = (state.st_mtime_ns, state.st_ino)
            if seen != self._seen:
                told = json.loads(self.path.read_text())
                self._entries = {str(entry["id"]): entry for entry in told[self.field]}
                self._seen = seen
        except (OSError, ValueError, KeyError, TypeError):
            self._entries, self._seen = {}, None
        return self._entries


class Judge:
    """Decides about one `Authorization` header at a time.

    Parameters
    ----------
    keys, secrets : Path
        `keys.json` and `jwt.json`.
    bad_keys_minute : int
        Wrong keys that one address may send in a minute.
    now, clock : callable
        Seconds since 1970, and a monotonic clock.
    """

    def __init__(
        self,
        keys: Path,
        secrets: Path,
        bad_keys_minute: int = 10,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys, self._secrets = Store(keys, "keys"), Store(secrets, "secrets")
        self._bad_minute, self._now = bad_keys_minute, now
        self._bad, self._used = Bucket(clock), Bucket(clock)

    def judge(self, authorization: str, address: str) -> Verdict:
        """Return the verdict on a header's value; who sends wrong ones is counted by address."""
        kind, _, value = authorization.strip().partition(" ")
        value = value.strip()
        if kind.lower() != "bearer" or not value:
            verdict = Verdict(401, reason="missing")
        elif found := KEY.fullmatch(value):
            verdict = self._key(found[1], value)
        elif value.count(".") == 2:
            verdict = self._token(value)
        else:
            verdict = Verdict(401, reason="wrong")
        if verdict.status in (401, 403) and verdict.reason != "busy" and not self._bad.take(address, self._bad_minute):
            return Verdict(403, reason="throttled")
        return verdict

    def _key(self, name: str, value: str) -> Verdict:
        entry = self._keys.entries().get(name)
        digest = hashlib.sha256(value.encode()).hexdigest()
        if entry is None or not hmac.compare_digest(str(entry.get("sha256", "")), digest):
            return Verdict(401, reason="wrong")
        if entry.get("revoked") is not None or self._past(entry.get("expires")):
            return Verdict(403, reason="revoked" if entry.get("revoked") is not None else "expired")
        if (share := int(entry.get("requests_per_minute", 0))) and not self._used.take(name, share):
            return Verdict(403, name, reason="busy")
        return Verdict(204, name, ",".join(map(str, entry.get("roles", []))))

    def _past(self, when: object) -> bool:
        """Tell whether a time has passed; one that cannot be read counts as passed."""
        if when is None:
            return False
        try:
            return datetime.fromisoformat(str(when).replace("Z", "+00:00")).timestamp() <= self._now()
        except ValueError:
            return True

    def _token(self, value: str) -> Verdict:
        try:
            claims = self._claims(value)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Verdict(401, reason="wrong")
        now, issued, expires = self._now(), _number(claims.get("iat")), _number(claims.get("exp"))
        if issued is None or expires is None or claims.get("aud") != AUDIENCE:
            return Verdict(401, reason="wrong")
        if expires <= now or issued > now + CLOCK_SKEW_S or expires - issued > LONGEST_TOKEN_S:
            return Verdict(403, reason="expired")
        name = str(claims.get("sub") or "")
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
            return Verdict(401, reason="wrong")
        if not self._used.take(f"service:{name}", int(claims.get("rpm") or 60)):
            return Verdict(403, name, reason="busy")
        return Verdict(204, name, "service")

    def _claims(self, value: str) -> dict[str, Any]:
        """Return the claims of a token whose signature is right.

        Raises
        ------
        ValueError, KeyError
            It is no token, names another algorithm, or the signature is wrong.
        """
        head, body, signature = value.split(".")
        header = json.loads(_decode(head))
        # The one algorithm, whatever the token says: "none" and public-key tricks end here.
        if header["alg"] != "HS256":
            raise ValueError("algorithm")
        secret = self._secrets.entries()[str(header["kid"])]["secret"]
        if not hmac.compare_digest(_decode(signature), _sign(f"{head}.{body}", str(secret))):
            raise ValueError("signature")
        claims = json.loads(_decode(body))
        return dict(claims)


def token(
    subject: str, kid: str, secret: str, seconds: int, now: float, rpm: int = 60, audience: str = AUDIENCE
) -> str:
    """Return a JWT for a service, signed with a secret of `jwt.json`."""
    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    issued = math.floor(now)
    claims = {"sub": subject, "aud": audience, "iat": issued, "exp": issued + seconds, "rpm": rpm}
    signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
    return f"{signed}.{_encode(_sign(signed, secret))}"


def _sign(text: str, secret: str) -> bytes:
    return hmac.digest(_decode(secret), text.encode("ascii"), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("base64") from error


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


class Service:
    """Speaks as much HTTP/1.1 as nginx needs for a subrequest, over a Unix socket."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    async def serve(self, socket: Path) -> None:
        """Serve until SIGTERM; the socket is readable and writable for its group."""
        socket.unlink(missing_ok=True)
        previous = os.umask(0o117)
        try:
            server = await asyncio.start_unix_server(self._connection, path=str(socket), limit=1 << 17)
        finally:
            os.umask(previous)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        async with server:
            await ended.wait()
        socket.unlink(missing_ok=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(self._answer(head))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        headers: dict[str, str] = {}
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        verdict = self.judge.judge(headers.get("authorization", ""), headers.get("x-real-ip", ""))
        words = {204: "No Content", 401: "Unauthorized", 403: "Forbidden"}
        lines = [
            f"HTTP/1.1 {verdict.status} {words[verdict.status]}",
            f"X-Client-Id: {verdict.client}",
            f"X-Client-Roles: {verdict.roles}",
            f"X-Auth-Reason: {verdict.reason}",
            *(["Content-Length: 0"] if verdict.status != 204 else []),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="Judges API keys and tokens for nginx.")
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--secrets", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--bad-keys-minute", type=int, default=10)
    told = parser.parse_args()
    asyncio.run(Service(Judge(told.keys, told.secrets, told.bad_keys_minute)).serve(told.socket))


if __name__ == "__main__":
    main()
