"""Every probe is green on the bastion as it is rendered, and red when the defence that it probes is taken away."""

import open_server
import pytest
from removal import LOOSE_HOME, without
from scene import Scene

from lib.deploy.bastion import files
from lib.edge import trial

pytestmark = pytest.mark.lab

Removal = tuple[str, str, str, set[str]]
GATE_NGINX: list[Removal] = [
    ("TLS 1.3 only", "ssl_protocols TLSv1.3;", "ssl_protocols TLSv1.2 TLSv1.3;", {"tls.v1_2"}),
    ("tickets", "ssl_session_tickets off;", "", {"tls.tickets"}),
    ("early data", "ssl_early_data off;", "ssl_early_data on;", {"tls.early_data"}),
    (
        "strangers",
        "listen 443 ssl http2 default_server;\n        ssl_reject_handshake on;",
        "listen 443 ssl http2 default_server; server_name other.example; "
        f"ssl_certificate {files.TLS}; ssl_certificate_key {files.TLS};",
        {"tls.no_name", "tls.other_name"},
    ),
    ("HTTP/2", " http2", "", {"tls.http2"}),
    ("HSTS", 'add_header Strict-Transport-Security "max-age=63072000" always;', "", {"header.hsts"}),
    ("version", "server_tokens off;", "", {"header.server"}),
    ("keys", "auth_request /_auth;", "", {"key.none", "key.wrong", "key.revoked", "key.basic", "key.cookie",
     "key.other_header", "key.token_none", "route.get_v1_models.without_key"}),
    ("queries", "if ($is_args) { return 400; }", "", {"key.beside_query"}),
    ("plain paths", "if ($plain = 0) { return 404; }", "", {"path.encoded_letter", "path.encoded_detour",
     "path.dot_segment_back", "path.encoded_slash"}),
    ("body limit", "client_max_body_size 16m;", "client_max_body_size 0;", {"size.body"}),
    ("header limit", "large_client_header_buffers 4 8k;", "large_client_header_buffers 4 128k;", {"size.uri",
     "header.too_large"}),
    ("slow headers", "client_header_timeout 10s;", "client_header_timeout 90s;", {"slow.header", "slow.silent"}),
    ("slow bodies", "client_body_timeout 10s;", "client_body_timeout 90s;", {"slow.body"}),
    ("requests", "limit_req zone=address burst=40 nodelay;", "", {"rate.requests", "rate.forwarded_for"}),
    ("connections", "limit_conn connections 64;", "", {"rate.connections"}),
    ("errors", "error_page 404 = /_e404;", "", {"error.json_404"}),
    ("port 80", "location / { return 308 https://llm.example.org$request_uri; }",
     "location / { proxy_pass http://home; }", {"http.redirect", "http.no_api"}),
]  # fmt: skip
# Defences that stand twice: on the VPS and again at home, or in two ways on the VPS. Both go.
TWICE: list[tuple[str, list[tuple[str, str, str]], set[str]]] = [
    ("slashes", [("gate", "merge_slashes off;", ""), ("gate", "if ($plain = 0) { return 404; }", "")],
     {"path.double_slash", "path.inner_double_slash"}),
    ("methods", [(where, "if ($request_method != POST) { return 405; }", "") for where in ("gate", "home")],
     {"method.get_chat", "header.method_override"}),
    ("list of paths", [("gate", "location / { try_files /nothing =404; }", "location / { proxy_pass http://home; }"),
                       ("home", "location / { return 404; }", LOOSE_HOME)],
     {"path.health", "path.docs", "path.absolute", "header.original_url", "header.rewrite_url",
      "route.get_metrics.without_key", "route.get_metrics.with_key", "route.post_sleep.with_key"}),
]  # fmt: skip


def red(scene: Scene, names: set[str]) -> set[str]:
    found = trial.probe(scene.stage, scene.aim, names)
    assert len(found) == len(names), "a probe of that name exists"
    return {check.name.removeprefix("bastion.probe.") for check in found if check.status == "fail"}


def test_all_are_green_as_rendered(scene: Scene) -> None:
    found = trial.probe(scene.stage, scene.aim)
    assert [check for check in found if check.status != "pass"] == []
    assert len({check.name for check in found}) == len(found) >= 60
    assert {check.provenance.where for check in found} == {"lab"}


@pytest.mark.parametrize(("defence", "old", "new", "names"), GATE_NGINX, ids=[removal[0] for removal in GATE_NGINX])
def test_a_defence_that_is_gone_is_seen(scene: Scene, defence: str, old: str, new: str, names: set[str]) -> None:
    with without(scene.stage, ("gate", old, new)):
        assert red(scene, names) == names, defence


@pytest.mark.parametrize(("defence", "removals", "names"), TWICE, ids=[case[0] for case in TWICE])
def test_a_defence_that_stands_twice_is_seen_when_both_are_gone(
    scene: Scene, defence: str, removals: list[tuple[str, str, str]], names: set[str]
) -> None:
    with without(scene.stage, *removals):
        assert red(scene, names) == names, defence


def test_old_tls_is_seen(scene: Scene) -> None:
    old = "ssl_protocols TLSv1 TLSv1.1 TLSv1.3; ssl_ciphers ALL:@SECLEVEL=0;"
    with without(scene.stage, ("gate", "ssl_protocols TLSv1.3;", old)):
        assert red(scene, {"tls.v1_0", "tls.v1_1"}) == {"tls.v1_0", "tls.v1_1"}


@pytest.mark.parametrize(("name", "days", "probe"), [("other.example", 90, "tls.certificate"),
                                                     ("llm.example.org", 2, "tls.lifetime")])  # fmt: skip
def test_another_certificate_is_seen(scene: Scene, name: str, days: int, probe: str) -> None:
    stage, gate = scene.stage, scene.stage.bastion.gates[0]
    kept = scene.stage.gate.path(files.TLS).read_text()
    stage.show(gate, *stage.authority.issue(name, days))
    try:
        assert red(scene, {probe}) == {probe}
    finally:
        stage.show(gate, "", kept)
    assert red(scene, {probe}) == set()


# Seen red by a change of one line above, and by nothing else: they ask for what only nginx can offer.
BY_ONE_LINE = {"tls.early_data", "tls.tickets"}


def test_every_probe_is_red_where_nothing_defends_or_nothing_serves(scene: Scene) -> None:
    """In nginx's place a server that answers everything, then nobody: together they turn every probe red."""
    stage, gate = scene.stage, scene.stage.gate
    gate.run(
        ["sh", "-c", "nginx -s stop; for i in $(seq 100); do pgrep -x nginx >/dev/null || exit 0; sleep .05; done"]
    )
    try:
        argv = ["/usr/bin/python3", "-IS", open_server.__file__, files.TLS, scene.aim.model]
        naked = gate.spawn(argv)
        try:
            wait = "for i in $(seq 100); do ss -ltn | grep -q ':443 ' && exit 0; sleep .05; done; exit 1"
            gate.run(["sh", "-c", wait])
            opened = trial.probe(stage, scene.aim)
        finally:
            gate.run(["pkill", "-f", "[o]pen_server.py"])
            naked.wait(10)
        left = {check.name.removeprefix("bastion.probe.") for check in opened if check.status == "pass"}
        nobody = red(scene, left)
    finally:
        stage.start_nginx(gate)
    assert len(opened) >= 60
    # What may only succeed cannot be red where everything does.
    assert {"key.works", "tls.v1_3", "rate.good_key"} <= left
    assert left - nobody <= BY_ONE_LINE


def test_a_key_service_that_does_not_count_is_seen(scene: Scene) -> None:
    stage, gate = scene.stage, scene.stage.bastion.gates[0]
    unit = "/etc/systemd/system/inference-auth.service"
    kept = stage.gate.path(unit).read_text()

    def restart(text: str) -> None:
        stage.gate.write(unit, text)
        stage.gate.run(["sh", "-c", "pkill -f [a]uth_service; rm -f /run/inference-auth/auth.sock"])
        stage.start_auth(gate)

    restart(kept.replace("--bad-keys-minute 10", "--bad-keys-minute 100000"))
    try:
        assert red(scene, {"rate.bad_keys"}) == {"rate.bad_keys"}
    finally:
        restart(kept)
