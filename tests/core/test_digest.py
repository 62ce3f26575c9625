"""Digests: what changes a chapter's result changes its digest, and nothing else does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib.core import digest, fingerprint, notebook, paths, profile

MakeChapter = Callable[..., Path]


def value(path: Path, overrides: dict[str, object] | None = None, mode: str = "plan", **needs: str) -> str:
    return digest.chapter_digest(notebook.Source(path), profile.load("embedded", overrides), mode, needs)


def test_the_same_inputs_give_the_same_digest(make_chapter: MakeChapter) -> None:
    path = make_chapter("05", "1 + 1")
    assert value(path) == value(path)


def test_every_input_counts(make_chapter: MakeChapter, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_chapter("05", "1 + 1")
    before = value(path)
    assert value(path, {"batching.repeats": 7}) != before, "profile"
    assert value(path, mode="apply") != before, "mode"
    assert value(path, **{"04": "abc"}) != before, "earlier chapters"
    assert value(make_chapter("05", "1 + 2")) != before, "notebook"
    make_chapter("05", "1 + 1")
    monkeypatch.setattr(fingerprint, "facts", lambda: {"cpu": "another"})
    assert value(path) != before, "machine"


def test_what_the_owner_pays_is_an_input_of_the_last_chapter_only(make_chapter: MakeChapter) -> None:
    path, last = make_chapter("05", "1 + 1"), make_chapter("99", "1 + 1", last=True)
    before, before_last = value(path), value(last)
    assert value(path, {"costs.tariff_day": 5.0}) == before
    assert value(last, {"costs.tariff_day": 5.0}) != before_last


def test_the_closure_follows_imports(tmp_path: Path) -> None:
    package = tmp_path / "lib" / "core"
    package.mkdir(parents=True)
    for name in ("lib/__init__.py", "lib/core/__init__.py", "lib/core/unused.py"):
        (tmp_path / name).write_text("")
    (package / "a.py").write_text("from lib.core import b\n")
    (package / "b.py").write_text("import lib.core.c\nimport json\n")
    (package / "c.py").write_text("def f() -> None:\n    from lib.core.a import x\n")
    found = digest.closure("%matplotlib inline\nfrom lib.core.a import thing", tmp_path)
    assert sorted(path.name for path in found) == ["__init__.py", "__init__.py", "a.py", "b.py", "c.py"]


def test_what_only_the_document_shows_is_no_input(
    make_chapter: MakeChapter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, data = make_chapter("05", "1 + 1"), tmp_path / "runbook"
    data.mkdir()
    (data / "models.yml").write_text("models: {}")
    monkeypatch.setattr(paths, "RUNBOOK", data)
    before = value(path)
    (data / "published.yml").write_text("figures: []")
    (data / "claims.yml").write_text("claims: []")
    for name in ("reference/h200/evidence.jsonl", "report/style.css", "runs/x/run.json"):
        (data / name).parent.mkdir(parents=True)
        (data / name).write_text("{}")
    assert value(path) == before
    (data / "smoke.yml").write_text("questions: []")
    assert value(path) != before
