"""An edition's digest changes with everything that was read, and with nothing else."""

import json
from pathlib import Path

import pytest

from lib.core.state import ChapterState, RunState
from lib.report.review import edition

STATE = {"schema": 1, "id": "r", "profile": "sample", "mode": "plan", "started": "2026-11-24T10:00:00Z"}


def notebook(*sources: str) -> str:
    cells = [{"cell_type": "markdown", "id": f"c{n}", "metadata": {}, "source": text} for n, text in enumerate(sources)]
    cells.append(
        {"cell_type": "markdown", "id": "e", "metadata": {"tags": ["papermill-error-cell-tag"]}, "source": "x"}
    )
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("run/chapters", "runbook/profiles", "runbook/templates/nginx"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "run/chapters/01_a.ipynb").write_text(notebook("# A", "text"))
    (tmp_path / "run/evidence.jsonl").write_text("{}\n")
    (tmp_path / "runbook/profiles/sample.yml").write_text("title: Sample\n")
    (tmp_path / "runbook/profiles/other.yml").write_text("title: Other\n")
    (tmp_path / "runbook/templates/nginx/site.conf").write_text("server {}\n")
    (tmp_path / "runbook/templates/logo.png").write_bytes(b"\x89PNG\xff")
    return tmp_path


def read(root: Path) -> edition.Edition:
    state = RunState.model_validate(STATE | {"chapters": [ChapterState(id="01", title="A", stem="01_a")]})
    return edition.of_run(root / "run", state, root)


def test_it_holds_the_cells_of_the_chapters_and_the_files_that_reach_a_host(root: Path) -> None:
    found = read(root)
    assert [(text.path, text.cell, text.kind) for text in found.texts] == [
        ("notebooks/01_a.ipynb", "c0", "markdown"),
        ("notebooks/01_a.ipynb", "c1", "markdown"),
        ("runbook/profiles/sample.yml", "", "file"),
        ("runbook/templates/nginx/site.conf", "", "file"),
    ]
    assert found.of("notebooks/01_a.ipynb", "c1") == found.texts[1]
    assert found.of("notebooks/01_a.ipynb", "none") is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run/evidence.jsonl", "{}\n{}\n"),
        ("run/chapters/01_a.ipynb", notebook("# A", "other")),
        ("runbook/profiles/sample.yml", "title: Sample 2\n"),
        ("runbook/templates/nginx/site.conf", "server { }\n"),
        ("runbook/templates/nginx/new.conf", ""),
    ],
)
def test_whatever_was_read_changes_the_digest(root: Path, file: str, content: str) -> None:
    before = read(root).digest
    assert read(root).digest == before
    (root / file).write_text(content)
    assert read(root).digest != before


def test_what_was_not_read_does_not(root: Path) -> None:
    before = read(root).digest
    (root / "runbook/profiles/other.yml").write_text("title: Changed\n")
    (root / "run/report.html").write_text("page")
    assert read(root).digest == before


def test_a_run_without_evidence_or_notebooks_has_an_edition_too(root: Path) -> None:
    (root / "run/evidence.jsonl").unlink()
    (root / "run/chapters/01_a.ipynb").unlink()
    assert len(read(root).texts) == 2
