"""Keys, headers, paths and methods: everything that one request can try."""

import base64
from collections.abc import Callable

from lib.edge.probes.registry import Ask, Probe, add, probe
from lib.edge.probes.target import Reply, Target, ask, send

REFUSED = (401, 403, 429)
KEYS = "auth_request in /etc/nginx/nginx.conf, and: systemctl status inference-auth"
PATHS = "map $plain and proxy_pass with a written path in /etc/nginx/nginx.conf"
HEADERS = "proxy_pass_request_headers off in /etc/nginx/nginx.conf"


def _refuses(make: Callable[[Target], Reply], *, allowed: tuple[int, ...] = REFUSED) -> Ask:
    def run(target: Target) -> tuple[bool, str]:
        reply = make(target)
        return reply.status in allowed, reply.told

    return run


def _key(name: str, title: str, make: Callable[[Target], Reply], *allowed: int) -> None:
    told = allowed or REFUSED
    add(Probe(f"key.{name}", title, f"status {_list(told)}", KEYS, _refuses(make, allowed=told)))


def _header(name: str, title: str, make: Callable[[Target], Reply], *allowed: int) -> None:
    add(Probe(f"header.{name}", title, f"status {_list(allowed)}", HEADERS, _refuses(make, allowed=allowed)))


def _path(name: str, title: str, path: str) -> None:
    def make(target: Target) -> Reply:
        return ask(target, path.replace("HOST", target.hostname), key=target.key)

    add(Probe(f"path.{name}", title, "status 400 or 404", PATHS, _refuses(make, allowed=(0, 400, 404))))


def _method(name: str, method: str, path: str, *allowed: int) -> None:
    def make(target: Target) -> Reply:
        return ask(target, path, method=method, key=target.key)

    title = f"{method} {path} is not let through"
    add(Probe(f"method.{name}", title, f"status {_list(allowed)}", PATHS, _refuses(make, allowed=allowed)))


def _list(allowed: tuple[int, ...]) -> str:
    return " or ".join(str(code) if code else "none" for code in allowed)


def _other(key: str) -> str:
    """Return a key with its last character changed."""
    return key[:-1] + ("A" if key[-1] != "A" else "B")


def _bad_token(name: str) -> Callable[[Target], Reply]:
    return lambda target: ask(target, "/v1/models", key=target.bad_tokens[name])


@probe("key.works", "A valid key opens", "status 200", KEYS)
def _works(target: Target) -> tuple[bool, str]:
    reply = ask(target, "/v1/models", key=target.key)
    return reply.status == 200 and target.model.encode() in reply.body, reply.told


@probe("key.token_works", "A valid token of a service opens", "status 200", KEYS)
def _token_works(target: Target) -> tuple[bool, str]:
    reply = ask(target, "/v1/models", key=target.token)
    return reply.status == 200, reply.told


_key("none", "No key opens nothing", lambda t: ask(t, "/v1/models"))
_key("wrong", "An invented key opens nothing", lambda t: ask(t, "/v1/models", key="rb_aaaaaaaa_" + "A" * 43))
_key("almost", "A key with one wrong character opens nothing", lambda t: ask(t, "/v1/models", key=_other(t.key)))
_key("prefix", "The beginning of a key opens nothing", lambda t: ask(t, "/v1/models", key=t.key[:-1]))
_key("revoked", "A revoked key opens nothing", lambda t: ask(t, "/v1/models", key=t.revoked))
_key("expired", "An expired key opens nothing", lambda t: ask(t, "/v1/models", key=t.expired))
_key(
    "basic",
    "A key as a password of basic authentication opens nothing",
    lambda t: ask(t, "/v1/models", Authorization="Basic " + base64.b64encode(f"u:{t.key}".encode()).decode()),
)
_key(
    "cookie", "A key in a cookie opens nothing", lambda t: ask(t, "/v1/models", Cookie=f"Authorization=Bearer {t.key}")
)
_key("other_header", "A key in another header opens nothing", lambda t: ask(t, "/v1/models", X_Api_Key=t.key))
_key("in_query", "A key in the address opens nothing", lambda t: ask(t, f"/v1/models?api_key={t.key}"), 400)
_key("beside_query", "Nothing is accepted in the address", lambda t: ask(t, "/v1/models?key=x", key=t.key), 400)
for _name, _title in {
    "none": "without a signature",
    "signature": "with a wrong signature",
    "expired": "past its time",
    "long": "that lives too long",
    "audience": "made for somebody else",
    "secret": "signed with an unknown secret",
}.items():
    _key(f"token_{_name}", f"A token {_title} opens nothing", _bad_token(_name))

_header(
    "original_url",
    "X-Original-URL does not choose another path",
    lambda t: ask(t, "/metrics", key=t.key, X_Original_URL="/v1/models"),
    404,
)
_header(
    "rewrite_url", "X-Rewrite-URL neither", lambda t: ask(t, "/metrics", key=t.key, X_Rewrite_URL="/v1/models"), 404
)
_header(
    "method_override",
    "X-HTTP-Method-Override does not make another method",
    lambda t: ask(t, "/v1/chat/completions", key=t.key, X_HTTP_Method_Override="POST"),
    405,
)
_header(
    "upgrade",
    "An upgrade to HTTP/2 or to a web socket is not passed on",
    lambda t: ask(
        t, "/v1/models", key=t.key, Upgrade="h2c, websocket", Connection="Upgrade, close", HTTP2_Settings="AAMAAABk"
    ),
    200,
    400,
)
_header(
    "too_large", "A header of 64 KiB is refused", lambda t: ask(t, "/v1/models", key=t.key, X_Fill="x" * 65536), 400, 0
)
_header(
    "null",
    "A zero byte in a header is refused",
    lambda t: send(t, f"GET /v1/models HTTP/1.1\r\nHost: {t.hostname}\r\nX-A: a\0b\r\n\r\n".encode()),
    400,
    0,
)
_header(
    "two_hosts",
    "Two Host headers are refused",
    lambda t: send(t, f"GET /v1/models HTTP/1.1\r\nHost: {t.hostname}\r\nHost: x\r\n\r\n".encode()),
    400,
)
_header("no_host", "HTTP/1.1 without Host is refused", lambda t: send(t, b"GET /v1/models HTTP/1.1\r\n\r\n"), 400)


@probe("header.server", "The server does not tell its version", "no version", "server_tokens off")
def _server(target: Target) -> tuple[bool, str]:
    reply = ask(target, "/")
    shown = " ".join(reply.headers.get(name, "") for name in ("server", "x-powered-by", "via")).strip()
    return not any(letter.isdigit() for letter in shown), shown or "nothing"


@probe("header.hsts", "Browsers are told to keep to TLS", "Strict-Transport-Security of a year", "add_header")
def _hsts(target: Target) -> tuple[bool, str]:
    told = ask(target, "/v1/models").headers.get("strict-transport-security", "")
    seconds = told.partition("max-age=")[2].partition(";")[0]
    return seconds.isdigit() and int(seconds) >= 31536000, told or "not told"


@probe("header.cors", "No other site's script may read answers", "no Access-Control-Allow-Origin", HEADERS)
def _cors(target: Target) -> tuple[bool, str]:
    reply = ask(target, "/v1/models", key=target.key, Origin="https://evil.example")
    told = reply.headers.get("access-control-allow-origin", "")
    return reply.status == 200 and not told, told or "none"


for _name, _title, _tried in [
    ("double_slash", "A doubled slash", "//v1/models"),
    ("inner_double_slash", "A doubled slash inside", "/v1//models"),
    ("dot_segment", "A dot segment to the metrics", "/v1/../metrics"),
    ("dot_segment_back", "A detour over another path", "/metrics/../v1/models"),
    ("encoded_dot", "Encoded dots to the metrics", "/v1/%2e%2e/metrics"),
    ("encoded_slash", "An encoded slash", "/v1%2fmodels"),
    ("encoded_detour", "The metrics behind an encoded detour", "/metrics/..%2fv1/models"),
    ("encoded_letter", "An encoded letter", "/v1/%6dodels"),
    ("double_encoded", "Doubly encoded dots", "/v1/%252e%252e/metrics"),
    ("overlong", "An overlong encoding", "/v1/%c0%ae%c0%ae/metrics"),
    ("null_byte", "A zero byte", "/v1/models%00"),
    ("newline", "An encoded line end", "/v1/models%0d%0aX:y"),
    ("backslash", "A backslash", "/v1\\models"),
    ("semicolon", "A path parameter", "/v1/models;x=1"),
    ("trailing_slash", "A slash at the end", "/v1/models/"),
    ("suffix", "More behind a known path", "/v1/models/x"),
    ("case", "Other letters", "/V1/MODELS"),
    ("absolute", "A whole address to the metrics", "https://HOST/metrics"),
    ("root", "The root", "/"),
    ("health", "The engine's health", "/health"),
    ("docs", "The engine's documentation", "/docs"),
    ("git", "A forgotten folder", "/.git/config"),
]:
    _path(_name, f"{_title} leads nowhere", _tried)

_method("get_chat", "GET", "/v1/chat/completions", 405)
_method("post_models", "POST", "/v1/models", 405)
_method("delete_models", "DELETE", "/v1/models", 405)
_method("put_chat", "PUT", "/v1/chat/completions", 405)
_method("options_chat", "OPTIONS", "/v1/chat/completions", 405)
_method("trace", "TRACE", "/v1/models", 405)
_method("connect", "CONNECT", "/v1/models", 400, 405)
_method("invented", "BREW", "/v1/models", 400, 405)


def _shape(status: int, make: Callable[[Target], Reply]) -> Ask:
    def run(target: Target) -> tuple[bool, str]:
        reply = make(target)
        return (
            reply.status == status and reply.openai_error,
            f"{reply.told}, {reply.body[:60].decode(errors='replace')}",
        )

    return run


for _status, _make in {
    400: lambda t: ask(t, "/v1/models?x=1", key=t.key),
    404: lambda t: ask(t, "/nothing", key=t.key),
    405: lambda t: ask(t, "/v1/chat/completions", key=t.key),
}.items():
    add(
        Probe(
            f"error.json_{_status}",
            f"Error {_status} has OpenAI's shape",
            f"status {_status} with error.message, type, param, code",
            "error_page in /etc/nginx/nginx.conf",
            _shape(_status, _make),
        )
    )
