"""A chapter at work: provenance, artifacts, what other chapters found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib.core import evidence
from lib.core.chapter import Chapter, open_chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Measurement, Provenance

MakeChapter = Callable[..., Path]


@pytest.fixture
def chapter(make_chapter: MakeChapter, tmp_path: Path) -> Chapter:
    folder = make_chapter("05").parent
    return open_chapter("05", run=str(tmp_path / "run"), folder=folder)


def test_records_are_stamped_and_written(chapter: Chapter) -> None:
    raw = chapter.save("log.txt", "raw")
    (written,) = chapter.record(
        Check(name="a.b", status="pass"), artifacts=[raw], command="run it", model="m", weights="random"
    )
    assert written.provenance.chapter == "05"
    assert written.provenance.artifacts[0].path == "artifacts/05_test/log.txt"
    assert (written.provenance.command, written.provenance.weights) == ("run it", "random")
    assert evidence.read(chapter.records_file) == [written]


def test_a_cited_record_stays_cited(chapter: Chapter) -> None:
    (written,) = chapter.record(Measurement(name="a.m", value=1, unit="s", provenance=Provenance(where="cited")))
    assert written.provenance.where == "cited"


def test_engine_time_is_recorded_even_when_the_work_fails(chapter: Chapter) -> None:
    with pytest.raises(ValueError, match="boom"), chapter.engine_time("start"):
        raise ValueError("boom")
    assert [m.conditions for m in chapter.measurements("run.")] == [{"step": "start"}]


def test_earlier_reads_other_chapters_only(chapter: Chapter, make_chapter: MakeChapter, tmp_path: Path) -> None:
    chapter.record(Check(name="a.five", status="pass"))
    folder = make_chapter("06").parent
    later = open_chapter("06", run=str(tmp_path / "run"), folder=folder)
    later.record(Check(name="a.six", status="pass"))
    assert [record.name for record in later.earlier("a.")] == ["a.five"]


def test_opening_again_starts_afresh(chapter: Chapter, tmp_path: Path) -> None:
    chapter.record(Check(name="a.b", status="pass"))
    again = open_chapter("05", run=str(tmp_path / "run"), folder=tmp_path / "notebooks")
    assert evidence.read(again.records_file) == []


@pytest.mark.parametrize(
    ("options", "near"),
    [({"mode": "aply"}, "apply"), ({"profile": "embeded"}, "embedded"), ({"chapter": "5"}, "05")],
)
def test_wrong_options_name_the_nearest(make_chapter: MakeChapter, options: dict[str, str], near: str) -> None:
    folder = make_chapter("05").parent
    with pytest.raises(RunbookError) as caught:
        open_chapter(**{"chapter": "05", **options}, folder=folder)
    assert caught.value.nearest == near


def test_the_header_is_generated(chapter: Chapter) -> None:
    assert "not yet on this host" in chapter.header().text
