"""What a trial is made of: every route of an engine, keys that open and keys that must not."""

from pathlib import Path

from lib.deploy.bastion.auth_service import Judge
from lib.edge import tokens, trial
from lib.edge.probes import abuse, registry, requests, routes, tls
from lib.edge.probes.target import Target, answers, parse


def test_routes_are_all_of_the_description_and_those_beside_it() -> None:
    found = trial.routes({"paths": {"/a": {"get": {}, "post": {}, "parameters": {}}, "/b/{id}": {"delete": {}}}})
    assert found == sorted(found, key=lambda one: (one[1], one[0]))
    assert {("GET", "/a"), ("POST", "/a"), ("DELETE", "/b/{id}"), ("GET", "/metrics"), ("GET", "/docs")} <= set(found)
    assert ("PARAMETERS", "/a") not in found


def test_of_the_wallet_only_three_open(tmp_path: Path) -> None:
    held = trial.wallet(tmp_path / "keys.json")
    judge = Judge(held.store, tokens.secrets_of(held.store), bad_keys_minute=1000)

    def status(value: str) -> int:
        return judge.judge(f"Bearer {value}", "x").status

    assert [status(one) for one in (held.key, held.small, held.token)] == [204] * 3
    assert [status(one) for one in (held.revoked, held.expired)] == [403] * 2
    assert {status(one) for one in held.bad_tokens.values()} <= {401, 403}
    assert judge.judge(f"Bearer {held.key}", "x").client == held.client


def test_probes_have_names_of_their_own_and_tell_what_to_do() -> None:
    assert len(registry.ALL) >= 60
    assert {tls, requests, abuse}  # their import fills the register
    for made in registry.ALL.values():
        assert made.name.count(".") == 1, made.name
        assert made.title, made.name
        assert made.expected, made.name
        assert made.fix, made.name
    assert [made.last for made in registry.in_order()] == sorted(made.last for made in registry.in_order())


def test_each_route_is_tried_without_and_with_a_key() -> None:
    target = Target("h", "1.2.3.4", "", "m", "k", "", "", "", {}, [("GET", "/metrics"), ("POST", "/v1/x")],
                    [("POST", "/v1/x")], 10, 16)  # fmt: skip
    found = {made.name: made.expected for made in routes.probes(target)}
    assert found == {
        "route.get_metrics.without_key": "status 404 or 405, from the bastion itself",
        "route.get_metrics.with_key": "status 404 or 405, from the bastion itself",
        "route.post_v1_x.without_key": "status 401",
        "route.post_v1_x.with_key": "the engine's own answer",
    }


def test_replies_are_read_as_they_are() -> None:
    raw = (
        b'HTTP/1.1 404 Not Found\r\nContent-Type: a\r\n\r\n{"error": {"message": 1, "type": 2, "param": 3, "code": 4}}'
    )
    reply = parse(raw)
    assert (reply.status, reply.headers["content-type"], reply.openai_error) == (404, "a", True)
    assert not parse(raw.replace(b"param", b"other")).openai_error
    assert parse(b"").status == parse(b"SSH-2.0 hello\r\n\r\n").status == 0
    assert answers(raw + raw) == 2
