"""Stands in for vLLM behind the bastion: its routes, a stream with a fixed rhythm, and everything that it received."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

MODEL = "stand-in"
GET = ["/v1/models", "/health", "/metrics", "/version", "/openapi.json", "/docs", "/redoc", "/load", "/server_info"]
POST = [
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/tokenize",
    "/detokenize", "/invocations", "/pause", "/resume", "/sleep", "/wake_up", "/reset_prefix_cache",
    "/v1/load_lora_adapter", "/collective_rpc", "/inference/v1/generate",
]  # fmt: skip
GAP_S = 0.02
TOKENS = 20


def openapi() -> dict[str, Any]:
    described = [path for path in GET if path not in ("/metrics", "/openapi.json", "/docs", "/redoc")]
    return {"paths": {path: {"get": {}} for path in described} | {path: {"post": {}} for path in POST}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Upstream"

    def _path(self) -> str:
        """Decode as vLLM does: a mounted application answers for everything below its path."""
        path = unquote(urlsplit(self.path).path)
        return "/metrics" if path.startswith("/metrics/") else path

    def _send(self, status: int, body: object) -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _note(self, body: bytes) -> None:
        self.server.received.append((self.command, self.path, dict(self.headers.items()), body))

    def do_GET(self) -> None:
        self._note(b"")
        path = self._path()
        if path == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        elif path == "/metrics":
            self._send(200, "# HELP vllm:x\nvllm:x 1\n")
        else:
            self._send(200 if path in GET else 404, openapi() if path == "/openapi.json" else {"detail": "x"})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._note(raw)
        path = self._path()
        body = json.loads(raw) if raw.startswith(b"{") else {}
        if path not in POST:
            self._send(404, {"detail": "Not Found"})
        elif path != "/v1/chat/completions" or not body.get("messages"):
            self._send(400, {"error": {"message": "bad", "type": "x", "param": None, "code": 400}})
        elif body.get("stream"):
            self._stream(body)
        else:
            message = {"role": "assistant", "content": "yes"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            self._send(
                200,
                {
                    "id": "c",
                    "object": "chat.completion",
                    "created": 1,
                    "model": MODEL,
                    "choices": [choice],
                    "usage": usage,
                },
            )

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(int(body.get("max_tokens") or TOKENS)):
            time.sleep(self.server.gap_s)
            delta = {"content": f"{number} "}
            event = {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": MODEL,
                "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
                "sent": time.time(),
            }
            self._chunk(f"data: {json.dumps(event)}\n\n")
        last = {"index": 0, "delta": {}, "finish_reason": "length"}
        end = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [last]}
        self._chunk(f"data: {json.dumps(end)}\n\n")
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        return


class Upstream(ThreadingHTTPServer):
    """The stand-in on a free port of this machine; `received` has every request as it came."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, gap_s: float = GAP_S) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[str, str, dict[str, str], bytes]] = []
        self.gap_s = gap_s
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        return
