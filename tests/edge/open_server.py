"""A server without a single defence, in nginx's place: it answers everything with 200, and waits for everybody.

Run inside the twin of a VPS, standard library only: ``open_server.py CERTIFICATE_WITH_KEY MODEL``.
"""

import contextlib
import socket
import socketserver
import ssl
import sys
import threading
import time

BODY = "# HELP vllm:x\nvllm:x 1\n%s\n"
HANDSHAKE = 0x16


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, tls: ssl.SSLContext | None, model: str) -> None:
        super().__init__(("", port), Handler)
        self.tls, self.model = tls, model


class Handler(socketserver.BaseRequestHandler):
    server: Server
    request: socket.socket

    def handle(self) -> None:
        wire = self.request
        with contextlib.suppress(OSError):
            # Plain HTTP is welcome on the port of TLS too.
            if self.server.tls and wire.recv(1, socket.MSG_PEEK)[:1] == bytes([HANDSHAKE]):
                wire = self.server.tls.wrap_socket(wire, server_side=True)
            self.answer(wire)
        with contextlib.suppress(OSError):
            wire.close()

    def answer(self, wire: socket.socket) -> None:
        raw = b""
        while b"\r\n\r\n" not in raw:
            part = wire.recv(1 << 16)
            if not part:
                return
            raw += part
        body = (BODY % self.server.model).encode()
        first = "101 Switching Protocols" if b"Upgrade:" in raw else "200 OK"
        lines = ["Server: open/1.0", "Access-Control-Allow-Origin: *", "Content-Type: text/plain", "Connection: close"]
        head = "\r\n".join([f"HTTP/1.1 {first}", *lines, f"Content-Length: {len(body)}"])
        wire.sendall(f"{head}\r\n\r\n".encode() + body)
        # All that follows is taken, so that the answer is not lost with it.
        wire.settimeout(0.3)
        with contextlib.suppress(OSError):
            while wire.recv(1 << 20):
                pass


def main(certificate: str, model: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.set_ciphers("ALL:@SECLEVEL=0")
    tls.minimum_version = ssl.TLSVersion.TLSv1
    for server in (Server(443, tls, model), Server(80, None, model)):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
