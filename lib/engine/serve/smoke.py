"""The accuracy smoke: a fixed list of questions with checkable answers. It gates every number that is a speed."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check
from lib.engine.serve import client
from lib.engine.serve.client import Answer

FILE = paths.RUNBOOK / "smoke.yml"
CONCURRENCY = 8


class Section(BaseModel):
    """Base of all sections: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Question(Section):
    """One question and how its answer is recognised: exactly one of `words`, `number`, `exactly`."""

    id: str
    ask: str
    words: list[str] = []
    number: float | None = None
    exactly: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.words) + (self.number is not None) + bool(self.exactly) != 1:
            raise ValueError("a question has exactly one of: words, number, exactly")
        return self


class PassMark(Section):
    """How many questions a model must get right, and how many tokens it may spend on one."""

    correct: int = Field(ge=1)
    max_tokens: int = Field(ge=1)


class Smoke(Section):
    """The content of runbook/smoke.yml."""

    residue: list[str]
    pass_marks: dict[str, PassMark]
    questions: list[Question] = Field(min_length=1)

    def pass_mark(self, model: str) -> PassMark:
        """Return the pass mark of a model of the catalogue."""
        return self.pass_marks.get(model, self.pass_marks["default"])


class Graded(NamedTuple):
    """A question with its answer; `reason` is empty when it is right, and otherwise says what is wrong."""

    question: Question
    answer: Answer
    reason: str


def load(path: Path = FILE) -> Smoke:
    """Read the questions.

    Raises
    ------
    RunbookError
        Unknown key, wrong type, or a question that cannot be checked.
    """
    try:
        return Smoke.model_validate(YAML(typ="safe", pure=True).load(path))
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise RunbookError(f"smoke questions: {detail['msg']}", where=f"{paths.short(path)}, {place}") from error


def run(url: str, model: str, smoke: Smoke, at_once: int = CONCURRENCY, **more: Any) -> list[Graded]:
    """Ask every question greedily, some at a time, and grade the answers.

    Parameters
    ----------
    url : str
        Base address of the server.
    model : str
        Name of the model, in the catalogue and as served.
    at_once : int
        Questions in flight. With one alone an answer does not depend on what else is in its batch.
    **more
        Further fields of each request.
    """
    limit = smoke.pass_mark(model).max_tokens
    bodies = [client.question(model, question.ask, limit, **more) for question in smoke.questions]
    answers = client.chat_all(url, bodies, at_once)
    return [
        Graded(question, answer, wrong(question, answer, smoke.residue))
        for question, answer in zip(smoke.questions, answers, strict=True)
    ]


def wrong(question: Question, answer: Answer, residue: Sequence[str]) -> str:
    """Return what is wrong with an answer, or the empty string."""
    if answer.error:
        return answer.error
    if not answer.text.strip():
        return "empty answer"
    if found := next((match[0] for pattern in residue if (match := re.search(pattern, answer.text))), ""):
        return f"residue of a template: {found.strip()!r}"
    if not _right(question, answer.text):
        return "wrong answer"
    return "" if answer.finish == "stop" else f"did not end by itself (finish_reason {answer.finish})"


def check(graded: Sequence[Graded], smoke: Smoke, model: str, name: str = "serving.smoke") -> Check:
    """Return the verdict: enough right answers or not, with those that were wrong."""
    pass_mark = smoke.pass_mark(model)
    missed = [item for item in graded if item.reason]
    right = len(graded) - len(missed)
    told = "; ".join(f"{item.question.id}: {item.reason}" for item in missed[:4]) + ("; …" if len(missed) > 4 else "")
    return Check(
        name=name,
        title="Accuracy smoke: known questions are answered right",
        status="pass" if right >= pass_mark.correct else "fail",
        expected=f"at least {pass_mark.correct} of {len(graded)} right, greedy decoding",
        observed=f"{right} of {len(graded)} right" + (f"; {told}" if told else ""),
        fix="read the answers (raw file). Empty or endless ones point to the chat template (--chat-template); nonsense "
        "to a kernel (serving.extra_args: --attention-backend, --moe-backend) or to damaged weights (python -m lib "
        f"models fetch {model}). No speed is reported until this passes",
        source="runbook/smoke.yml",
    )


def as_json(graded: Sequence[Graded]) -> str:
    """Return questions and answers as JSON, for the raw file."""
    return json.dumps([_row(item) for item in graded], indent=1, ensure_ascii=False)


def _row(item: Graded) -> Mapping[str, Any]:
    return {
        "id": item.question.id,
        "ask": item.question.ask,
        "answer": item.answer.text,
        "finish_reason": item.answer.finish,
        "tokens": item.answer.tokens,
        "seconds": round(item.answer.seconds, 3),
        "wrong": item.reason,
    }


def _right(question: Question, text: str) -> bool:
    if question.number is not None:
        numbers = re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))
        return bool(numbers) and float(numbers[-1]) == question.number
    if question.exactly:
        return _bare(text) == _bare(question.exactly)
    # Subscript digits and Markdown marks are how some models write, not what they say.
    plain = text.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    return all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", plain, re.IGNORECASE) for word in question.words)


def _bare(text: str) -> str:
    return text.strip().strip("\"'“”*`").rstrip(".").casefold()
