"""Words: Russian and English, segments that come and go, and the same order as one index over everything."""

from pathlib import Path

import pytest

from lib.memory import lexical, words
from lib.memory.fuse import fuse
from lib.memory.lexical import Lexical


@pytest.mark.parametrize(
    ("one", "other"),
    [("ёжиками", "Ежик"), ("дорогам", "ДОРОГА"), ("running", "run"), ("Sequences", "sequence")],
)
def test_forms_of_a_word_are_one(one: str, other: str) -> None:
    assert words.terms(one) == words.terms(other)


def test_names_are_found_by_their_parts() -> None:
    assert {"maxnumseq", "max", "num"} <= set(words.terms("maxNumSeqs"))
    assert words.terms("max_num_seqs") == ["max", "num", "seq"]


def test_common_words_say_nothing() -> None:
    assert words.terms("the of и на") == []


def numbered(count: int) -> dict[int, str]:
    return {n: f"alpha{n % 7} beta{n % 11} gamma{n % 101} common text number{n}" for n in range(count)}


def test_order_is_that_of_one_index() -> None:
    texts = numbered(3000)
    once, slowly = Lexical(), Lexical()
    once.change(texts)
    for start in range(0, 3000, 100):
        slowly.change({n: texts[n] for n in range(start, start + 100)})
    for question in ("alpha3 beta4", "gamma50 common", "number2999"):
        assert {i for i, _ in once.search(question, 5)} == {i for i, _ in slowly.search(question, 5)} or once.search(
            question, 5
        )[0][1] == pytest.approx(slowly.search(question, 5)[0][1], rel=0.05)


def test_what_is_removed_is_not_found_and_not_kept() -> None:
    index = Lexical()
    index.change({1: "zebra grass", 2: "lion meat"})
    index.change({}, [1])
    assert index.search("zebra", 5) == []
    assert index.ids == {2}
    index.settle()
    assert all("zebra" not in segment.vocabulary for segment in index._segments)


def test_tend_merges_large_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "HEAVY", 100)
    monkeypatch.setattr(lexical, "YOUNG", 10)
    index = Lexical()
    index.change(numbered(80))
    index.change({n + 1000: text for n, text in numbered(80).items()})
    assert len(index._segments) == 2
    assert index.tend()
    assert len(index._segments) == 1
    assert len(index.ids) == 160


def test_saved_and_read_again(tmp_path: Path) -> None:
    index, again = Lexical(), Lexical()
    index.change(numbered(50))
    index.save(tmp_path / "lexical")
    again.load(tmp_path / "lexical")
    assert again.search("alpha3 number10", 5) == index.search("alpha3 number10", 5)


def test_empty_chunks_and_empty_questions_do_no_harm() -> None:
    index = Lexical()
    assert index.search("anything", 3) == []
    index.change({1: "", 2: "the"})
    assert index.search("", 3) == []
    assert index.ids == {1, 2}


def test_fusion_takes_ranks_alone() -> None:
    assert [item for item, _ in fuse([[1, 2, 3], [3, 1]])] == [1, 3, 2]
    assert fuse([[5], [5]]) == [(5, pytest.approx(2 / 61))]
    assert fuse([]) == []
