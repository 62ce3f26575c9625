"""Short-lived tokens for services: the secret they are signed with lies beside the key store, mode 0600."""

import base64
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

from lib.core.errors import RunbookError
from lib.deploy.bastion import auth_service
from lib.edge import private

SECRETS = "jwt.json"


def secrets_of(store: Path) -> Path:
    """Return the file of token secrets beside a key store, made where it is missing."""
    path = store.with_name(SECRETS)
    if not path.exists():
        secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        entry = {
            "id": secrets.token_hex(4),
            "secret": secret,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        private.write(path, json.dumps({"schema": 1, "secrets": [entry]}, indent=1) + "\n")
    return path


def token(service: str, store: Path, minutes: float = 10, requests_per_minute: int = 60) -> str:
    """Return a short-lived token for a service, signed with the newest secret.

    Raises
    ------
    RunbookError
        It would live longer than the bastion accepts.
    """
    seconds = round(minutes * 60)
    if not 0 < seconds <= auth_service.LONGEST_TOKEN_S:
        longest = auth_service.LONGEST_TOKEN_S // 60
        raise RunbookError(
            f"a token lives {longest} minutes at most, and more than none",
            where=f"{minutes:g} minutes",
            nearest=str(longest),
            fix="--minutes 10",
        )
    entry = json.loads(secrets_of(store).read_text())["secrets"][-1]
    now = datetime.now(UTC).timestamp()
    return auth_service.token(service, entry["id"], entry["secret"], seconds, now, requests_per_minute)
