"""Who may ask for what, how often; and how the gateway says no."""

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from town import CHAT, MakeTown, bearer, body, secret

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.gateway import keys
from lib.gateway.limits import Bucket
from lib.gateway.roles import Roles

SHAPE = {"message", "type", "param", "code"}


def test_no_key_and_a_wrong_one(make_town: MakeTown) -> None:
    town = make_town(open_on_loopback=False)
    for headers in (
        {},
        bearer("rb_00000000_" + "a" * 43),
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer"},
    ):
        answer = town.client.post(f"{town.url}{CHAT}", json=body(), headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert town.fakes["a"].seen["requests"] == 0
    assert town.counted("gateway_refused_keys_total") == 4


def test_a_key_opens_its_roles_and_no_others(make_town: MakeTown, tmp_path: Path) -> None:
    town = make_town("a", "b", open_on_loopback=False)
    key, text = secret(tmp_path, "a")
    town.client.headers.update(bearer(text))
    assert town.ask("a").status_code == 200
    assert town.ask("m-a").status_code == 200
    for name in ("b", "m-b"):
        answer = town.ask(name)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].endswith("Known here: a, m-a")
    listed = town.client.get(f"{town.url}/v1/models").json()["data"]
    assert [entry["id"] for entry in listed] == ["a", "m-a"]
    keys.revoke(tmp_path / "keys.json", key)
    assert town.ask("a").status_code == 401
    assert town.fakes["b"].seen["requests"] == 0


def test_a_wrong_key_is_wrong_on_loopback_too(make_town: MakeTown) -> None:
    town = make_town(open_on_loopback=True)
    assert town.ask().status_code == 200
    assert town.client.post(f"{town.url}{CHAT}", json=body(), headers=bearer("x")).status_code == 401


def test_a_proxy_on_this_machine_is_not_this_machine(make_town: MakeTown) -> None:
    town = make_town(open_on_loopback=True)
    headers = {"x-forwarded-for": "203.0.113.7"}
    assert town.client.post(f"{town.url}{CHAT}", json=body(), headers=headers).status_code == 401
    assert town.client.get(f"{town.url}/metrics", headers=headers).status_code == 401


def test_requests_per_minute(make_town: MakeTown, tmp_path: Path) -> None:
    town = make_town(open_on_loopback=False)
    _, text = secret(tmp_path, "a", requests_per_minute=3)
    _, other = secret(tmp_path, "a", requests_per_minute=3)
    town.client.headers.update(bearer(text))
    assert [town.ask().status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = town.ask()
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    town.client.headers.update(bearer(other))
    assert town.ask().status_code == 200, "limits are of one key"


@given(per_minute=st.integers(1, 600), gaps=st.lists(st.floats(0, 5), max_size=200))
def test_no_stretch_has_more_than_a_bucket_and_what_fills_it(per_minute: int, gaps: list[float]) -> None:
    bucket, now, taken = Bucket(per_minute), 1.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now) == 0
    assert taken <= per_minute + sum(gaps[1:]) * per_minute / 60 + 1e-6


def test_unknown_model_gives_openais_error_and_the_list(make_town: MakeTown) -> None:
    town = make_town("a", "b")
    for name in ("gpt-4", "", 7, {"a": 1}, "memory/a"):
        answer = town.client.post(f"{town.url}{CHAT}", json={**body(), "model": name})
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert set(error) == SHAPE
        assert error["code"] == "model_not_found"
        assert error["message"].endswith("Known here: a, b, m-a, m-b")


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"null", b'"x"', b"\xff\xfe", b'{"a":' * 100_000])
def test_what_is_no_object_of_json(make_town: MakeTown, raw: bytes) -> None:
    town = make_town()
    answer = town.client.post(f"{town.url}{CHAT}", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == SHAPE
    assert town.fakes["a"].seen["requests"] == 0


def test_other_content_types(make_town: MakeTown) -> None:
    town = make_town()
    answer = town.client.post(f"{town.url}{CHAT}", content=b"{}", headers={"content-type": "text/plain"})
    assert (answer.status_code, "application/json" in answer.text) == (400, True)


def test_a_body_that_is_too_large(make_town: MakeTown) -> None:
    town = make_town(body_mib=0.01)
    large = json.dumps(body(pad="x" * 20_000)).encode()
    host, _, port = town.url.removeprefix("http://").partition(":")
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    for rest in (f"content-length: {len(large)}\r\n\r\n", f"transfer-encoding: chunked\r\n\r\n{len(large):x}\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(f"{head}{rest}".encode() + large)
            assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert town.ask().status_code == 200


def test_lone_surrogates_do_not_break_it(make_town: MakeTown) -> None:
    town = make_town()
    raw = b'{"model":"a","messages":[{"role":"user","content":"\\ud800"}]}'
    answer = town.client.post(f"{town.url}{CHAT}", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 200


def test_health_and_metrics(make_town: MakeTown) -> None:
    town = make_town()
    assert town.client.get(f"{town.url}/health").status_code == 200
    town.ask()
    text = town.client.get(f"{town.url}/metrics").text
    assert 'gateway_engine_awake{engine="a"} 1.0' in text
    assert "Say x." not in text


def test_a_web_page_may_call_only_from_where_the_profile_says(make_town: MakeTown) -> None:
    town = make_town(origins=["app://obsidian.md"])
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for origin, allowed in (("app://obsidian.md", "app://obsidian.md"), ("https://evil.example", None)):
        answer = town.client.options(f"{town.url}{CHAT}", headers={**ask, "origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"roles": {}}, "no role for the gateway"),
        ({"roles": {"a": {"engine": "mian"}}}, "not among gateway.engines"),
        ({"roles": {"a": {"engine": "main", "fallback": ["x"]}}}, "not among gateway.engines"),
        ({"roles": {"memory/a": {"engine": "main"}}}, "no name for a role"),
        ({"engines": {"main": {"model": "m", "switch": "sleep", "url": "http://x"}}}, "makes room on a card"),
        ({"engines": {"main": {"model": "m", "card": "c0"}}}, "not among gateway.cards"),
        ({"engines": {"main": {"model": "m", "card": "c", "gib": 11}}}, "do not fit on c"),
        (
            {"engines": {"main": {"model": "m", "card": "c", "switch": "restart", "url": "http://x"}}},
            "only an engine that the gateway starts",
        ),
    ],
)
def test_a_profile_that_does_not_hold_together(given: dict[str, object], text: str) -> None:
    base = {"engines": {"main": {"model": "m"}}, "roles": {"a": {"engine": "main"}}, "cards": {"c": 10.0}}
    profile = profiles.load("embedded", {f"gateway.{key}": value for key, value in {**base, **given}.items()})
    with pytest.raises(RunbookError, match=text):
        Roles(profile.gateway)
