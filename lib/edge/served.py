"""What certificate a VPS shows, as a client sees it: trusted, for this name, and for how long.

Run as a module inside a twin, or on any machine: asked on standard input, answered in JSON.
"""

import json
import socket
import ssl
import sys
import time
from typing import Any, NamedTuple

WAIT_S = 5.0


class Served(NamedTuple):
    """One certificate that was shown; `error` tells why a client refuses it."""

    days: float = 0.0
    serial: str = ""
    issuer: str = ""
    error: str = ""

    @property
    def told(self) -> str:
        """In words."""
        return f"“{self.error}”" if self.error else f"{self.days:.1f} days left, issued by {self.issuer}"


def look(hostname: str, address: str, port: int = 443, trust: str = "") -> Served:
    """Open TLS to an address as a client that wants this name, and return what it was shown.

    Parameters
    ----------
    trust : str, optional
        File of roots; default: those of the system.
    """
    context = ssl.create_default_context(cafile=trust or None)
    try:
        with (
            socket.create_connection((address, port), timeout=WAIT_S) as plain,
            context.wrap_socket(plain, server_hostname=hostname) as wire,
        ):
            shown: Any = wire.getpeercert()
    except ssl.SSLCertVerificationError as error:
        return Served(error=error.verify_message)
    except OSError as error:
        return Served(error=str(error) or type(error).__name__)
    issuer: dict[str, str] = dict(part[0] for part in shown["issuer"])
    days = (ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / 86400
    return Served(days, shown["serialNumber"], issuer.get("commonName", issuer.get("organizationName", "")))


def main() -> None:
    """Answer each question of standard input."""
    sys.stdout.write(json.dumps([look(**asked) for asked in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
