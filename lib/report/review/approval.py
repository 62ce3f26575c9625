"""The overall verdict of a reviewer: bound to one edition by a signature, and stale as soon as anything changed."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lib.report.review.annotation import Annotation, Verdict
from lib.report.review.edition import Edition
from lib.report.review.store import Entry

SIGNED = "runbook-edition:"


@dataclass(frozen=True)
class Approval:
    """A verdict on a whole edition.

    Parameters
    ----------
    fresh : bool
        It was given on the edition that this document is.
    key : str
        Fingerprint of the key that signed, as the reviewer's page shows it; empty without a signature.
    valid : bool
        The signature is over that edition's digest and that verdict, by that key.
    """

    name: str
    verdict: Verdict
    edition: str
    time: datetime
    fresh: bool
    key: str
    valid: bool
    words: str


def approvals(entries: Sequence[Entry], edition: Edition) -> list[Approval]:
    """Return the latest overall verdict of each reviewer, newest first."""
    latest: dict[str, Approval] = {}
    for entry in entries:
        said = entry.annotation
        if not said.verdict or said.target.fragment != "front":
            continue
        latest[said.creator.name] = Approval(
            name=said.creator.name,
            verdict=said.verdict,
            edition=said.target.edition,
            time=said.created,
            fresh=said.target.edition == edition.digest,
            key=fingerprint(said.seal.key) if said.seal else "",
            valid=verified(said),
            words=said.words,
        )
    return sorted(latest.values(), key=lambda approval: approval.time, reverse=True)


def signed_text(annotation: Annotation) -> bytes:
    """Return what a reviewer's page signs: the edition, the verdict, the annotation's own id."""
    return f"{SIGNED}{annotation.target.edition}:{annotation.verdict}:{annotation.id}".encode()


def fingerprint(key: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a public key, in groups of four."""
    digits = hashlib.sha256(key.encode()).hexdigest()[:16]
    return " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def verified(annotation: Annotation) -> bool:
    """Tell whether an annotation's signature is over its edition and verdict, by the key that it names."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    if annotation.seal is None:
        return False
    try:
        key = serialization.load_der_public_key(base64.b64decode(annotation.seal.key, validate=True))
        raw = base64.b64decode(annotation.seal.signature, validate=True)
        if not isinstance(key, ec.EllipticCurvePublicKey) or len(raw) != 64:
            return False
        signature = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        key.verify(signature, signed_text(annotation), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, binascii.Error):
        return False
    return True
