"""Tasks that a program makes and a program checks: look up, copy, count, add, choose. Seeded, so always the same."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lib.engine.serve import client, smoke
from lib.engine.serve.client import Answer
from lib.engine.serve.smoke import Graded, Question

SEED = 8
CONCURRENCY = 8
MAX_TOKENS = 32
NAMES = ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irina", "Jonas", "Karin", "Leo")
THINGS = ("apples", "books", "candles", "coins", "cups", "keys", "lamps", "pens", "plates", "stamps")
COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")
PLACES = ("station", "garden", "kitchen", "harbour", "library", "market", "office", "school")
MEANINGS = (
    ("big", "large", ("tiny", "late")),
    ("fast", "quick", ("slow", "round")),
    ("begin", "start", ("finish", "sleep")),
    ("happy", "glad", ("sad", "wet")),
    ("shut", "closed", ("open", "sweet")),
    ("silent", "quiet", ("loud", "tall")),
    ("rich", "wealthy", ("poor", "early")),
    ("sick", "ill", ("healthy", "green")),
    ("difficult", "hard", ("easy", "cold")),
    ("stone", "rock", ("water", "song")),
)
Maker = Callable[[random.Random, bool], dict[str, object]]


class Paired(NamedTuple):
    """How two models did on the same questions."""

    both: int
    only_reference: int
    only_other: int
    neither: int


def make(count: int, seed: int = SEED) -> list[Question]:
    """Return so many questions: the five kinds in turn, one round easy, one harder, so that no model fails all."""
    source = random.Random(seed)  # noqa: S311
    kinds = list(KINDS.items())
    found = []
    for number in range(count):
        kind, maker = kinds[number % len(kinds)]
        easy = number // len(kinds) % 2 == 0
        found.append(Question.model_validate({"id": f"{kind}-{number}", **maker(source, easy)}))
    return found


def grade(url: str, model: str, questions: Sequence[Question]) -> list[Graded]:
    """Ask every question greedily and grade the answers; what is said after a right answer does no harm.

    Parameters
    ----------
    url, model : str
        Base address, and the name of the served model.
    questions : sequence of Question
        The smoke questions, or what `make` returns.
    """
    bodies = [client.question(model, question.ask, MAX_TOKENS) for question in questions]
    answers = client.chat_all(url, bodies, CONCURRENCY)
    residue = smoke.load().residue
    return [Graded(q, answer, _wrong(q, answer, residue)) for q, answer in zip(questions, answers, strict=True)]


def regrade(known: Sequence[Graded]) -> list[Graded]:
    """Grade answers that another one asked for by the same rule as those of `grade`."""
    residue = smoke.load().residue
    return [Graded(item.question, item.answer, _wrong(item.question, item.answer, residue)) for item in known]


def pair(reference: Sequence[Graded], other: Sequence[Graded]) -> Paired:
    """Compare two models question by question."""
    table = [(not a.reason, not b.reason) for a, b in zip(reference, other, strict=True)]
    return Paired(
        table.count((True, True)), table.count((True, False)), table.count((False, True)), table.count((False, False))
    )


def _wrong(question: Question, answer: Answer, residue: Sequence[str]) -> str:
    """Grade one answer; one that was cut off at the limit counts if it is right so far."""
    ended = answer._replace(finish="stop") if answer.finish == "length" else answer
    return smoke.wrong(question, ended, residue)


def _lookup(source: random.Random, easy: bool) -> dict[str, object]:
    rows = 2 if easy else 4
    names, values = source.sample(NAMES, rows), source.sample(range(11, 99), rows)
    listed = "\n".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
    chosen = source.randrange(rows)
    ask = f"Here is a table of ages.\n{listed}\nHow old is {names[chosen]}? Answer with the number only."
    return {"ask": ask, "number": float(values[chosen])}


def _copy(source: random.Random, easy: bool) -> dict[str, object]:
    name, thing, place = source.choice(NAMES), source.choice(THINGS), source.choice(PLACES)
    short = f"The {thing} are {source.choice(COLOURS)}."
    line = short if easy else f"{name} took {source.randrange(2, 20)} {thing} to the {place}"
    return {"ask": f"Repeat exactly: {line}", "exactly": line}


def _count(source: random.Random, easy: bool) -> dict[str, object]:
    wanted, other = source.sample(COLOURS, 2)
    times = source.randrange(2, 5)
    words = [wanted] * times + [other] * (0 if easy else source.randrange(1, 4))
    source.shuffle(words)
    ask = f"How many times does the word {wanted} stand in this list: {', '.join(words)}? Answer with the number only."
    return {"ask": ask, "number": float(times)}


def _sum(source: random.Random, easy: bool) -> dict[str, object]:
    most = 10 if easy else 40
    a, b = source.randrange(2, most), source.randrange(2, most)
    plus = source.random() < 0.5
    a, b = (a, b) if plus else (max(a, b), min(a, b))
    return {"ask": f"What is {a} {'+' if plus else '-'} {b}?", "number": float(a + b if plus else a - b)}


def _word(source: random.Random, easy: bool) -> dict[str, object]:
    word, right, wrong = source.choice(MEANINGS)
    options = [right, wrong[0]] if easy else [right, *wrong]
    source.shuffle(options)
    ask = f"Which word means nearly the same as {word}: {' or '.join(options)}? Answer with one word."
    return {"ask": ask, "words": [right]}


KINDS: dict[str, Maker] = {"lookup": _lookup, "copy": _copy, "count": _count, "sum": _sum, "word": _word}
