"""Saying texts in another language: exact messages, patterns, parts, and what cannot be said."""

import pytest

from lib.report.language.english import is_command, is_sentence
from lib.report.language.speech import Speech

CATALOGUE = {
    "ready after {0} s on {1}": "готов через {0} с на {1}",
    "{0} check": "{0} {0|проверка|проверки|проверок}",
    "{0} checks": "{0} {0|проверка|проверки|проверок}",
    "{0} of {1} failed": "не пройдено {0} из {1}",
    "random weights": "случайные веса",
    "Nothing was measured.": "Ничего не измерено.",
    "the card is busy": "карта занята",
    "stop the engine": "остановите движок",
    "<1>{0}</1> of the run": "<1>{0}</1> этого прогона",
    "the longer pattern of {0} wins": "длинный образец {0} важнее",
    "the {0} wins": "коротко: {0}",
    "{0} at {1}": "{0} ({1})",
    "no file {0} of {1}": "нет файла {0=} ({1})",
    "{0} × at {1} ({2} … {3})": "{0} × при {1} ({2} … {3})",
    "together on {0}": "вместе: {0}",
    "this machine": "эта машина",
    "{0} failed": "не пройдено: {0}",
    "memory {0}": "память: {0}",
    "status": "состояние",
    "{0} of {1}": "{0} из {1}",
    "{0}: {1} of {2}": "{0}: {1} из {2}",
    "Compiled, and with graphs": "Скомпилировано, с графами",
    "graphs": "графы",
    "Compiled, and with {0}": "Compiled и {0}",
    "with {0}": "с: {0}",
    "{0} has {1}": "в {0} есть {1}",
    "package {0}": "пакет {0}",
    "package {0} {1}": "пакет {0} {1}",
    "version {0}": "версия {0}",
    "made from {0}": "сделано из {0=}",
    "seen": "видно",
    "also considered: {0}": "рассматривалось: {0}",
    "also {0}": "также {0}",
    "{0} requests at a time": "{0} {0|запрос|запроса|запросов} одновременно",
}


@pytest.fixture
def speech() -> Speech:
    return Speech(CATALOGUE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ready after 3.5 s on http://127.0.0.1:8000", "готов через 3,5 с на http://127.0.0.1:8000"),
        ("64 requests at a time", "64 запроса одновременно"),
        ("64 requests at a time,", "64 запроса одновременно,"),
        ("<1>64 requests at a time</1>,", "<1>64 запроса одновременно</1>,"),
        ("1 check", "1 проверка"),
        ("3 checks", "3 проверки"),
        ("11 checks", "11 проверок"),
        ("21 checks", "21 проверка"),
        ("1,234 checks", "1 234 проверки"),
        ("3 checks, the card is busy", "3 проверки, карта занята"),
        ("1 check, 3 checks, and 11 checks", "1 проверка, 3 проверки и 11 проверок"),
        ("2 of 3 checks failed", "не пройдено 2 из 3 проверки"),
        ("Random weights", "Случайные веса"),
        ("random weights.", "случайные веса."),
        ("Nothing was measured", "Ничего не измерено"),
        ("the card is busy; stop the engine", "карта занята; остановите движок"),
        ("The card is busy. Stop the engine.", "Карта занята. Остановите движок."),
        ("; the card is busy", "; карта занята"),
        ("<3>Table 2</3> of the run", "<3>Table 2</3> этого прогона"),
        ("no file some path of the card is busy", "нет файла some path (карта занята)"),
        ("no file a(b, c) of 1,234", "нет файла a(b, c) (1 234)"),
        # A title, a label and a list are not taken into a looser message's place.
        ("Compiled, and with graphs, 3 checks", "Скомпилировано, с графами, 3 проверки"),
        ("status: 2 of 3 failed", "состояние: не пройдено 2 из 3"),
        (
            "seen: x-1 has 3 checks; x-1 has random weights",
            "видно: в x-1 есть 3 проверки; в x-1 есть случайные веса",
        ),
        ("made from x-1, random weights", "сделано из x-1, случайные веса"),
        ("package x-1, version 1.2, made from y-2, seen", "пакет x-1, версия 1.2, сделано из y-2, видно"),
        # What follows a label may be a list.
        ("also considered: random weights; the card is busy", "рассматривалось: случайные веса; карта занята"),
        ("stop the engine or the card is busy", "остановите движок или карта занята"),
        ("the card is busy → stop the engine", "карта занята → остановите движок"),
        # Each place holds one thing, and the full stop ends the whole.
        ("0.78 × at 1 (0.59 … 1.03), 0.75 × at 2 (0.5 … 0.9)", "0,78 × при 1 (0,59 … 1,03), 0,75 × при 2 (0,5 … 0,9)"),
        ("Together on this machine.", "Вместе: эта машина."),
        ("<1>Random weights.</1> A1 failed.", "<1>Случайные веса.</1> Не пройдено: A1."),
        ("the card is busy: /dev/mem: No such file or directory", "карта занята: /dev/mem: No such file or directory"),
        # A quotation is not taken apart.
        ("status: “certificate has expired”", "состояние: “certificate has expired”"),
        ("memory.switch", "memory.switch"),
        ("the longer pattern of A1 wins", "длинный образец A1 важнее"),
    ],
)
def test_texts_are_said(speech: Speech, text: str, expected: str) -> None:
    said = speech.say(text)
    assert said is not None
    assert said.replace("\u00a0", " ") == expected
    assert not speech.missing


@pytest.mark.parametrize("text", ["This sentence was never translated.", "the card is busy; and nobody knows why"])
def test_a_sentence_that_is_not_in_the_catalogue_is_missing(speech: Speech, text: str) -> None:
    assert speech.say(text) is None
    assert speech.missing == {text}


def test_a_pattern_whose_place_holds_an_unknown_sentence_is_missing(speech: Speech) -> None:
    assert speech.say("ready after 3 s on some machine that nobody knows") is None


def test_what_stays_as_it_is_has_its_brackets_in_pairs(speech: Speech) -> None:
    assert speech.say("no file that (somebody of 12) lost of 1") is None


@pytest.mark.parametrize("text", ["Qwen3-30B-A3B", "NVIDIA H200", "580.82.07", "python -m lib run --only 05", "eth0"])
def test_names_versions_and_commands_stay(speech: Speech, text: str) -> None:
    assert speech.say(text) == text


def test_an_english_sentence_is_two_words_one_of_them_small() -> None:
    assert is_sentence("Nothing failed")
    assert is_sentence("make room at the target")
    assert not is_sentence("`make room` {0} <1>now</1>")
    assert not is_sentence("Qwen3-30B-A3B, FP8")
    assert not is_sentence("Intel Xeon Processor")
    assert not is_sentence("torch.OutOfMemoryError: CUDA out of memory")
    assert not is_sentence("'the cat sat'")


def test_a_command_is_no_sentence_and_a_sentence_about_a_program_is_no_command() -> None:
    assert is_command("sudo apt-get install lm-sensors")
    assert is_command("python -m lib run --only 05")
    assert not is_command("restic is not installed")
    assert not is_command("{0} of the checks")
