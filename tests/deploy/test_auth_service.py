"""The service that judges keys and tokens: what opens, what does not, what is counted, what is never written."""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lib.deploy.bastion import auth_service
from lib.deploy.bastion.auth_service import Bucket, Judge, Verdict
from lib.edge import tokens
from lib.gateway import keys

ADDRESS = "198.51.100.7"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A judge over a store that the runbook's own commands write."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.clock = folder / "keys.json", Clock()
        self.clock.now = time.time()
        self.secrets = tokens.secrets_of(self.keys)
        self.judge = Judge(self.keys, self.secrets, 10, self.clock, self.clock)

    def ask(self, value: str, address: str = ADDRESS) -> Verdict:
        return self.judge.judge(f"Bearer {value}", address)

    def make(self, name: str = "laptop", **more: Any) -> tuple[keys.Key, str]:
        return keys.create(self.keys, name, ["planner", "coder"], **more)

    def signed(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token with a right signature, whatever it says."""
        entry = json.loads(self.secrets.read_text())["secrets"][0]
        head = {"alg": "HS256", "kid": entry["id"]} | (header or {})
        now = int(self.clock())
        body = {"sub": "n8n", "aud": auth_service.AUDIENCE, "iat": now, "exp": now + 60} | claims
        packed = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, body)]
        text = ".".join(packed)
        signature = base64.urlsafe_b64encode(auth_service._sign(text, entry["secret"])).rstrip(b"=").decode()
        return f"{text}.{signature}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class TestKeys:
    def test_a_key_opens_and_says_who_it_is(self, bench: Bench) -> None:
        made, text = bench.make()
        assert bench.ask(text) == Verdict(204, made.id, "planner,coder")

    def test_every_form_of_the_word_bearer_is_understood_and_no_other(self, bench: Bench) -> None:
        _, text = bench.make()
        told = {
            word: bench.judge.judge(f"{word} {text}", ADDRESS).status for word in ("bearer", "BEARER", "Basic", "Token")
        }
        assert told == {"bearer": 204, "BEARER": 204, "Basic": 401, "Token": 401}
        assert bench.judge.judge(text, ADDRESS).status == 401
        assert bench.judge.judge("", ADDRESS) == Verdict(401, reason="missing")

    @pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t[:-1] + "-A", str.upper])
    def test_a_key_that_is_not_whole_opens_nothing(self, bench: Bench, change: Any) -> None:
        _, text = bench.make()
        assert bench.ask(change(text)).status == 401

    def test_the_identity_of_one_key_with_the_secret_of_another_opens_nothing(self, bench: Bench) -> None:
        first, text = bench.make()
        second, _ = bench.make("other")
        assert bench.ask(text.replace(first.id, second.id)) == Verdict(401, reason="wrong")

    def test_revoked_and_expired_keys_are_told_apart_from_wrong_ones(self, bench: Bench) -> None:
        made, text = bench.make()
        _, short = bench.make("guest", days=1)
        assert bench.ask(short).status == 204
        keys.revoke(bench.keys, made.id)
        bench.clock.now += 86500
        assert bench.ask(text) == Verdict(403, reason="revoked")
        assert bench.ask(short) == Verdict(403, reason="expired")

    def test_an_end_that_cannot_be_read_has_passed(self, bench: Bench) -> None:
        _, text = bench.make(days=1)
        told = json.loads(bench.keys.read_text())
        told["keys"][0]["expires"] = "some day"
        bench.keys.write_text(json.dumps(told))
        assert bench.ask(text) == Verdict(403, reason="expired")

    def test_rotation_with_an_overlap_keeps_both(self, bench: Bench) -> None:
        made, old = bench.make()
        _, new = keys.rotate(bench.keys, made.id, overlap_hours=1)
        assert (bench.ask(old).status, bench.ask(new).status) == (204, 204)
        bench.clock.now += 3700
        assert (bench.ask(old).status, bench.ask(new).status) == (403, 204)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": 3}', '{"keys": [{}]}', '{"schema": 1}'])
    def test_a_damaged_store_lets_nobody_in(self, bench: Bench, content: str) -> None:
        _, text = bench.make()
        assert bench.ask(text).status == 204
        bench.keys.write_text(content)
        assert bench.ask(text).status == 401
        bench.keys.unlink()
        assert bench.ask(text).status == 401


class TestShares:
    def test_a_key_has_its_share_of_the_minute(self, bench: Bench) -> None:
        made, text = bench.make(requests_per_minute=3)
        assert [bench.ask(text).status for _ in range(4)] == [204, 204, 204, 403]
        assert bench.ask(text) == Verdict(403, made.id, reason="busy")
        bench.clock.now += 20
        assert [bench.ask(text).status for _ in range(2)] == [204, 403]

    def test_no_share_is_no_limit(self, bench: Bench) -> None:
        _, text = bench.make(requests_per_minute=0)
        assert {bench.ask(text).status for _ in range(500)} == {204}

    def test_a_busy_key_does_not_count_as_a_wrong_one(self, bench: Bench) -> None:
        _, text = bench.make(requests_per_minute=1)
        assert [bench.ask(text).reason for _ in range(30)][1:] == ["busy"] * 29
        assert bench.ask("nonsense").reason == "wrong"

    def test_wrong_keys_of_one_address_are_counted_whatever_they_look_like(self, bench: Bench) -> None:
        _, text = bench.make()
        tried = ["x", "rb_aaaaaaaa_" + "A" * 43, "a.b.c", ""] * 5
        assert [bench.ask(one).reason for one in tried][10:] == ["throttled"] * 10
        assert bench.ask("x", "198.51.100.8").reason == "wrong", "another address is not to blame"
        assert bench.ask(text).status == 204, "a good key still opens from there"

    def test_the_longest_unused_name_is_forgotten_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(auth_service, "REMEMBERED", 2)
        bucket = Bucket(lambda: 0.0)
        for name in ("a", "b", "a", "c"):
            bucket.take(name, 10)
        assert (bucket.left("a", 10), bucket.left("b", 10), bucket.left("c", 10)) == (8, 10, 9)


class TestTokens:
    def test_a_token_opens_until_it_ends(self, bench: Bench) -> None:
        token = tokens.token("n8n", bench.keys, minutes=1)
        assert bench.ask(token) == Verdict(204, "n8n", "service")
        bench.clock.now += 61
        assert bench.ask(token) == Verdict(403, reason="expired")

    @pytest.mark.parametrize(
        ("header", "claims", "status"),
        [
            ({}, {}, 204),
            ({"alg": "none"}, {}, 401),
            ({"alg": "RS256"}, {}, 401),
            ({"kid": "unknown"}, {}, 401),
            ({"kid": ["list"]}, {}, 401),
            ({}, {"aud": "somebody"}, 401),
            ({}, {"aud": None}, 401),
            ({}, {"sub": ""}, 401),
            ({}, {"sub": "a\r\nX-Client-Roles: *"}, 401),
            ({}, {"exp": None}, 401),
            ({}, {"exp": "never"}, 401),
            ({}, {"exp": True}, 401),
            ({}, {"exp": float("inf")}, 401),
            ({}, {"iat": float("nan")}, 401),
            ({}, {"iat": 9e12, "exp": 9e12 + 60}, 403),
            ({}, {"iat": 0}, 403),
        ],
    )
    def test_what_it_says_is_judged(
        self, bench: Bench, header: dict[str, Any], claims: dict[str, Any], status: int
    ) -> None:
        assert bench.ask(bench.signed(header, **claims)).status == status

    def test_a_changed_token_opens_nothing(self, bench: Bench) -> None:
        head, body, signature = bench.signed().split(".")
        other = base64.urlsafe_b64encode(b'{"sub": "owner"}').rstrip(b"=").decode()
        for token in (f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}.{'A' * 43}", f"..{signature}"):
            assert bench.ask(token, secrets.token_hex(4)).status == 401

    def test_it_has_a_share_too(self, bench: Bench) -> None:
        token = tokens.token("n8n", bench.keys, requests_per_minute=2)
        assert [bench.ask(token).status for _ in range(3)] == [204, 204, 403]


def asked(socket: Path, *headers: str) -> tuple[str, dict[str, str]]:
    async def one() -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(("GET / HTTP/1.0\r\n" + "".join(f"{line}\r\n" for line in headers) + "\r\n").encode())
        await writer.drain()
        told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
        return told

    first, *lines = asyncio.run(one()).decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines if ": " in line)


def test_the_file_as_it_is_deployed_serves_over_its_socket(bench: Bench, tmp_path: Path) -> None:
    made, text = bench.make()
    socket, log = tmp_path / "auth.sock", tmp_path / "log"
    argv = ["-IS", auth_service.__file__, "--keys", str(bench.keys), "--secrets", str(bench.secrets)]
    with log.open("wb") as output:
        service = subprocess.Popen([sys.executable, *argv, "--socket", str(socket)], stdout=output, stderr=output)
    try:
        until = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert socket.stat().st_mode & 0o777 == 0o660
        first, told = asked(socket, f"Authorization: Bearer {text}", f"X-Real-IP: {ADDRESS}")
        assert (first, told["X-Client-Id"]) == ("HTTP/1.1 204 No Content", made.id)
        first, told = asked(socket, "authorization: Bearer nonsense", f"x-real-ip: {ADDRESS}")
        assert (first, told["X-Auth-Reason"]) == ("HTTP/1.1 401 Unauthorized", "wrong")
        service.send_signal(signal.SIGTERM)
        assert service.wait(5) == 0
    finally:
        service.kill()
        service.wait()
    assert not socket.exists()
    assert log.read_text() == "", "nothing that was sent is written"


def test_it_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-IS", auth_service.__file__, "--help"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0


def test_only_the_hash_of_a_key_is_stored(bench: Bench) -> None:
    made, text = bench.make()
    stored = bench.keys.read_text()
    assert text.split("_")[2] not in stored
    assert made.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert bench.secrets.stat().st_mode & 0o777 == 0o600
