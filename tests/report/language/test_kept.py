"""What was said before is said again without work, and forgotten when anything that decides it changes."""

from pathlib import Path

import pytest

from lib.report.language import kept
from lib.report.language.speech import Speech


def test_what_was_said_is_not_said_anew(tmp_path: Path) -> None:
    first = Speech({"the card is busy": "карта занята"})
    assert first.say("the card is busy") == "карта занята"
    assert first.say("Nobody knows this sentence.") is None
    kept.save("ru", first.spoken, tmp_path)
    again = Speech({}, kept.load("ru", tmp_path))
    assert again.say("the card is busy") == "карта занята"
    assert again.say("Nobody knows this sentence.") is None
    assert again.missing == {"Nobody knows this sentence."}, "what is missing is told all the same"


def test_only_the_last_documents_texts_are_kept(tmp_path: Path) -> None:
    kept.save("ru", {"old": "старое"}, tmp_path)
    speech = Speech({"new": "новое"}, kept.load("ru", tmp_path))
    speech.say("new")
    kept.save("ru", speech.spoken, tmp_path)
    assert kept.load("ru", tmp_path) == {"new": "новое"}


def test_another_catalogue_or_other_code_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.save("ru", {"a": "а"}, tmp_path)
    monkeypatch.setattr(kept, "_digest", lambda _: "0123456789ab")
    assert kept.load("ru", tmp_path) == {}
    kept.save("ru", {"b": "б"}, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["ru-0123456789ab.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: str) -> None:
    kept.save("ru", {"a": "а"}, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert kept.load("ru", tmp_path) == {}


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "language").write_text("a file where the folder should be")
    kept.save("ru", {"a": "а"}, tmp_path / "language")
    assert kept.load("ru", tmp_path / "language") == {}
