"""Does the server speak the interface that its clients rely on: streams, JSON to a schema, tool calls, one address."""

import json
import socket
from typing import Any

import psutil

from lib.core.evidence import Check
from lib.engine.models.catalogue import Model
from lib.engine.serve import client
from lib.engine.serve.server import Server, Stopped

STREAM_TOKENS = 24
JSON_TOKENS = 256
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "city": {"enum": ["Paris", "Berlin", "Tokyo"]},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
CLIENTS_NEED = {"/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/metrics"}
DEVELOPMENT = {
    "/sleep",
    "/wake_up",
    "/release_kv_cache_memory",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/server_info",
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def streaming(server: Server, *, chat: bool = True) -> Check:
    """Check that an answer comes piece by piece as server-sent events, ends with [DONE], and tells its usage.

    Parameters
    ----------
    server : Server
        A running server.
    chat : bool
        Ask in a chat, and once more without streaming. False asks for plain text: what stands in for a tokenizer
        beside random weights has no chat format of its model, and gpt-oss loads its own from a file of its own.
    """
    if chat:
        body = client.question(server.model.name, "Count from 1 to 20.", STREAM_TOKENS)
        seen = client.stream(server.url, body)
        same = "the same text as" if seen.text == client.chat(server.url, body).text else "another text than"
        repeated = f"; {same} without streaming"
    else:
        body = {"model": server.model.name, "prompt": "Count from 1 to 20.", "max_tokens": STREAM_TOKENS}
        seen, repeated = client.stream(server.url, {**body, "ignore_eos": True}, path=client.TEXT), ""
    problems = [
        problem
        for wrong, problem in (
            (bool(seen.error), seen.error),
            (not seen.content_type.startswith("text/event-stream"), f"content type {seen.content_type or 'none'}"),
            (seen.events < 2, f"{seen.events} pieces: it came at once"),
            (not seen.done, "no [DONE] at the end"),
            (not seen.usage.get("completion_tokens"), "no usage"),
            (not seen.finish, "no finish_reason"),
        )
        if wrong
    ]
    fine = (
        f"{seen.events} pieces, first after {1000 * seen.first_s:.0f} ms, last after {1000 * seen.last_s:.0f} ms, "
        f"[DONE], usage {seen.usage.get('completion_tokens')} tokens{repeated}"
    )
    return Check(
        name="serving.streaming",
        title="Answers stream piece by piece",
        status="fail" if problems else "pass",
        expected="text/event-stream in several pieces, finish_reason, usage, [DONE]",
        observed="; ".join(problems) or fine,
        fix="look for the request in the engine's log; check --stream-interval in serving.extra_args",
        source="https://platform.openai.com/docs/api-reference/chat-streaming",
    )


def structured(server: Server) -> Check:
    """Check that an answer obeys a JSON schema that the model alone would not follow: an enum without the true city."""
    asked = "Anna is 34 years old and lives in Lisbon. Give name, age and city as JSON."
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    answer = client.chat(server.url, client.question(server.model.name, asked, JSON_TOKENS, response_format=form))
    problem = answer.error or violation(answer.text)
    return Check(
        name="serving.structured_output",
        title="Answers follow a JSON schema",
        status="fail" if problem else "pass",
        expected="JSON with name, age (integer) and city (one of three), nothing else",
        observed=problem or answer.text.replace("\n", " "),
        fix='choose another backend in serving.extra_args: --structured-outputs-config \'{"backend":"guidance"}\'',
        source="https://docs.vllm.ai/en/stable/features/structured_outputs/",
    )


def tools(server: Server) -> Check:
    """Check that a tool is called with its arguments, where the model's flags promise that."""
    base = {
        "name": "serving.tool_calls",
        "title": "Tools are called",
        "expected": 'a call of get_weather with {"city": "Paris"}',
        "source": "https://docs.vllm.ai/en/stable/features/tool_calling/",
    }
    if not calls_tools(server.model):
        return Check(
            **base,
            status="skip",
            observed=f"{server.model.title} was not trained to call tools",
            fix="a model whose flags in runbook/models.yml hold --tool-call-parser is checked here",
        )
    asked = client.question(server.model.name, "What is the weather in Paris now?", 2048, tools=[WEATHER])
    answer = client.chat(server.url, asked)
    problem = answer.error or uncalled(answer.message)
    return Check(
        **base,
        status="fail" if problem else "pass",
        observed=problem or "get_weather, city Paris",
        fix="compare --tool-call-parser in runbook/models.yml with the model's card",
    )


def listening(server: Server) -> Check:
    """Check that no process of the engine listens on an address that another machine can reach.

    The interface on such an address is a failure. An internal port is a warning: torch's key-value store listens on
    every address whatever vLLM is told (seen with 0.26 on a GPU), and only a firewall closes it.
    """
    addresses = [address for process in server.tree() for address in _listening(process.pid)]
    own = [address for address in addresses if address[0] in ("127.0.0.1", "::1")]
    outside = [(host, port) for host, port in addresses if (host, port) not in own]
    exposed = not own or any(port == server.port for _, port in outside)
    return Check(
        name="serving.listen",
        title="The engine listens to this machine only",
        status="fail" if exposed else "warn" if outside else "pass",
        expected="loopback addresses only, the internal ports too",
        observed=", ".join(sorted(f"{host}:{port}" for host, port in outside))
        or f"{len(own)} ports on loopback, none elsewhere",
        fix="set serving.host to 127.0.0.1 and VLLM_HOST_IP=127.0.0.1 in serving.environment\n"
        "an internal port that stays open to the network is closed by a firewall that drops what it does not know, and "
        "by IPAddressDeny=any in the rendered systemd unit",
        source="https://docs.vllm.ai/en/stable/usage/security/",
    )


def routes(seen: list[str]) -> Check:
    """Check that the routes of development mode are absent: whoever reaches the port could put the engine to sleep."""
    dangerous = sorted(DEVELOPMENT & set(seen))
    wanted = CLIENTS_NEED
    missing = sorted(wanted - set(seen))
    return Check(
        name="serving.routes",
        title="The wanted routes are there, those of development mode are not",
        status="fail" if dangerous or missing else "pass",
        expected=", ".join(sorted(wanted)) + "; no development routes",
        observed=f"{len(seen)} routes"
        + (f"; open: {', '.join(dangerous)}" if dangerous else "")
        + (f"; missing: {', '.join(missing)}" if missing else ""),
        fix="unset VLLM_SERVER_DEV_MODE in serving.environment",
        source="vllm/entrypoints/serve/dev (vLLM 0.33)",
    )


def stopping(stopped: Stopped, port: int, limit_s: float) -> Check:
    """Check that nothing of a stopped server is left: no process, no port."""
    clean = not stopped.left and stopped.port_free and stopped.seconds <= limit_s
    left = f"left: {', '.join(str(process.pid) for process in stopped.left)}" if stopped.left else "no process left"
    return Check(
        name="serving.stop",
        title="The engine stops without a trace",
        status="pass" if clean else "fail",
        expected=f"within {limit_s:g} s no process of it is left and its port is free",
        observed=f"{stopped.seconds:.1f} s; {left}; port {port} {'free' if stopped.port_free else 'still taken'}",
        fix="end what is left by its number; raise serving.stop_timeout_s if requests need longer to finish",
    )


def violation(text: str) -> str:
    """Return how a text breaks the schema `PERSON`, or the empty string."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg}): {text[:80]!r}"
    if not isinstance(value, dict) or set(value) != {"name", "age", "city"}:
        return f"other fields than name, age, city: {text[:80]!r}"
    if not isinstance(value["age"], int) or isinstance(value["age"], bool) or not isinstance(value["name"], str):
        return f"a field of the wrong type: {text[:80]!r}"
    return "" if value["city"] in ("Paris", "Berlin", "Tokyo") else f"city outside the enum: {value['city']!r}"


def calls_tools(model: Model) -> bool:
    """Tell whether a model's flags promise tool calls."""
    return "--tool-call-parser" in model.flags


def uncalled(message: Any) -> str:
    """Return what is missing from a reply that should have called the tool, or the empty string."""
    calls = message.get("tool_calls") or []
    if not calls:
        return f"no call; answered {str(message.get('content'))[:80]!r}"
    called = calls[0]["function"]
    if called["name"] != "get_weather":
        return f"called {called['name']}"
    try:
        city = json.loads(called["arguments"]).get("city", "")
    except (json.JSONDecodeError, AttributeError):
        return f"arguments are not a JSON object: {called['arguments'][:80]!r}"
    return "" if "paris" in str(city).lower() else f"city {city!r}"


def _listening(pid: int) -> list[tuple[str, int]]:
    try:
        connections = psutil.Process(pid).net_connections("inet")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
    return [
        (connection.laddr.ip, connection.laddr.port)
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.type == socket.SOCK_STREAM
    ]
