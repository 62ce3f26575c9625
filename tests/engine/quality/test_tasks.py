"""Program-made tasks: always the same, each with an answer that grades as right, wrong ones as wrong."""

import re

import pytest

from lib.engine.quality import tasks
from lib.engine.serve import client, smoke
from lib.engine.serve.client import Answer
from lib.engine.serve.smoke import Graded, Question


def solve(question: Question) -> str:
    """Answer a task from its own text, without looking at what is expected."""
    kind, ask = question.id.split("-")[0], question.ask
    if kind == "lookup":
        name = re.search(r"How old is (\w+)", ask)
        assert name
        age = re.search(rf"{name[1]}: (\d+)", ask)
        assert age
        return age[1]
    if kind == "copy":
        return ask.removeprefix("Repeat exactly: ")
    if kind == "count":
        counted = re.search(r"word (\w+) stand in this list: ([^?]+)", ask)
        assert counted
        word, listed = counted.groups()
        return str(listed.split(", ").count(word))
    if kind == "sum":
        numbers = re.search(r"(\d+) ([+-]) (\d+)", ask)
        assert numbers
        return str(int(numbers[1]) + int(numbers[3]) * (1 if numbers[2] == "+" else -1))
    meaning = re.search(r"same as (\w+)", ask)
    assert meaning
    return next(right for word, right, _ in tasks.MEANINGS if word == meaning[1])


def test_the_same_seed_gives_the_same_questions_and_kinds_take_turns() -> None:
    assert tasks.make(20) == tasks.make(20)
    assert tasks.make(10, seed=1) != tasks.make(10, seed=2)
    assert [question.id.split("-")[0] for question in tasks.make(5)] == list(tasks.KINDS)


@pytest.mark.parametrize("question", tasks.make(100), ids=lambda question: question.id)
def test_every_task_can_be_solved_from_its_text(question: Question) -> None:
    assert smoke.wrong(question, Answer(solve(question), "stop"), []) == ""
    assert smoke.wrong(question, Answer("I do not know.", "stop"), []) == "wrong answer"


def test_an_answer_that_was_cut_off_counts_if_it_is_right_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question(id="sum-0", ask="What is 2 + 2?", number=4)
    monkeypatch.setattr(client, "chat_all", lambda *_: [Answer("It is 4", "length")])
    assert tasks.grade("http://127.0.0.1:9", "m", [question])[0].reason == ""


def test_pairs_are_counted() -> None:
    question = Question(id="q", ask="?", number=1)

    def graded(*right: bool) -> list[Graded]:
        return [Graded(question, Answer(""), "" if one else "wrong answer") for one in right]

    paired = tasks.pair(graded(True, True, False, False), graded(True, False, True, False))
    assert paired == (1, 1, 1, 1)
