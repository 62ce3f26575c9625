"""The seal of a run: what was changed, added or lost is told from the folder alone."""

import base64
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from report.seal.sealed_run import build

from lib.core import evidence
from lib.core.errors import RunbookError
from lib.core.evidence import Check
from lib.report.seal import close, crate, envelope, materials, statement
from lib.report.seal.verify import verify

Tamper = Callable[[Path, Path], object]
STATEMENT, SIGNED = f"seal/{statement.NAME}", f"seal/{statement.SIGNED}"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    envelope.new_key(tmp_path / "owner")
    return tmp_path / "owner"


@pytest.fixture
def public(keys: Path) -> Path:
    return keys.with_name("owner.pub")


@pytest.fixture
def sealed(tmp_path: Path, keys: Path) -> Path:
    run = build(tmp_path / "runs" / "2026-11-24T19-30-48-embedded")
    close.close(run, keys)
    return run


def edit(name: str, old: str, new: str) -> Tamper:
    def change(run: Path, _: Path) -> None:
        path = run / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


def statement_edit(how: Callable[[dict[str, Any]], object]) -> Tamper:
    def change(run: Path, _: Path) -> None:
        told = json.loads((run / STATEMENT).read_text())
        how(told)
        (run / STATEMENT).write_bytes(statement.encode(told))

    return change


def envelope_edit(how: Callable[[dict[str, Any]], object]) -> Tamper:
    def change(run: Path, _: Path) -> None:
        told = json.loads((run / SIGNED).read_text())
        how(told)
        (run / SIGNED).write_text(json.dumps(told))

    return change


def swapped_figures(run: Path, _: Path) -> None:
    one, two = run / "artifacts/06/figure.svg", run / "artifacts/06/other.svg"
    text = one.read_text()
    one.write_text(two.read_text())
    two.write_text(text)


def linked(run: Path, tmp: Path) -> None:
    raw = run / "artifacts/06/load.json"
    shutil.copy(raw, tmp / "outside.json")
    raw.unlink()
    raw.symlink_to(tmp / "outside.json")


def linked_folder(run: Path, tmp: Path) -> None:
    shutil.move(run / "chapters", tmp / "outside")
    (run / "chapters").symlink_to(tmp / "outside")


def resealed_without_key(run: Path, _: Path) -> None:
    edit("artifacts/06/load.json", "31.3", "313")(run, _)
    close.close(run)


def resealed_with_another_key(run: Path, tmp: Path) -> None:
    envelope.new_key(tmp / "other")
    edit("artifacts/06/load.json", "31.3", "313")(run, tmp)
    close.close(run, tmp / "other")


def replayed(run: Path, tmp: Path) -> None:
    """Put the owner's genuine seal of another run here."""
    other = build(tmp / "runs" / "another", speed=99)
    close.close(other, tmp / "owner")
    shutil.copytree(other / "seal", run / "seal", dirs_exist_ok=True)


def replayed_signature(run: Path, tmp: Path) -> None:
    """Keep the old envelope beside a new statement of changed files."""
    old = (run / SIGNED).read_bytes()
    edit("artifacts/06/load.json", "31.3", "313")(run, tmp)
    close.close(run)
    (run / SIGNED).write_bytes(old)


def borrowed_key_id(run: Path, tmp: Path) -> None:
    """Sign with another key under the owner's name."""
    name = json.loads((run / SIGNED).read_text())["signatures"][0]["keyid"]
    resealed_with_another_key(run, tmp)
    envelope_edit(lambda told: told["signatures"][0].update(keyid=name))(run, tmp)


def forged_crate(run: Path, _: Path) -> None:
    """Let crate and statement agree on a digest that the file does not have."""
    told = json.loads((run / crate.NAME).read_text())
    next(entity for entity in told["@graph"] if entity["@id"] == "report.html")["sha256"] = "0" * 64
    (run / crate.NAME).write_bytes(statement.encode(told))
    digests = {"report.html": "0" * 64, crate.NAME: evidence.sha256(run / crate.NAME)}

    def forge(said: dict[str, Any]) -> None:
        for subject in said["subject"]:
            subject["digest"]["sha256"] = digests.get(subject["name"], subject["digest"]["sha256"])

    statement_edit(forge)(run, _)


def crate_of_another_run(run: Path, tmp: Path) -> None:
    other = build(tmp / "runs" / "another", speed=99)
    close.close(other, tmp / "owner")
    shutil.copy(other / crate.NAME, run / crate.NAME)


def crate_that_hides_a_file(run: Path, _: Path) -> None:
    """Leave a file out of the crate that others read, and seal that crate again."""
    told = json.loads((run / crate.NAME).read_text())
    told["@graph"] = [entity for entity in told["@graph"] if entity["@id"] != "artifacts/06/load.json"]
    (run / crate.NAME).write_bytes(statement.encode(told))
    digest = evidence.sha256(run / crate.NAME)

    def forge(said: dict[str, Any]) -> None:
        next(s for s in said["subject"] if s["name"] == crate.NAME)["digest"]["sha256"] = digest

    statement_edit(forge)(run, _)


def forged_evidence(run: Path, _: Path) -> None:
    edit("evidence.jsonl", '"status":"warn"', '"status":"pass"')(run, _)


TAMPERINGS: dict[str, tuple[Tamper, str]] = {
    "a number in a raw file": (edit("artifacts/06/load.json", "31.3", "313.0"), "load.json: changed"),
    "a verdict in the evidence": (forged_evidence, "evidence.jsonl: changed"),
    "a line of evidence lost": (edit("evidence.jsonl", "\n", " "), "evidence.jsonl: changed"),
    "a line of evidence added": (
        lambda run, _: evidence.append(run / "evidence.jsonl", [Check(name="a.b", status="pass")]),
        "evidence.jsonl: changed",
    ),
    "the state": (edit("run.json", '"passed"', '"failed"'), "run.json: changed"),
    "the document": (edit("report.html", "31.3", "313"), "report.html: changed"),
    "a notebook": (edit("chapters/06.ipynb", "[]", "[ ]"), "06.ipynb: changed"),
    "two figures swapped": (swapped_figures, "figure.svg: changed"),
    "one bit": (
        lambda run, _: (run / "report.html").write_bytes(b"=" + (run / "report.html").read_bytes()[1:]),
        "report.html: changed",
    ),
    "a file cut short": (lambda run, _: os.truncate(run / "report.html", 3), "report.html: changed"),
    "an empty file filled": (lambda run, _: (run / "artifacts/06/empty.log").write_text("x"), "empty.log: changed"),
    "an artifact removed": (lambda run, _: (run / "artifacts/06/load.json").unlink(), "load.json: lost"),
    "the empty file removed": (lambda run, _: (run / "artifacts/06/empty.log").unlink(), "empty.log: lost"),
    "the state removed": (lambda run, _: (run / "run.json").unlink(), "run.json: lost"),
    "the evidence removed": (lambda run, _: (run / "evidence.jsonl").unlink(), "evidence.jsonl: lost"),
    "a folder removed": (lambda run, _: shutil.rmtree(run / "chapters"), "06.ipynb: lost"),
    "a file renamed": (
        lambda run, _: (run / "report.html").rename(run / "Report.html"),
        "Report.html: added",
    ),
    "a file added": (lambda run, _: (run / "artifacts/06/more.json").write_text("{}"), "more.json: added"),
    "a hidden file added": (lambda run, _: (run / ".note").write_text("x"), ".note: added"),
    "a file added to the seal": (lambda run, _: (run / "seal/x").write_text("x"), "seal/x: does not belong"),
    "a link to the same content": (linked, "load.json: no plain file"),
    "a folder that is a link": (linked_folder, "chapters: added"),
    "a pipe": (lambda run, _: os.mkfifo(run / "pipe"), "pipe: added"),
    "a digest in the statement": (
        statement_edit(lambda told: told["subject"][0]["digest"].update(sha256="0" * 64)),
        "signs another statement",
    ),
    "a file left out of the statement": (statement_edit(lambda told: told["subject"].pop()), ": added"),
    "a digest in the crate": (edit(crate.NAME, '"sha256": "', '"sha256": "f'), f"{crate.NAME}: changed"),
    "the crate removed": (lambda run, _: (run / crate.NAME).unlink(), f"{crate.NAME}: lost"),
    "no crate any more": (lambda run, _: (run / crate.NAME).write_text("{}"), f"{crate.NAME}: no crate"),
    "the crate of another run": (crate_of_another_run, "says something else of artifacts/06/load.json"),
    "crate and statement forged alike": (forged_crate, "report.html: changed"),
    "a file that the crate hides": (crate_that_hides_a_file, "says something else of artifacts/06/load.json"),
    "a version in the bill of materials": (edit(materials.NAME, "0.32.0", "0.33.0"), f"{materials.NAME}: changed"),
    "a model's digest there": (edit(materials.NAME, "a" * 64, "b" * 64), f"{materials.NAME}: changed"),
    "the bill of materials removed": (lambda run, _: (run / materials.NAME).unlink(), f"{materials.NAME}: lost"),
    "the command in the workflow": (edit(crate.WORKFLOW, "plan", "apply"), f"{crate.WORKFLOW}: changed"),
    "leftovers of a closing": (
        lambda run, _: ((run / close.ASIDE).mkdir(), (run / close.ASIDE / "x").write_text("x")),
        f"{close.ASIDE}/x: added",
    ),
    "a result in the statement": (
        statement_edit(lambda told: told["predicate"].update(result="PASSED")),
        "other results than the evidence",
    ),
    "a name twice in the statement": (
        statement_edit(lambda told: told["subject"].append(told["subject"][0])),
        "missing, or no statement",
    ),
    "another kind of statement": (statement_edit(lambda told: told.update(_type="x")), "missing, or no statement"),
    "no statement": (lambda run, _: (run / STATEMENT).unlink(), "missing, or no statement"),
    "no signature": (lambda run, _: (run / SIGNED).unlink(), "not signed"),
    "an empty list of signatures": (envelope_edit(lambda told: told.update(signatures=[])), "has no signature"),
    "a flipped bit in the signature": (
        envelope_edit(lambda told: told["signatures"][0].update(sig=base64.b64encode(b"0" * 64).decode())),
        "not signed with",
    ),
    "another type of payload": (envelope_edit(lambda told: told.update(payloadType="text/plain")), "text/plain"),
    "a broken envelope": (lambda run, _: (run / SIGNED).write_text("{"), "no DSSE envelope"),
    "sealed again without the key": (resealed_without_key, "the seal is not signed"),
    "sealed again with another key": (resealed_with_another_key, "not signed with"),
    "another key under the owner's name": (borrowed_key_id, "not signed with"),
    "an old signature over a new statement": (replayed_signature, "signs another statement"),
    "the seal of another run": (replayed, "load.json: changed"),
}


def test_a_sealed_run_is_whole(sealed: Path, public: Path) -> None:
    verdict = verify(sealed, public)
    assert verdict.faults == []
    assert verdict.files == 11
    assert "11 files as they were when the run closed; signed with" in verdict.told
    assert "tells by whom" in verify(sealed).told


@pytest.mark.parametrize("how", TAMPERINGS)
def test_every_tampering_is_detected(sealed: Path, public: Path, tmp_path: Path, how: str) -> None:
    tamper, told = TAMPERINGS[how]
    tamper(sealed, tmp_path)
    faults = verify(sealed, public).faults
    assert any(told in fault for fault in faults), faults


def test_there_are_more_than_twenty_kinds() -> None:
    assert len(TAMPERINGS) > 45


def test_the_statement_is_one_that_others_can_read(sealed: Path) -> None:
    told = json.loads((sealed / STATEMENT).read_text())
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicate"]["result"] == "WARNED"
    assert told["predicate"]["passedTests"] == ["serving.start"]
    assert told["predicate"]["warnedTests"] == ["serving.smoke"]
    names = [subject["name"] for subject in told["subject"]]
    assert names == sorted(names)
    assert "artifacts/06/empty.log" in names
    assert not any(name.startswith("seal") for name in names)
    signed = json.loads((sealed / SIGNED).read_text())
    assert base64.b64decode(signed["payload"]) == (sealed / STATEMENT).read_bytes()


def test_without_a_key_the_seal_says_what_it_cannot_show(tmp_path: Path) -> None:
    run = build(tmp_path / "run")
    close.close(run)
    assert verify(run).told.endswith("not signed: whoever changed a file could have sealed it again")
    (run / "report.html").write_text("other")
    assert verify(run).faults == ["report.html: changed"]


def test_closing_again_replaces_the_seal(sealed: Path, public: Path, keys: Path) -> None:
    (sealed / "report.html").write_text("written again")
    assert verify(sealed, public).faults
    assert close.close(sealed, keys).differences == ["report.html: changed"]
    assert verify(sealed, public).faults == []
    (sealed / "report.html").write_text("and again")
    close.close(sealed)
    assert not (sealed / SIGNED).exists()


def test_a_moved_or_copied_folder_stays_whole(sealed: Path, public: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(sealed, tmp_path / "elsewhere")
    assert verify(moved, public).faults == []


def test_keys_are_private_and_never_replaced(keys: Path, public: Path) -> None:
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    with pytest.raises(RunbookError, match="there is a file already"):
        envelope.new_key(keys)
    assert envelope.key_id(envelope.public(public)) == envelope.key_id(envelope.public(public))


def test_what_is_no_key_is_said(sealed: Path, keys: Path, public: Path, tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="there is no public key"):
        verify(sealed, tmp_path / "gone.pub")
    with pytest.raises(RunbookError, match="not a public key in PEM form"):
        verify(sealed, keys)
    with pytest.raises(RunbookError, match="not a private key in PEM form"):
        close.close(sealed, public)
    other = Ed448PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ed448").write_bytes(other)
    with pytest.raises(RunbookError, match="not an ed25519 private key"):
        close.close(sealed, tmp_path / "ed448")
    assert verify(sealed, public).faults == [], "a refused key leaves the old seal"


def test_what_cannot_be_sealed_or_verified_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no run here"):
        close.close(tmp_path)
    with pytest.raises(RunbookError, match="has no seal"):
        verify(tmp_path)
    with pytest.raises(RunbookError, match="no such folder"):
        verify(tmp_path / "gone")
    run = build(tmp_path / "run")
    (run / "link").symlink_to("report.html")
    with pytest.raises(RunbookError, match="only plain files with readable names"):
        close.close(run)
    (run / "link").unlink()
    (run / "name-\udcff").write_text("")
    with pytest.raises(RunbookError, match=r"name-.udcff"):
        close.close(run)


def test_a_run_that_was_cut_short_is_not_passed(tmp_path: Path) -> None:
    run = build(tmp_path / "run")
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"complete":true', '"complete":false'))
    assert statement.results(run)["result"] == "FAILED"
