"""Quality asked of a real vLLM: probabilities are those of the text, the same twice, and the limit is named."""

import pytest

from lib.core.errors import RunbookError
from lib.engine.quality import divergence, positions, tasks, text
from lib.engine.serve.server import Server

pytestmark = pytest.mark.engine


def test_a_real_text_is_read_the_same_twice(engine: Server) -> None:
    windows = [text.windows(engine.url, engine.model.name, text.load(128), 128, width=64)[0]]
    first, again = (positions.ask(engine.url, engine.model.name, windows, 20)[0] for _ in range(2))
    assert len(first) == 63
    assert all(20 <= len(position.top) <= 21 for position in first)
    assert max(divergence.kl(a, b) for a, b in zip(first, again, strict=True)) < 1e-3
    assert 1 < positions.perplexity([position.logprob for position in first]) < 500


def test_more_probabilities_than_the_server_allows_name_the_flag(engine: Server) -> None:
    with pytest.raises(RunbookError, match="21") as caught:
        positions.ask(engine.url, engine.model.name, [[10, 20, 30]], 21)
    assert "--max-logprobs" in caught.value.fix


def test_a_real_model_does_some_tasks_and_every_answer_can_be_graded(engine: Server) -> None:
    graded = tasks.grade(engine.url, engine.model.name, tasks.make(25))
    reasons = [item.reason for item in graded]
    assert 2 <= reasons.count("") < 25
    assert not [reason for reason in reasons if "HTTP" in reason]
