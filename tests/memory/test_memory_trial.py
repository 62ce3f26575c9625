"""A new model on trial: judged beside the old one, and switched to while questions come without a pause."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from embedding_server import Server, serving

from lib.memory.embed import Embedder, EndpointError
from lib.memory.evaluate import trial
from lib.memory.evaluate.corpus import Question
from lib.memory.service import Memory
from lib.memory.store.space import SwitchedError

Embed = Callable[..., Embedder]
ANIMALS = (
    "zebra",
    "otter",
    "falcon",
    "salmon",
    "beetle",
    "walrus",
    "gecko",
    "bison",
    "heron",
    "marmot",
    "tapir",
    "lynx",
)


@pytest.fixture
def questions(memory: Memory, tmp_path: Path) -> list[Question]:
    folder = tmp_path / "animals"
    folder.mkdir()
    for name in ANIMALS:
        (folder / f"{name}.md").write_text(f"# {name}\n\nThe {name} was seen at the river on day {len(name)}.\n")
    memory.add(folder)
    return [Question(f"when was the {name} seen", f"animals/{name}.md") for name in ANIMALS]


@pytest.fixture
def other() -> Iterator[Server]:
    with serving("other", 32) as server:
        yield server


@pytest.fixture
def embed() -> Iterator[Callable[..., Embedder]]:
    made: list[Embedder] = []

    def make(url: str, model: str, cut: int = 0) -> Embedder:
        made.append(Embedder(url, model, cut=cut))
        return made[-1]

    yield make
    for embedder in made:
        embedder.close()


def asked(memory: Memory, questions: list[Question]) -> list[np.ndarray]:
    assert memory.embedder is not None
    return [memory.embedder.query(question.text) for question in questions]


def test_vectors_are_cut_and_have_length_one(server: Server, embed: Embed) -> None:
    whole, cut = embed(server.url, "words"), embed(server.url, "words", cut=16)
    assert (cut.dimension, cut.space) == (16, "words/16")
    long, short = whole.query("zebra grass"), cut.query("zebra grass")
    assert np.linalg.norm(short) == pytest.approx(1)
    assert short == pytest.approx(long[:16] / np.linalg.norm(long[:16]), abs=1e-6)
    with pytest.raises(EndpointError, match="cannot be cut at 65"):
        embed(server.url, "words", cut=65).query("zebra")


def test_a_trial_judges_and_switches_nothing(
    memory: Memory, questions: list[Question], other: Server, embed: Embed
) -> None:
    found = trial.run(memory, embed(other.url, "other"), questions, asked(memory, questions))
    assert (found.new, found.old, found.embedded) == ("other/32", "words/64", len(ANIMALS))
    assert memory.store.space.key == "words/64"
    assert found.verdict("fused") == "no difference shown"
    assert found.difference("fused").low <= 0 <= found.difference("fused").high


def test_a_worse_model_is_called_worse(memory: Memory, questions: list[Question], server: Server, embed: Embed) -> None:
    found = trial.run(memory, embed(server.url, "words", cut=1), questions, asked(memory, questions))
    assert found.verdict("dense") == "worse"
    assert found.difference("dense").high < 0


@pytest.mark.parametrize("dimension", [32, 64])
def test_questions_meet_no_gap_and_no_mixture_while_the_model_is_switched(
    memory: Memory, questions: list[Question], dimension: int, embed: Embed
) -> None:
    with serving("other", dimension) as new:
        seen = trial.switch(memory, embed(new.url, "other"), questions[0])
        assert seen.failed == []
        assert (seen.old, seen.new) == ("words/64", f"other/{dimension}")
        assert seen.answered > 1
        assert seen.wrong == 0
        assert memory.store.disagreements() == []
        memory.close()


def test_a_vector_of_the_old_model_does_not_reach_the_new_index(
    memory: Memory, questions: list[Question], other: Server, embed: Embed
) -> None:
    (vector, *_) = asked(memory, questions)
    memory.renew(embed(other.url, "other"))
    with pytest.raises(SwitchedError):
        memory.store.nearest(vector, 5, "words/64")
    memory.close()


def test_what_is_cut_is_another_space(open_memory: Callable[..., Memory], memory: Memory, notes: Path) -> None:
    memory.add(notes)
    memory.close()
    with pytest.raises(Exception, match="do not mix"):
        open_memory(dimension=16)
