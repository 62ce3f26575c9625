"""The public side: nginx with its exporter, an address that answers, a certificate that ends soon."""

import ssl
import subprocess
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lib.deploy.monitor.targets import Job, Target
from lib.resilience.monitor.drill import Drill, Scene
from lib.resilience.monitor.program import Program, free_port
from lib.resilience.monitor.receiver import HERE
from lib.resilience.monitor.scenes.exporter import job

NGINX = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {here}:{port};
        location = /stub_status {{ stub_status; }}
    }}
}}
"""
NEARLY_ENDED, FRESH = 3, 90


def scenes() -> list[Scene]:
    """Return the scenes of the public side."""
    return [Nginx(), Public(), Certificate()]


class Nginx:
    """A real nginx and the exporter that asks it."""

    name = "nginx"

    def __init__(self) -> None:
        self.port, self.exporter_port = free_port(), free_port()
        self.nginx: Program | None = None
        self.exporter: Program | None = None

    def open(self, folder: Path) -> None:
        """Start both."""
        place = folder / "nginx"
        place.mkdir(parents=True, exist_ok=True)
        (place / "nginx.conf").write_text(NGINX.format(folder=place, here=HERE, port=self.port))
        self.nginx = Program(
            ["nginx", "-e", str(place / "start.log"), "-c", str(place / "nginx.conf")], place / "out.log"
        )
        self.nginx.start()
        status = f"http://{HERE}:{self.port}/stub_status"
        self.nginx.answers(status)
        self.exporter = Program(
            [
                "prometheus-nginx-exporter",
                f"--nginx.scrape-uri={status}",
                f"--web.listen-address={HERE}:{self.exporter_port}",
            ],
            folder / "log" / "nginx-exporter.log",
        )
        self.exporter.start()
        self.exporter.answers(f"http://{HERE}:{self.exporter_port}/metrics")

    def close(self) -> None:
        """End both."""
        for program in (self.exporter, self.nginx):
            if program:
                program.stop()

    def jobs(self) -> Sequence[Job]:
        """Return the exporter."""
        return [job("nginx", self.exporter_port, self.name)]

    def drills(self) -> Sequence[Drill]:
        """End nginx; let its exporter hang."""
        assert self.nginx is not None
        assert self.exporter is not None
        return [
            Drill(("NginxDown",), "nginx ends", self.nginx.stop, self.nginx.start),
            Drill(("ExporterDown",), "an exporter hangs", self.exporter.halt, self.exporter.go_on),
        ]


class Tls:
    """A TLS listener that refuses everybody, as the bastion does without a key."""

    name = ""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path()
        self._server: ThreadingHTTPServer | None = None

    def open(self, folder: Path) -> None:
        """Start it with a certificate that holds for long."""
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start(FRESH)

    def start(self, days: int) -> None:
        """Start it with a new certificate of so many days."""
        chain, key = self.folder / "chain.pem", self.folder / "key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-keyout", str(key), "-out", str(chain), "-days", str(days), "-subj", "/CN=drill.example.org"),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)

        class Refuse(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HERE, self.port), Refuse)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """End it. Doing it twice does no harm."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def renew(self, days: int) -> None:
        """Go on with another certificate."""
        self.close()
        self.start(days)


class Public(Tls):
    """The address that clients use."""

    name = "public"

    def jobs(self) -> Sequence[Job]:
        """Return the address, asked through the blackbox exporter."""
        return [Job("public", (Target(f"https://{HERE}:{self.port}/v1/models", self.name, self.name),), "public")]

    def drills(self) -> Sequence[Drill]:
        """Let nothing answer there."""
        return [Drill(("EndpointDown",), "the public address ends", self.close, lambda: self.start(FRESH))]


class Certificate(Tls):
    """A certificate, looked at by the blackbox exporter."""

    name = "certificate"

    def jobs(self) -> Sequence[Job]:
        """Return the address."""
        return [job("certificate", self.port, self.name, "tls")]

    def drills(self) -> Sequence[Drill]:
        """Let it end soon, and be renewed."""
        return [
            Drill(
                ("CertificateExpiring",),
                f"a certificate ends in {NEARLY_ENDED} days",
                lambda: self.renew(NEARLY_ENDED),
                lambda: self.renew(FRESH),
            )
        ]
