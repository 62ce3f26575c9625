"""The scan finds what must not be there, and leaves ordinary text alone."""

from pathlib import Path

import pytest

from lib.core import secrets

# Assembled here, so that no line of this file looks like a secret itself.
SAMPLES = {
    "private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
    "WireGuard key": "PrivateKey = " + "a" * 43 + "=",
    "password in an address": "https://me:" + "hunter22" + "@example.org/",
    "Hugging Face token": "hf_" + "a" * 34,
    "API key": "sk-" + "b" * 24,
    "bearer token": "Authorization: Bearer " + "c" * 20,
    "Telegram bot token": "123456789:AA" + "d" * 33,
    "AWS key": "AKIA" + "E" * 16,
}


@pytest.mark.parametrize("kind", secrets.PATTERNS)
def test_each_kind_is_found(tmp_path: Path, kind: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.json").write_text(
        f'{{"x": "{SAMPLES[kind]}"}}' if kind != "WireGuard key" else SAMPLES[kind]
    )
    assert [(path.name, found) for path, found in secrets.scan(tmp_path)] == [("file.json", kind)]


def test_ordinary_text_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "http://127.0.0.1:8000/v1 - PrivateKey = file /etc/wireguard/key, mail a@b.c, sk-learn"
    )
    assert list(secrets.scan(tmp_path)) == []
