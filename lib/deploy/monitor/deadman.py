"""The dead man's switch: waits for signs of life, and tells somebody when they stay away. Standard library only.

Runs on another host than the watching, in a data centre: a house without power tells nobody. `deadman.py --port 9911
--silence 300 --webhook FILE --telegram CHAT FILE` takes any POST as a sign; addresses and tokens stand in files.
`GET /metrics` tells how long it has been silent.
"""

import argparse
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TELEGRAM = "https://api.telegram.org"
PATIENCE_S = 10


class Switch:
    """What is known of the signs.

    Parameters
    ----------
    silence_s : float
        So long may pass without one.
    tell : callable
        Gets a sentence when it is silent and when it is not any more; raises where it could not be delivered.
    """

    def __init__(self, silence_s: float, tell: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self.silence_s, self.tell, self.clock = silence_s, tell, clock
        self.last = clock()
        self.told = False

    def beat(self) -> None:
        """Take a sign of life."""
        self.last = self.clock()

    def look(self) -> None:
        """Tell once when it has become silent, once when it is over; what did not arrive is tried again."""
        silent = self.clock() - self.last
        if (silent > self.silence_s) == self.told:
            return
        words = (
            f"The watching at home has been silent for {silent:.0f} s: power, network or Prometheus"
            if not self.told
            else "The watching at home is back"
        )
        try:
            self.tell(words)
        except OSError as error:
            sys.stderr.write(f"not delivered: {error}\n")
        else:
            self.told = not self.told

    def metrics(self) -> str:
        """Return what Prometheus asks for."""
        return f"# TYPE deadman_silent_seconds gauge\ndeadman_silent_seconds {self.clock() - self.last:.3f}\n"


def handler(switch: Switch) -> type[BaseHTTPRequestHandler]:
    """Return what answers requests to a switch."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def do_POST(self) -> None:
            self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 1 << 20))
            switch.beat()
            self._answer("")

        def do_GET(self) -> None:
            self._answer(switch.metrics())

        def _answer(self, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: a sign a minute is no news."""

    return Handler


def post(address: str, content: dict[str, object]) -> None:
    """Post JSON; an address that is not HTTP is an error."""
    if not address.startswith(("https://", "http://")):
        raise OSError("the address is not one of HTTP")
    body = json.dumps(content).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 - looked at above
    with urllib.request.urlopen(request, timeout=PATIENCE_S):  # noqa: S310
        return


def main(words: list[str]) -> None:
    """Wait until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--silence", type=float, default=300)
    parser.add_argument("--webhook", type=Path)
    parser.add_argument("--telegram", nargs=2, metavar=("CHAT", "FILE"))
    parser.add_argument("--telegram-api", default=TELEGRAM)
    given = parser.parse_args(words)

    def tell(text: str) -> None:
        if given.webhook:
            post(given.webhook.read_text().strip(), {"text": text})
        if given.telegram:
            token = Path(given.telegram[1]).read_text().strip()
            post(f"{given.telegram_api}/bot{token}/sendMessage", {"chat_id": given.telegram[0], "text": text})

    switch = Switch(given.silence, tell)
    server = ThreadingHTTPServer((given.host, given.port), handler(switch))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(min(1.0, given.silence / 4))
        switch.look()


if __name__ == "__main__":
    main(sys.argv[1:])
