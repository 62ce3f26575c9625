"""A hub on loopback that speaks what a fetch needs, and breaks on request: cut lines, flipped bytes, no ranges."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "1234567890abcdef1234567890abcdef12345678"
LFS_FROM = 1000


class Hub(ThreadingHTTPServer):
    """Serves one repository, `owner/tiny`, from memory."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.requests: list[tuple[str, str]] = []  # path below resolve, Range header
        self.cut_after = 0  # bytes of a file after which the line breaks; 0 never
        self.down_after_cut = False  # after a cut the hub answers 503
        self.flip = ""  # file of which one byte arrives flipped
        self.ranges = True
        self.status = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges_of(self, name: str) -> list[str]:
        return [header for path, header in self.requests if path == name]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        if self.path.startswith(f"/api/models/owner/tiny/tree/{COMMIT}"):
            return self.send_page(int((re.findall(r"cursor=(\d+)", self.path) or ["0"])[0]))
        if self.path.startswith("/api/models/owner/tiny"):
            return self.answer({"id": "owner/tiny", "sha": COMMIT, "siblings": []})
        found = re.fullmatch(rf"/owner/tiny/resolve/{COMMIT}/(.+)", self.path)
        if found and found[1] in self.server.files:
            return self.send_file(found[1])
        self.send_response(401)
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def send_page(self, cursor: int) -> None:
        """Send the listing two files a page, as the hub does with a thousand."""
        listed = [self.describe(name, data) for name, data in self.server.files.items()]
        end = cursor + 2
        url = f"{self.server.endpoint}/api/models/owner/tiny/tree/{COMMIT}?recursive=true&cursor={end}"
        self.answer(listed[cursor:end], f'<{url}>; rel="next"' if end < len(listed) else "")

    def answer(self, body: object, link: str = "") -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        if link:
            self.send_header("Link", link)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def describe(self, name: str, data: bytes) -> dict[str, object]:
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": blob}
        if len(data) >= LFS_FROM:
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def send_file(self, name: str) -> None:
        header = self.headers.get("Range", "")
        self.server.requests.append((name, header))
        if self.server.status:
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        data = self.server.files[name]
        if self.server.flip == name:
            data = bytes([data[0] ^ 1]) + data[1:]
        start = int(header.removeprefix("bytes=").rstrip("-")) if header and self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.cut_after and len(body) > self.server.cut_after:
            self.wfile.write(body[: self.server.cut_after])
            self.close_connection = True
            self.server.status = 503 if self.server.down_after_cut else 0
            return None
        self.wfile.write(body)
        return None

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Hub]:
    hub = Hub(files)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
