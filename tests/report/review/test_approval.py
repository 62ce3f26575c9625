"""A verdict holds for one edition, by one key."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from report.review.reviews import EDITION, item

from lib.report.review import approval
from lib.report.review.annotation import Annotation
from lib.report.review.edition import Edition, Text
from lib.report.review.store import Entry

READ = Edition("run", "0" * 64, (Text("runbook/models.yml", "", "a: 1\n"),))
KEY = ec.generate_private_key(ec.SECP256R1())


def verdict(key: ec.EllipticCurvePrivateKey = KEY, said: str = "approved", edition: str = EDITION) -> dict[str, Any]:
    """Return a signed overall verdict, as a browser makes it."""
    made = item(element="front", motivation="assessing", edition=edition) | {"runbook:verdict": said}
    text = approval.signed_text(Annotation.model_validate(made))
    r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    seal = {
        "key": base64.b64encode(public).decode(),
        "signature": base64.b64encode(r.to_bytes(32) + s.to_bytes(32)).decode(),
    }
    return made | {"runbook:seal": seal}


def one(made: dict[str, Any], read: Edition = READ) -> approval.Approval:
    (found,) = approval.approvals([Entry(annotation=Annotation.model_validate(made))], read)
    return found


def test_a_signed_verdict_on_this_edition_holds() -> None:
    found = one(verdict(edition=READ.digest))
    assert (found.verdict, found.fresh, found.valid) == ("approved", True, True)
    assert len(found.key.split()) == 4


def test_it_turns_stale_when_anything_that_was_read_changes() -> None:
    other = Edition("run", "0" * 64, (Text("runbook/models.yml", "", "a: 2\n"),))
    measured = Edition("run", "1" * 64, READ.texts)
    assert len({READ.digest, other.digest, measured.digest}) == 3
    for changed in (other, measured):
        found = one(verdict(edition=READ.digest), changed)
        assert (found.fresh, found.valid) == (False, True)


@pytest.mark.parametrize(
    "change",
    [
        {"runbook:verdict": "rejected"},
        {"id": "urn:uuid:00000000-0000-0000-0000-000000000000"},
        {"target": verdict(edition="b" * 64)["target"]},
        {"runbook:seal": verdict(ec.generate_private_key(ec.SECP256R1()))["runbook:seal"]},
        {"runbook:seal": {**verdict()["runbook:seal"], "key": "A" * 124}},
        {"runbook:seal": {**verdict()["runbook:seal"], "signature": "A" * 88}},
    ],
)
def test_a_signature_does_not_hold_for_anything_else(change: dict[str, Any]) -> None:
    assert one(verdict() | change).valid is False


def test_a_verdict_without_a_signature_is_shown_as_such() -> None:
    made = verdict()
    del made["runbook:seal"]
    assert (one(made).key, one(made).valid) == ("", False)


def test_the_last_word_of_each_reviewer_counts() -> None:
    early, late = verdict(), verdict(said="rejected") | {"created": "2026-11-25T00:00:00Z"}
    other = verdict() | {"creator": {"type": "Person", "name": "Reviewer Two"}}
    found = approval.approvals([Entry(annotation=Annotation.model_validate(m)) for m in (early, other, late)], READ)
    assert [(a.name, a.verdict) for a in found] == [("Reviewer One", "rejected"), ("Reviewer Two", "approved")]
