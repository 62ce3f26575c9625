"""Where messages arrive in a drill: a webhook, Telegram's interface and a mail server, on loopback."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

HERE = "127.0.0.1"
POLL_S = 0.05


class Event(NamedTuple):
    """One alert in one message of the webhook, and when it came (monotonic clock)."""

    labels: Mapping[str, str]
    status: str
    at: float


class Receiver:
    """What came in; Telegram fails for messages with the words `refused`. Start it with `opened`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.chats: list[str] = []
        self.mails: list[str] = []
        self.lines: list[tuple[float, str]] = []
        self.refused = ""
        self.port = self.mail_port = 0

    @property
    def url(self) -> str:
        """Base address of webhook and Telegram's interface."""
        return f"http://{HERE}:{self.port}"

    def take(self, told: Mapping[str, Any]) -> None:
        """Note a message of the webhook: Alertmanager's, or a line of the dead man's switch."""
        now = time.monotonic()
        if "text" in told:
            self.lines.append((now, str(told["text"])))
        self.events += [Event(alert["labels"], alert["status"], now) for alert in told.get("alerts", [])]

    def wait(self, labels: Mapping[str, str], status: str, since: float, seconds: float) -> float | None:
        """Return the seconds from `since` until an alert with these labels had this status; None: it never had."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for event in list(self.events):
                if event.at >= since and event.status == status and labels.items() <= event.labels.items():
                    return event.at - since
            time.sleep(POLL_S)
        return None

    def line(self, words: str, since: float, seconds: float) -> float | None:
        """Return the seconds until a line with these words came; None: it never did."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for at, text in list(self.lines):
                if at >= since and words in text:
                    return at - since
            time.sleep(POLL_S)
        return None


@contextmanager
def opened() -> Iterator[Receiver]:
    """Open a receiver on free ports of this machine."""
    receiver = Receiver()
    web = ThreadingHTTPServer((HERE, 0), _web(receiver))
    mail = socketserver.ThreadingTCPServer((HERE, 0), _mail(receiver))
    mail.daemon_threads = True
    receiver.port, receiver.mail_port = web.server_address[1], mail.server_address[1]
    for server in (web, mail):
        threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True).start()
    try:
        yield receiver
    finally:
        for server in (web, mail):
            server.shutdown()
            server.server_close()


def _web(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Web(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.path.endswith("/sendMessage"):
                receiver.take(told)
                self._answer(200, {})
            elif receiver.refused and receiver.refused in told["text"]:
                self._answer(500, {"ok": False, "error_code": 500, "description": "Internal Server Error"})
            else:
                receiver.chats.append(told["text"])
                self._answer(200, {"ok": True, "result": {"message_id": 1, "date": 0, "chat": {"id": 1}}})

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Web


def _mail(receiver: Receiver) -> type[socketserver.StreamRequestHandler]:
    """As much of SMTP as a message needs (RFC 5321)."""

    class Mail(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            self._say("220 drill")
            for raw in self.rfile:
                word = raw.decode(errors="replace").strip().upper()
                if word.startswith("DATA"):
                    self._say("354 go on")
                    receiver.mails.append(self._body())
                    self._say("250 taken")
                elif word.startswith("QUIT"):
                    self._say("221 bye")
                    return
                else:
                    self._say("250 drill")

        def _body(self) -> str:
            lines = []
            for raw in self.rfile:
                if raw in (b".\r\n", b".\n"):
                    break
                lines.append(raw.decode(errors="replace"))
            return "".join(lines)

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    return Mail
