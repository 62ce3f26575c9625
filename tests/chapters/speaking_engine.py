"""Stands in for vLLM where a chapter asks it things: answers, probabilities, sleep. Prints a start log, then serves.

Words among the flags change it: `moody` answers differently each time, `forgetful` loses its
weights when it sleeps, `mute` refuses probabilities, `broken` does not start.
"""

import http.server
import itertools
import json
import math
import os
import re
import sys
from typing import Any

WORDS = sys.argv[1:]
MODEL = WORDS[WORDS.index("--served-model-name") + 1]
DEVELOPMENT = {"/sleep", "/wake_up", "/is_sleeping", "/collective_rpc", "/reset_prefix_cache"}
OPEN = {"/health", "/metrics", "/v1/models", "/v1/completions", "/v1/chat/completions"}
STATE = {"asleep": False, "damaged": False, "asked": 0}
VOCABULARY = 50


def probabilities(previous: int, position: int) -> list[float]:
    """Return a distribution that depends on the text and, for the int4 variant, is flatter."""
    wobble = STATE["asked"] * 0.7 if "moody" in WORDS else 0.0
    sharp = 1.0 if "int4" in MODEL else 1.5
    angles = [previous * 1.3 + token * 2.1 + position * 0.01 + wobble for token in range(VOCABULARY)]
    scores = [math.exp(2 * sharp * math.sin(angle)) for angle in angles]
    return [score / sum(scores) for score in scores]


def told(prompt: list[int], top: int) -> list[object]:
    STATE["asked"] += 1
    rows: list[object] = [None]
    for position, (previous, actual) in enumerate(itertools.pairwise(prompt)):
        p = probabilities(previous, position)
        best = sorted(range(VOCABULARY), key=lambda token: -p[token])[:top]
        rows.append({str(token): {"logprob": math.log(p[token])} for token in {*best, actual}})
    return rows


def answer(text: str) -> str:
    if STATE["damaged"]:
        return "!!!!"
    if copied := re.search(r"Repeat exactly: (.*)", text):
        return copied[1]
    if asked := re.search(r"What is (\d+) ([+-]) (\d+)", text):
        value = int(asked[1]) + int(asked[3]) * (1 if asked[2] == "+" else -1)
        return str(value + 1 if "int4" in MODEL else value)
    return "Paris and 4"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _send(self, body: object, status: int = 200, kind: str = "application/json") -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _route(self) -> str:
        path = self.path.partition("?")[0]
        closed = path in DEVELOPMENT and os.environ.get("VLLM_SERVER_DEV_MODE") != "1"
        return "" if closed else path

    def do_GET(self) -> None:
        route = self._route()
        paths = OPEN | (DEVELOPMENT if os.environ.get("VLLM_SERVER_DEV_MODE") == "1" else set())
        replies: dict[str, object] = {
            "/health": "",
            "/metrics": "",
            "/version": {"version": "0.0-stand-in"},
            "/openapi.json": {"paths": {path: {} for path in paths}},
            "/is_sleeping": {"is_sleeping": STATE["asleep"]},
        }
        self._send(replies[route]) if route in replies else self._send({"detail": "Not Found"}, 404)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else {}
        route = self._route()
        if route == "/tokenize":
            self._send({"tokens": [ord(letter) % VOCABULARY for letter in body["prompt"]]})
        elif route == "/v1/completions" and "mute" in WORDS:
            self._send({"error": {"message": "no probabilities here"}}, 400)
        elif route == "/v1/completions":
            self._send({"choices": [{"prompt_logprobs": told(body["prompt"], body["prompt_logprobs"])}]})
        elif route == "/v1/chat/completions":
            self._chat(body)
        elif route in DEVELOPMENT:
            self._sleep(route)
        else:
            self._send({"error": {"message": "Not Found"}}, 404)

    def _sleep(self, route: str) -> None:
        STATE["asleep"] = {"/sleep": True, "/wake_up": False}.get(route, STATE["asleep"])
        if route == "/sleep" and "level=2" in self.path:
            STATE["damaged"] = True
        if route == "/collective_rpc" and "forgetful" not in WORDS:
            STATE["damaged"] = False
        self._send("")

    def _chat(self, body: dict[str, Any]) -> None:
        text = answer(body["messages"][0]["content"])
        if not body.get("stream"):
            message = {"content": text}
            usage = {"completion_tokens": len(text.split())}
            self._send({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
            return
        events = [{"choices": [{"delta": {"content": word}, "finish_reason": None}]} for word in text.split()]
        events.append({"choices": [], "usage": {"completion_tokens": len(text.split())}})
        lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self._send(lines, kind="text/event-stream")

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    if "broken" in WORDS:
        sys.exit("ValueError: this engine is broken")
    sys.stdout.write("INFO 11-24 12:00:00 [default_loader.py:300] Loading weights took 0.50 seconds\n")
    sys.stdout.flush()
    port = int(WORDS[WORDS.index("--port") + 1])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
