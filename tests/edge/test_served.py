"""What certificate is shown: read by a client, judged by its days."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from typer.testing import CliRunner

from lib.core.sections.bastion import Acme, Gate
from lib.edge import certificates, served
from lib.edge.cli import app
from lib.edge.served import Served

GATE = Gate(name="vps", address="203.0.113.10", tunnel="10.66.0.1")


class Handler(BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1)


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server with a certificate of its own, for 40 days and the name localhost; its port and its certificate."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "40", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Server(ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that refuses is what is tried."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], certificate
        server.shutdown()


def test_a_trusted_one_is_told_with_its_days(shown: tuple[int, Path]) -> None:
    port, certificate = shown
    seen = served.look("localhost", "127.0.0.1", port, str(certificate))
    assert seen.error == ""
    assert 39 < seen.days < 40
    assert (len(seen.serial) > 8, seen.issuer) == (True, "localhost")


def test_why_it_is_refused_is_told(shown: tuple[int, Path]) -> None:
    port, certificate = shown
    assert "self" in served.look("localhost", "127.0.0.1", port).error
    assert "mismatch" in served.look("other.example", "127.0.0.1", port, str(certificate)).error
    assert "refused" in served.look("localhost", "127.0.0.1", 1).error


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        (Served(21.5, "A", "x"), "pass"),
        (Served(20.5, "A", "x"), "fail"),
        (Served(60, "A", "x", "self-signed certificate"), "fail"),
        (Served(error="Connection refused"), "fail"),
    ],
)
def test_it_is_judged_by_its_days(seen: Served, status: str) -> None:
    assert certificates.check(GATE, seen, 21).status == status


def test_the_command_looks_at_every_vps(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"203.0.113.10": Served(80, "A", "R3"), "203.0.113.20": Served(3, "B", "R3")}
    monkeypatch.setattr(served, "look", lambda hostname, address, port=443, trust="": told[address])
    done = CliRunner().invoke(app, ["certificate"])
    assert done.exit_code == 1
    assert "pass Certificate of vps: 80.0 days left, issued by R3" in done.output
    assert "fail Certificate of vps2: 3.0 days left" in done.output
    told["203.0.113.20"] = told["203.0.113.10"]
    assert CliRunner().invoke(app, ["certificate"]).exit_code == 0


def test_what_alarms_before_it_renews_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alarm_days .30. must be below renew_days .30."):
        Acme(renew_days=30, alarm_days=30)
