"""Evidence: what is written is read back, and a damaged line is named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from lib.core import evidence
from lib.core.errors import Exit, RunbookError
from lib.core.evidence import Change, Check, Decision, Measurement

RECORDS = [
    Check(name="a.b", status="pass"),
    Measurement(name="a.m", value=1.5, unit="s", interval=(1.0, 2.0), conditions={"concurrency": 4}),
    Change(name="a.c", status="planned", target="/etc/x", before="1", after="2", reason="because"),
    Decision(name="a.d", choice="x", reason="y", evidence=["a.b"]),
]


def test_records_come_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    evidence.append(path, RECORDS[:2])
    evidence.append(path, RECORDS[2:])
    assert evidence.read(path) == RECORDS


def test_a_missing_file_holds_no_records(tmp_path: Path) -> None:
    assert evidence.read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("damage", ['{"kind":"check","name":"a.b"', '{"kind":"rumour","name":"a.b"}', "", "\x00\xff"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "evidence.jsonl"
    evidence.append(path, RECORDS[:2])
    path.write_text(path.read_text() + damage + "\n" + RECORDS[0].model_dump_json(by_alias=True) + "\n")
    with pytest.raises(RunbookError) as caught:
        evidence.read(path)
    assert caught.value.where == "evidence.jsonl, line 3"
    assert caught.value.exit_code == Exit.BAD_INPUT


@pytest.mark.parametrize("name", ["plain", "Upper.case", "a b.c", "a.", ".a", "a..b"])
def test_names_are_dotted(name: str) -> None:
    with pytest.raises(ValidationError):
        Check(name=name, status="pass")


def test_statuses_are_counted() -> None:
    checks = [Check(name="a.b", status=status) for status in ("pass", "pass", "warn", "skip")]
    assert evidence.count([*checks, RECORDS[1]]) == {"pass": 2, "warn": 1, "fail": 0, "skip": 1}


def test_sha256_of_a_known_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert evidence.sha256(tmp_path / "x").startswith("ba7816bf8f01cfea414140de5dae2223")
