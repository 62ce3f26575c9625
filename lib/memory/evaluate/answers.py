"""What memory does to answers: facts that no model can know, asked with and without what was found."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lib.core.errors import RunbookError
from lib.engine.quality.intervals import wilson
from lib.engine.serve import client
from lib.memory.context import compose
from lib.memory.service import Memory

THINGS = ("locker", "cabinet", "garage", "safe", "shed", "workshop", "cellar", "studio", "archive", "greenhouse")
PLACES = ("north", "south", "east", "west", "upper", "lower", "old", "new")
ANSWER_TOKENS = 24
SEED = 20_261_124


class Fact(NamedTuple):
    """A question, its one right answer, and the sentence that says it."""

    question: str
    answer: str
    text: str


class Asked(NamedTuple):
    """One question answered twice: whether each answer had the fact."""

    question: str
    answer: str
    without: bool
    with_memory: bool
    said: str


def facts(count: int, seed: int = SEED) -> list[Fact]:
    """Make facts that stand nowhere else: doors and their codes, four digits each."""
    chance = random.Random(seed)  # noqa: S311 - questions, not secrets
    doors = chance.sample([f"{place} {thing}" for place in PLACES for thing in THINGS], count)
    codes = chance.sample(range(1000, 10_000), count)
    return [
        Fact(f"What is the code of the {door}?", str(code), f"The code of the {door} is {code}.")
        for door, code in zip(doors, codes, strict=True)
    ]


def write(folder: Path, made: Sequence[Fact]) -> None:
    """Write each fact as a note of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, fact in enumerate(made):
        (folder / f"door-{number}.md").write_text(f"# Door {number + 1}\n\n{fact.text}\n")


def ask(url: str, model: str, memory: Memory, made: Sequence[Fact], tokens: int) -> list[Asked]:
    """Ask each question without and with memory, greedily.

    Raises
    ------
    RunbookError
        The server refuses a question.
    """
    asked = []
    for fact in made:
        context = compose(memory.search(fact.question).hits, tokens)
        plain = _answer(url, model, fact.question)
        helped = _answer(url, model, f"{context.text}\n\n{fact.question}")
        asked.append(Asked(fact.question, fact.answer, _has(plain, fact), _has(helped, fact), helped.strip()[:200]))
    return asked


def interval(right: int, asked: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of right answers."""
    low, high = wilson(right, asked)
    return round(low, 4), round(high, 4)


def _answer(url: str, model: str, text: str) -> str:
    answer = client.chat(url, client.question(model, text, ANSWER_TOKENS))
    if answer.error:
        raise RunbookError(f"the model did not answer: {answer.error}", where=url)
    return answer.text


def _has(text: str, fact: Fact) -> bool:
    """Tell whether an answer has the fact, and no other number of its kind."""
    return set(re.findall(r"\b\d{4}\b", text)) == {fact.answer}
