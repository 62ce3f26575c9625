"""The accuracy smoke: how answers are graded, and that it fails where a server is broken."""

from pathlib import Path

import pytest
from served import MODEL

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.serve import smoke
from lib.engine.serve.client import Answer
from lib.engine.serve.server import Server
from lib.engine.serve.smoke import Graded, Question

SMOKE = smoke.load()
ADD = Question(id="add", ask="2 + 3?", number=5)
CITY = Question(id="city", ask="Capital?", words=["Paris"])
COPY = Question(id="copy", ask="Repeat: Hello world.", exactly="Hello world")
WATER = Question(id="water", ask="Symbol?", words=["H2O"])
# Real templates that went wrong: no roles at all; the answer's role never opened; another family's marks.
BROKEN = {
    "no roles": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    "no generation prompt": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}",
    "another family": "{% for m in messages %}<s>[INST] {{ m['content'] }} [/INST]{% endfor %}",
}


@pytest.mark.parametrize(
    ("question", "text", "reason"),
    [
        (ADD, "5", ""),
        (ADD, "2 + 3 = 5.", ""),
        (ADD, "2 + 3 = 5.0", ""),
        (ADD, "5 is more than 4", "wrong answer"),
        (ADD, "five", "wrong answer"),
        (ADD, "15", "wrong answer"),
        (CITY, "The capital is **Paris**.", ""),
        (CITY, "PARIS", ""),
        (CITY, "The Parisians know", "wrong answer"),
        (CITY, "  \n", "empty answer"),
        (WATER, "H₂O", ""),
        (COPY, '"Hello world."', ""),
        (COPY, "Hello world, again", "wrong answer"),
        (CITY, "Paris<|im_end|>", "residue of a template: '<|'"),
        (CITY, "assistant\nParis", "residue of a template: 'assistant'"),
        (CITY, "Paris [/INST]", "residue of a template: '[/INST]'"),
    ],
)
def test_grading(question: Question, text: str, reason: str) -> None:
    assert smoke.wrong(question, Answer(text, finish="stop"), SMOKE.residue) == reason


def test_an_answer_that_never_ends_is_wrong_even_if_it_is_right() -> None:
    assert "finish_reason length" in smoke.wrong(CITY, Answer("Paris Paris", finish="length"), SMOKE.residue)


def test_a_refusal_is_told() -> None:
    assert smoke.wrong(CITY, Answer("", error="HTTP 500: no"), SMOKE.residue) == "HTTP 500: no"


@pytest.mark.parametrize(("right", "status"), [(16, "pass"), (15, "fail"), (0, "fail")])
def test_the_pass_mark_decides(right: int, status: str) -> None:
    graded = [Graded(q, Answer("x"), "" if n < right else "wrong answer") for n, q in enumerate(SMOKE.questions)]
    verdict = smoke.check(graded, SMOKE, MODEL)
    assert verdict.status == status
    assert f"{right} of 20 right" in verdict.observed
    assert smoke.check(graded, SMOKE, "a-large-model").status == "fail", "a large model has to know more"


def test_the_answers_are_kept() -> None:
    kept = smoke.as_json([Graded(CITY, Answer("Paris", "stop", 2, 0.5), "")])
    assert '"answer": "Paris"' in kept
    assert '"wrong": ""' in kept


def test_every_question_can_be_answered_and_is_asked_once() -> None:
    assert len(SMOKE.questions) == 20
    assert len({q.id for q in SMOKE.questions}) == 20
    assert all(mark.correct <= len(SMOKE.questions) for mark in SMOKE.pass_marks.values())
    for question in SMOKE.questions:
        ideal = question.exactly or " ".join(question.words) or f"{question.number:g}"
        assert smoke.wrong(question, Answer(ideal, finish="stop"), SMOKE.residue) == "", question.id


@pytest.mark.parametrize("damage", ["number: 4}", "nummer: 4}", "number: four}"])
def test_a_damaged_list_is_an_error_that_names_the_place(tmp_path: Path, damage: str) -> None:
    text = (paths.RUNBOOK / "smoke.yml").read_text()
    broken = text.replace("words: [Paris]}", "words: [Paris], " + damage, 1)
    (tmp_path / "smoke.yml").write_text(broken)
    with pytest.raises(RunbookError, match="smoke questions") as caught:
        smoke.load(tmp_path / "smoke.yml")
    assert "questions.0" in caught.value.where


@pytest.mark.engine
def test_a_working_engine_passes(engine: Server) -> None:
    verdict = smoke.check(smoke.run(engine.url, MODEL, SMOKE), SMOKE, MODEL)
    assert verdict.status == "pass", verdict.observed


@pytest.mark.engine
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_template_fails(engine: Server, broken: str) -> None:
    graded = smoke.run(engine.url, MODEL, SMOKE, chat_template=BROKEN[broken])
    verdict = smoke.check(graded, SMOKE, MODEL)
    assert verdict.status == "fail", verdict.observed
    assert not [item for item in graded if item.answer.error], "the server answered; it is the answers that are wrong"


@pytest.mark.engine
def test_a_server_that_is_gone_fails(engine: Server) -> None:
    verdict = smoke.check(smoke.run("http://127.0.0.1:9", MODEL, SMOKE), SMOKE, MODEL)
    assert verdict.status == "fail"
    assert "ConnectError" in verdict.observed
