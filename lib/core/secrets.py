"""Find what must never be in a produced file: private keys, passwords in addresses, tokens."""

import re
from collections.abc import Iterator
from pathlib import Path

PATTERNS = {
    "private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "WireGuard key": re.compile(rb"(?im)^\s*(?:PrivateKey|PresharedKey)\s*=\s*[A-Za-z0-9+/]{43}="),
    "password in an address": re.compile(rb"[a-z][a-z0-9+.-]*://[^\s/:@\"'<>]+:[^\s/@\"'<>]{3,}@"),
    "Hugging Face token": re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b"),
    "API key": re.compile(rb"\bsk-[A-Za-z0-9_-]{20,}\b"),
    "bearer token": re.compile(rb"(?i)authorization['\"]?\s*[:=]\s*['\"]?bearer\s+[A-Za-z0-9._~+/-]{16,}"),
    "Telegram bot token": re.compile(rb"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    "AWS key": re.compile(rb"\bAKIA[0-9A-Z]{16}\b"),
}


def scan(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file below a folder that holds a secret, with the kind of secret (never the secret itself)."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            for kind, pattern in PATTERNS.items():
                if pattern.search(content):
                    yield path, kind
