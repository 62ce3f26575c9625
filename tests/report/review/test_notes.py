"""Annotations beside their place in the document, with state, answers and numbers."""

from pathlib import Path

from report.review.reviews import annotation, correction, item
from report.review.test_review_store import measured

from lib.core import evidence
from lib.report.render import render
from lib.report.review import notes, store
from lib.report.review.annotation import Annotation
from lib.report.review.store import Entry


def test_numbers_before_and_now(tmp_path: Path) -> None:
    made = correction("notebooks/06_batching.ipynb", "a", "b", cell="look")
    store.add([Annotation.model_validate(made)], [measured(value=41.5)], tmp_path)
    (entry,) = store.entries(tmp_path)
    (open_note,) = notes.place([entry], {"cell-01-look": ""}, [measured(value=44.0)]).all
    assert open_note.changes == []
    (note,) = notes.place([entry.then("applied")], {"cell-01-look": ""}, [measured(value=44.0)], tmp_path).all
    (change,) = note.changes
    assert (change.before.value, change.now and change.now.value) == (41.5, 44.0)
    (gone,) = notes.place([entry.then("applied")], {}, [], tmp_path).all
    assert gone.changes[0].now is None
    assert gone.state == "lost"


def test_the_document_shows_each_with_its_state(sample: Path, tmp_path: Path) -> None:
    record = evidence.read(sample / "evidence.jsonl")[0]
    said = [
        Annotation.model_validate(item("Здесь ошибка.", element=f"record-{record.name}")),
        Annotation.model_validate(item("<script>alert(1)</script>\u202e", element="chapter-01")),
        Annotation.model_validate(item("Gone.", element="cell-77-x", exact="words that stand nowhere at all")),
    ]
    store.save(Entry(annotation=said[0]).then("declined", "It is right as it is."), tmp_path / "review")
    store.add(said[1:], [], tmp_path / "review")
    page = render(sample, tmp_path / "x.html", reviews=tmp_path / "review").read_text(encoding="utf-8")
    assert page.count('class="note declined"') == 1
    assert "It is right as it is." in page
    assert "Здесь ошибка." in page
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;[U+202E]" in page
    assert "its place is gone" in page
    assert "3 annotations: 2 open, 0 applied, 1 declined, 0 closed; 1 lost their place." in page


def test_a_verdict_is_on_the_front_page_and_says_that_it_is_stale(sample: Path, tmp_path: Path) -> None:
    said = Annotation.model_validate(
        item("Good.", element="front", motivation="assessing", **{"runbook:verdict": "approved"})
    )
    store.add([said], [], tmp_path / "review")
    page = render(sample, tmp_path / "x.html", reviews=tmp_path / "review").read_text(encoding="utf-8")
    assert "what was read has changed since" in page
    assert "not signed" in page


def test_a_note_knows_whether_it_speaks_of_everything() -> None:
    whole, part = notes.place(
        [Entry(annotation=annotation(element=e)) for e in ("front", "a")], {"front": "", "a": ""}, []
    ).all
    assert (whole.overall, part.overall) == (True, False)
