"""What came back is kept: merged, never lost, readable after a change."""

from pathlib import Path

import pytest
from report.review.reviews import annotation, correction, item

from lib.core.errors import RunbookError
from lib.core.evidence import Measurement, Provenance
from lib.report.review import store
from lib.report.review.annotation import Annotation


def measured(chapter: str = "06", value: float = 41.5) -> Measurement:
    return Measurement(
        name="batching.output_throughput",
        value=value,
        unit="tok/s",
        interval=(40.0, 43.0),
        conditions={"concurrency": 1},
        provenance=Provenance(chapter=chapter),
    )


def test_two_reviewers_merge(tmp_path: Path) -> None:
    one, two = annotation("One."), annotation("Two.", name="Reviewer Two")
    assert store.add([one], [], tmp_path) == {"new": 1, "changed": 0, "known": 0, "settled": 0}
    assert store.add([one, two], [], tmp_path) == {"new": 1, "changed": 0, "known": 1, "settled": 0}
    assert {entry.annotation.words for entry in store.entries(tmp_path)} == {"One.", "Two."}


def test_a_changed_annotation_replaces_the_open_one_and_not_a_settled_one(tmp_path: Path) -> None:
    first = item("First.")
    store.add([Annotation.model_validate(first)], [], tmp_path)
    changed = Annotation.model_validate(first | {"body": [{"type": "TextualBody", "value": "Second."}]})
    assert store.add([changed], [], tmp_path)["changed"] == 1
    (entry,) = store.entries(tmp_path)
    assert entry.annotation.words == "Second."
    store.save(entry.then("declined", "No."), tmp_path)
    assert store.add([Annotation.model_validate(first)], [], tmp_path)["settled"] == 1
    (entry,) = store.entries(tmp_path)
    assert (entry.annotation.words, entry.state) == ("Second.", "declined")


def test_the_numbers_of_the_corrected_chapter_are_kept(tmp_path: Path) -> None:
    said = Annotation.model_validate(correction("notebooks/06_batching.ipynb", "a", "b", cell="look"))
    store.add([said], [measured(), measured("05")], tmp_path)
    (entry,) = store.entries(tmp_path)
    (number,) = entry.numbers
    assert (number.name, number.value, number.conditions) == ("batching.output_throughput", 41.5, {"concurrency": 1})


def test_history_grows_and_is_read_again(tmp_path: Path) -> None:
    entry = store.Entry(annotation=annotation()).then("open", "Which one?").then("closed")
    store.save(entry, tmp_path)
    again = store.get(entry.annotation.number, tmp_path)
    assert [(event.state, event.words) for event in again.history] == [("open", "Which one?"), ("closed", "")]


def test_an_unknown_number_names_the_nearest(tmp_path: Path) -> None:
    entry = store.Entry(annotation=annotation())
    store.save(entry, tmp_path)
    with pytest.raises(RunbookError) as caught:
        store.get(entry.annotation.number[:-1] + "x", tmp_path)
    assert caught.value.nearest == entry.annotation.number


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = store.save(store.Entry(annotation=annotation()), tmp_path)
    file.write_text(file.read_text()[:-40])
    with pytest.raises(RunbookError, match="damaged annotation") as caught:
        store.entries(tmp_path)
    assert file.name in caught.value.where
