"""A node exporter, and an endpoint that says what an exporter of hardware that is not here would say."""

import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lib.deploy.monitor.targets import Job, Target
from lib.resilience.monitor.program import Program, free_port
from lib.resilience.monitor.receiver import HERE


def job(name: str, port: int, host: str, module: str = "") -> Job:
    """Return a job with one target of a scene; its site is its own."""
    return Job(name, (Target(f"{HERE}:{port}", host, host),), module)


def node(log: Path, port: int, *flags: str, before: Sequence[str] = ()) -> Program:
    """Return a node exporter with only the collectors that are named.

    Parameters
    ----------
    before : sequence of str
        What it is started through, such as `unshare`.
    """
    argv = [
        *before,
        "prometheus-node-exporter",
        f"--web.listen-address={HERE}:{port}",
        "--collector.disable-defaults",
        *flags,
    ]
    return Program(argv, log)


class Exported:
    """A scene that is a node exporter: where it listens, how it starts and ends."""

    name = ""

    def __init__(self) -> None:
        self.port = free_port()
        self.program: Program | None = None

    def run(self, folder: Path, *flags: str, before: Sequence[str] = ()) -> None:
        """Start the exporter with these collectors and return when it answers."""
        self.program = node(folder / "log" / f"{self.name}.log", self.port, *flags, before=before)
        self.program.start()
        self.program.answers(f"http://{HERE}:{self.port}/metrics")

    def close(self) -> None:
        """End the exporter. Doing it twice does no harm."""
        if self.program:
            self.program.stop()

    def jobs(self) -> Sequence[Job]:
        """Return the exporter."""
        return [job("node", self.port, self.name)]


class Recorded:
    """An endpoint with the series of an exporter; values may be changed while it is asked."""

    def __init__(self, series: Mapping[str, float]) -> None:
        self.series = dict(series)
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        """Open it."""
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                body = "".join(f"{name} {value:g}\n" for name, value in recorded.series.items()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HERE, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Close it. Doing it twice does no harm."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
