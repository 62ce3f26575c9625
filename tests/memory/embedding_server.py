"""A small embedding server whose vectors come from the words of a text: the same everywhere, and quick.

`python embedding_server.py PORT`, or `serve()` in a thread. Texts that share words have near vectors. It speaks as much
of vLLM's interface as the memory uses, refusals included: too long a text, an unknown model, and, when told, failures.
"""

import base64
import hashlib
import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from lib.memory import words

DIMENSION = 64
LONGEST = 2000


class Server(http.server.ThreadingHTTPServer):
    """What it was asked, and how it shall behave."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0, model: str = "words", dimension: int = DIMENSION) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.model, self.dimension = model, dimension
        self.texts: list[str] = []
        self.requests = 0
        self.failures = 0
        self.delay_s = 0.0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/rerank":
            self._rerank(body)
            return
        texts = body["input"]
        with self.server.lock:
            self.server.requests += 1
            fail = self.server.failures > 0
            self.server.failures -= fail
            self.server.texts += texts
        time.sleep(self.server.delay_s)
        if fail:
            self._answer(503, {"error": {"message": "overloaded"}})
        elif body["model"] != self.server.model:
            self._answer(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        elif any(len(text) > LONGEST for text in texts):
            self._answer(400, {"error": {"message": f"This model's maximum context length is {LONGEST} tokens."}})
        else:
            vectors = [vector(text, self.server.dimension) for text in texts]
            data = [
                {"index": place, "embedding": base64.b64encode(found.astype("<f4").tobytes()).decode()}
                for place, found in enumerate(vectors)
            ]
            self._answer(200, {"model": self.server.model, "data": data})

    def _rerank(self, body: dict[str, Any]) -> None:
        asked = set(words.terms(body["query"]))
        results = [
            {"index": place, "relevance_score": len(asked & set(words.terms(text))) / (1 + len(asked))}
            for place, text in enumerate(body["documents"])
        ]
        self._answer(200, {"results": results})

    def _answer(self, status: int, told: dict[str, Any]) -> None:
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


def vector(text: str, dimension: int = DIMENSION) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = sum((_word(word, dimension) for word in words.terms(text)), start=np.full(dimension, 1e-3))
    return (found / np.linalg.norm(found)).astype(np.float32)


@lru_cache(maxsize=1 << 16)
def _word(word: str, dimension: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(dimension)


@contextmanager
def serving(model: str = "words", dimension: int = DIMENSION) -> Iterator[Server]:
    server = Server(0, model, dimension)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    alone = Server(int(sys.argv[1]), dimension=int(sys.argv[2]) if len(sys.argv) > 2 else DIMENSION)
    sys.stdout.write(f"{alone.url}\n")
    sys.stdout.flush()
    alone.serve_forever()
