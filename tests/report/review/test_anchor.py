"""Where an annotation belongs in another edition."""

from report.review.reviews import annotation

from lib.report.review.anchor import Place, find

PLACES = {
    "front": "",
    "cell-01-look": "The card draws 450 W\n  at most.",
    "cell-03-plan": "Set it to 450 W. The reason is heat.",
    "cell-03-more": "Set it to 450 W. The reason is noise.",
    "figure-2": "Throughput",
}


def test_words_that_stand_where_they_stood() -> None:
    assert find(annotation(exact="450 W at most"), PLACES) == Place("here", "cell-01-look")


def test_words_that_moved_are_found_by_what_stands_around_them() -> None:
    moved = annotation(element="cell-03-gone", exact="450 W", prefix="Set it to ", suffix=". The reason is noise")
    assert find(moved, PLACES) == Place("moved", "cell-03-more")


def test_between_equal_places_the_nearer_id_is_taken() -> None:
    assert find(annotation(element="cell-01-gone", exact="450 W"), PLACES) == Place("moved", "cell-01-look")


def test_words_that_stand_nowhere_are_lost() -> None:
    assert find(annotation(exact="600 W"), PLACES) == Place("lost")


def test_without_words_the_element_decides() -> None:
    assert find(annotation(element="figure-2"), PLACES) == Place("here", "figure-2")
    assert find(annotation(element="figure-9"), PLACES) == Place("lost")
    assert find(annotation(element="front", exact=" \n "), PLACES) == Place("here", "front")
