"""The catalogues: complete, in step with the sources, fit for their places; and a real document without English."""

import ast
import json
import re
from pathlib import Path

import pytest
from report.language import real_run
from typer.testing import CliRunner

from lib.core.errors import Exit, RunbookError
from lib.report.language import bilingual, catalogue, choice, exchange
from lib.report.language.commands import app
from lib.report.language.english import is_sentence, words
from lib.report.language.message import Message, bare, normal
from lib.report.language.sources import code, every, scripts, templates
from lib.report.language.speech import Speech
from lib.report.language.tree import parse
from lib.report.language.units import units
from lib.report.render import english

CYRILLIC = re.compile(r"[\u0400-\u04ff][\u0400-\u04ff-]*")

# What a model answered, and an error in a program's own words, up to the end.
FOREIGN = re.compile(r"(?<!\w)'[^']*'|\b[\w.]+Error: .*")
# Words of no program and no name: beside Russian ones they tell that a message was taken for another.
LINKING = re.compile(r"\b(?:the|of|is|are|those|not|which|has|have|that|from|with|and)\b")
QUOTED = re.compile(r"«[^»]*»|“[^”]*”|\([^()]*\)")


@pytest.fixture(scope="session")
def sources() -> list[Message]:
    return list(every.messages())


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document of real notebooks and real evidence, in English."""
    return english(real_run.build(tmp_path_factory.mktemp("real")))


def left_english(page: str) -> list[str]:
    """Return what a page says in English: sentences, or within a Russian one four words in a row or a linking word.

    Code, quotations (also of a model's answer) and programs' own errors are no part of it; the glossary's terms may
    stand everywhere.
    """
    terms = [message.text for message in every.messages() if message.where.endswith("glossary.yml")]
    told = [FOREIGN.sub(" ", bare(unit.message)) for unit in units(parse(page)) if unit.message not in terms]
    pure = [text for text in told if not CYRILLIC.search(text) and is_sentence(text)]
    return [*pure, *(text for text in told if CYRILLIC.search(text) and _is_mixed(text))]


def _is_mixed(text: str) -> bool:
    return bool(LINKING.search(QUOTED.sub("", text))) or any(_clause(part) for part in CYRILLIC.split(text))


def _clause(text: str) -> bool:
    return any(is_sentence(part) and len(words(part)) > 3 for part in re.split(r"[,;:.()—]", text))


def test_a_linking_word_beside_russian_ones_is_seen() -> None:
    wrong = "<p>Работают the веса из файла</p><p>Работают «the weights» (of a file)</p>"
    assert left_english(wrong) == ["Работают the веса из файла"]


def test_every_message_of_the_sources_is_translated(sources: list[Message]) -> None:
    known = catalogue.load("ru")
    assert [message for message in sources if message.text not in known] == []


def test_the_files_are_what_update_writes(sources: list[Message]) -> None:
    known = catalogue.load("ru")
    for file in catalogue.files("ru"):
        own = [message for message in sources if catalogue.part_of(message) == file.name.split(".")[1]]
        assert file.read_text(encoding="utf-8") == catalogue.rendered("ru", own, known), (
            f"{file.name}: python -m lib language update"
        )
        assert file.stat().st_size < 900_000


def test_every_translation_fits_its_place() -> None:
    faults = {text: exchange.fault(text, said) for text, said in catalogue.load("ru").items()}
    assert {text: fault for text, fault in faults.items() if fault} == {}


def test_a_new_sentence_of_the_code_a_template_or_a_script_is_a_message(tmp_path: Path) -> None:
    planted = "check(title=\"Planted words\", observed=f\"{count} new {'thing' if one else 'things'} on {host}\")"
    assert list(code.of(ast.parse(planted))) == ["Planted words", "{0} new thing on {1}", "{0} new things on {1}"]
    error = 'raise RunbookError(f"no key {name}", where="a place here", fix="and add another")'
    assert list(code.of(ast.parse(error))) == ["no key {0}", "and add another"]
    assert list(code.of(ast.parse('rows = {"two words": count, "name": 1}'))) == ["two words"]
    template = "<p>Planted {{ name }}{% if more %}, and more{% endif %}.</p><a title='On {{ x }} here'>x</a>"
    assert set(templates.of(template)) >= {"Planted {0}, and more.", "Planted {0}.", "On {0} here"}
    for name in scripts.FILES:
        (tmp_path / name).write_text('say("Planted {0} here", 1)')
    assert {message.text for message in scripts.messages(tmp_path)} == {"Planted {0} here"}


@pytest.mark.parametrize(
    "planted",
    [
        '"""Docstrings are for programmers."""',
        're.compile("some words here")',
        'raise ValueError("some words here")',
        'raise RunbookError(where="some words here")',
        'run(["sudo", "apt-get install something"])',
        'x = "sudo apt-get install lm-sensors"',
        'if "some words here" in text: pass',
        'typer.Option(help="some words here")',
    ],
)
def test_what_is_for_programs_and_programmers_is_no_message(planted: str) -> None:
    assert list(code.of(ast.parse(planted))) == []


def test_a_real_document_in_russian_holds_no_english_sentence(real: str) -> None:
    speech = choice.speech("ru")
    speech.missing.clear()
    page = bilingual.bilingual(real, speech, "ru", "ru")
    assert speech.missing == set()
    assert left_english(page) == []
    assert page.count("глава 0") > 10


def test_a_planted_english_sentence_is_seen(real: str) -> None:
    planted = real.replace("</main>", "<p>Nobody has translated this sentence.</p></main>")
    speech = Speech(catalogue.load("ru"))
    page = bilingual.bilingual(planted, speech, "ru", "ru")
    assert speech.missing == {"Nobody has translated this sentence."}
    assert left_english(page) == ["Nobody has translated this sentence."]


def test_both_languages_fit_into_one_file_that_is_sent(real: str) -> None:
    assert len(bilingual.bilingual(real, choice.speech("ru"), "ru", "ru").encode()) < 15_000_000


def test_update_keeps_translations_and_drops_what_is_no_longer_said(tmp_path: Path) -> None:
    counted = catalogue.update("ru", {"Evidence": "Доказательства", "said nowhere": "нигде"}, tmp_path)
    assert counted["translated"] == 1
    assert catalogue.update("ru", {}, tmp_path) == counted
    assert dict(catalogue.load("ru", tmp_path)) == {"Evidence": "Доказательства"}


def test_what_is_marked_fuzzy_is_not_shown(tmp_path: Path) -> None:
    for file in catalogue.files("ru", tmp_path):
        file.write_text('msgid ""\nmsgstr ""\n\n#, fuzzy\nmsgid "a word"\nmsgstr "слово"\n\nmsgid "b"\nmsgstr "б"\n')
    assert dict(catalogue.load("ru", tmp_path)) == {"b": "б"}


def test_a_missing_catalogue_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(RunbookError, match="python -m lib language update"):
        catalogue.load("ru", tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "translation", "fault"),
    [
        ("{0} of {1}", "{1} из {0}", ""),
        ("{0} check", "{0} {0|проверка|проверки|проверок}", ""),
        ("a <1>b</1> `c`", "`c` <1>б</1> а", ""),
        ("{0} of {1}", "{0=} из {1}", ""),
        ("{0} of {1}", "{0=} из", "places"),
        ("{0} of {1}", "из {0}", "places"),
        ("{0} check", "{0|проверка|проверки|проверок}", "places"),
        ("{0} check", "{0} {1|а|б|в}", "place"),
        ("a <1>b</1>", "а б", "tags"),
        ("<1>a</1> <2>b</2>", "<1>а <2>б</1></2>", "tags"),
        ("run `make`", "запустите `делать`", "code"),
        ("a", "  ", "empty"),
    ],
)
def test_a_translation_that_does_not_fit_is_refused(text: str, translation: str, fault: str) -> None:
    found = exchange.fault(text, translation)
    assert fault in found
    assert bool(found) == bool(fault)


def test_messages_go_out_and_come_back(tmp_path: Path) -> None:
    messages = [Message(f"word {'and word ' * 10}{number}", "lib/a.py") for number in range(40)]
    files = exchange.write(messages, tmp_path, 4)
    assert [file.name for file in files] == ["01.json", "02.json", "03.json", "04.json"]
    content = json.loads(files[0].read_text())
    content[0]["ru"], content[1]["ru"] = "слово", "слово {7}"
    files[0].write_text(json.dumps(content))
    taken, refused = exchange.read(files)
    assert taken == {content[0]["id"]: "слово"}
    assert [entry.text for entry in refused] == [content[1]["id"]]


def test_a_file_that_is_no_list_of_messages_is_named(tmp_path: Path) -> None:
    (tmp_path / "01.json").write_text('{"id": 1}')
    result = CliRunner().invoke(app, ["import", str(tmp_path / "01.json")])
    assert isinstance(result.exception, RunbookError)
    assert "01.json" in str(result.exception)


def test_joining_punctuation_is_no_part_of_a_message() -> None:
    assert normal("; the {2}  card\n is {5}: ") == "the {0} card is {1}"
    assert normal("<4>a</4> (b)") == "<1>a</1> (b)"


def test_the_language_comes_from_the_option_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    assert choice.chosen() == "en"
    monkeypatch.setenv(choice.VARIABLE, "ru")
    assert choice.chosen() == "ru"
    assert choice.chosen("en") == "en"


def test_a_language_that_is_not_there_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "rus")
    with pytest.raises(RunbookError) as caught:
        choice.chosen()
    assert (caught.value.where, caught.value.nearest) == ("REPORT_LANG", "ru")
    assert caught.value.exit_code == Exit.BAD_INPUT
