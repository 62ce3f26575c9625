"""A signed statement: a DSSE envelope, signed ed25519 with the owner's key."""

import base64
import binascii
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lib.core import paths
from lib.core.errors import RunbookError

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def new_key(file: Path) -> Path:
    """Write a new private key, mode 0600, and its public half beside it; return the path of the latter.

    Raises
    ------
    RunbookError
        One of the files is already there: a key is never replaced.
    """
    public_file = file.with_name(file.name + ".pub")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_new(file, private, 0o600)
    _write_new(public_file, _pem(key.public_key()), 0o644)
    return public_file


def _write_new(file: Path, content: bytes, mode: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise RunbookError("there is a file already", where=paths.short(file), fix="choose another name") from error
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)


def sign(payload: bytes, key_file: Path) -> dict[str, Any]:
    """Return the envelope of a payload, signed with a private key file."""
    key = _load(key_file, private=True)
    signature = key.sign(_encoded(PAYLOAD_TYPE, payload))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}],
    }


def opened(envelope: bytes) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    """Return type, payload and signatures (key id, bytes) of an envelope.

    Raises
    ------
    ValueError
        It is no envelope.
    """
    try:
        told = json.loads(envelope)
        payload = base64.b64decode(told["payload"], validate=True)
        signatures = [(str(s["keyid"]), base64.b64decode(s["sig"], validate=True)) for s in told["signatures"]]
        kind = str(told["payloadType"])
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"no DSSE envelope: {error}") from error
    if not signatures:
        raise ValueError("the envelope has no signature")
    return kind, payload, signatures


def signed_by(envelope: bytes, key_file: Path) -> bool:
    """Tell whether the owner of a public key signed an envelope."""
    key = public(key_file)
    kind, payload, signatures = opened(envelope)
    return any(_holds(key, signature, _encoded(kind, payload)) for _, signature in signatures)


def public(key_file: Path) -> Ed25519PublicKey:
    """Read a public key."""
    key: Ed25519PublicKey = _load(key_file, private=False)
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of a public key, which names it."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _holds(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _encoded(kind: str, payload: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding, which binds the type to the payload."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _load(file: Path, *, private: bool) -> Any:
    wanted = Ed25519PrivateKey if private else Ed25519PublicKey
    words = "private" if private else "public"
    fix = "python -m lib seal key FILE  (makes a pair: FILE is private, FILE.pub public)"
    try:
        content = file.read_bytes()
        load = (
            serialization.load_pem_private_key(content, None) if private else serialization.load_pem_public_key(content)
        )
    except FileNotFoundError as error:
        raise RunbookError(f"there is no {words} key", where=paths.short(file), fix=fix) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RunbookError(f"not a {words} key in PEM form", where=paths.short(file), fix=fix) from error
    if not isinstance(load, wanted):
        raise RunbookError(f"not an ed25519 {words} key", where=paths.short(file), fix=fix)
    return load
