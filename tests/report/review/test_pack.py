"""What is sent to a reviewer."""

import tarfile
from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.report.review import pack


def test_the_pack_holds_the_document_the_evidence_and_two_posts(sample: Path, tmp_path: Path) -> None:
    files = pack.write(sample, tmp_path / "pack")
    page, archive, english, russian = files
    assert 'id="review-data"' in page.read_text(encoding="utf-8")
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        assert f"{sample.name}/evidence.jsonl" in names
        assert f"{sample.name}/run.json" in names
        assert all(member.isfile() or member.isdir() for member in opened)
        assert {(member.uid, member.uname) for member in opened} == {(0, "")}
        assert not any("report.html" in name for name in names)
    assert "412 MB/s" in english.read_text(encoding="utf-8")  # the failed check of the sample
    assert "Открытые вопросы" in russian.read_text(encoding="utf-8")
    assert "412 MB/s" in russian.read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_an_error(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunbookError, match="cannot write"):
        pack.write(sample, tmp_path / "file" / "pack")


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="no run here"):
        pack.write(tmp_path)
