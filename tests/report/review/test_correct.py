"""A correction becomes one commit, or nothing at all."""

import json
import subprocess
from pathlib import Path

import pytest
from report.review.reviews import annotation, correction

from lib.core import paths
from lib.core.errors import RefusedError, RunbookError
from lib.report.review import correct, store
from lib.report.review.annotation import Annotation
from lib.report.review.store import Entry

NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# Power\n", "\n", "At 600 W."]},
        {"cell_type": "code", "id": "look", "metadata": {}, "outputs": [], "source": ["limit = 600"]},
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
PROFILE = "title: Sample\nextends: embedded\nbatching: {repeats: 3}\n"
TEMPLATE = "[Service]\nUser={{ user }}\n"


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    for name in ("notebooks", "runbook/profiles", "runbook/templates", "runbook/review"):
        (project / name).mkdir(parents=True)
    (project / "notebooks/01_power.ipynb").write_text(json.dumps(NOTEBOOK, indent=1) + "\n")
    (project / "runbook/profiles/sample.yml").write_text(PROFILE)
    (project / "runbook/profiles/embedded.yml").write_bytes((paths.PROFILES / "embedded.yml").read_bytes())
    (project / "runbook/templates/a.service.j2").write_text(TEMPLATE)
    git(project, "init", "--quiet")
    git(project, "config", "user.name", "Owner")
    git(project, "config", "user.email", "owner@example.org")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "Start")
    return project


def entry(root: Path, *args: str, cell: str = "") -> Entry:
    made = Entry(annotation=Annotation.model_validate(correction(*args, cell=cell)))
    store.save(made, root / "runbook/review")
    return made


def apply(root: Path, made: Entry) -> str:
    return correct.apply(correct.patch(made, root), root, root / "runbook/review")


def test_a_cell_is_corrected_in_one_commit_and_nothing_else_changes(root: Path) -> None:
    made = entry(root, "notebooks/01_power.ipynb", "# Power\n\nAt 600 W.", "# Power\n\nAt 450 W.", cell="title")
    assert correct.patch(made, root).diff.splitlines()[-2:] == ["-At 600 W.", "+At 450 W."]
    commit = apply(root, made)
    notebook = json.loads((root / "notebooks/01_power.ipynb").read_text())
    assert "".join(notebook["cells"][0]["source"]) == "# Power\n\nAt 450 W."
    assert notebook["cells"][1] == NOTEBOOK["cells"][1]
    changed = git(root, "diff", "--numstat", "HEAD~1", "--", "notebooks")
    assert changed.split()[:2] == ["1", "1"]
    assert git(root, "show", "-s", "--format=%s", "HEAD").strip() == "Review: Like this."
    assert git(root, "status", "--porcelain") == ""
    settled = store.get(made.annotation.number, root / "runbook/review")
    assert settled.state == "applied"
    assert correct.commit_of(settled, root) == commit


def test_every_notebook_of_the_house_keeps_its_form(tmp_path: Path) -> None:
    """Writing a notebook back unchanged gives the same bytes: a correction's commit shows the correction alone."""
    for notebook in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        before = notebook.read_bytes()
        cell = json.loads(before)["cells"][0]
        now = correct.Text(f"notebooks/{notebook.name}", cell["id"], "".join(cell["source"]), cell["cell_type"])
        same = correct.Patch(Entry(annotation=annotation()), now, now.text)
        assert correct._content(before, same) == before, notebook.name


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("runbook/profiles/sample.yml", PROFILE, PROFILE.replace("3", "5")),
        ("runbook/templates/a.service.j2", TEMPLATE, TEMPLATE + "Restart=always\n"),
    ],
)
def test_a_profile_and_a_template_are_corrected(root: Path, path: str, before: str, after: str) -> None:
    apply(root, entry(root, path, before, after.rstrip("\n")))
    assert (root / path).read_text() == after


@pytest.mark.parametrize(
    ("path", "cell", "before", "after", "what"),
    [
        ("runbook/profiles/sample.yml", "", PROFILE, "title: [", "cannot be read"),
        ("runbook/profiles/sample.yml", "", PROFILE, PROFILE.replace("repeats", "repeat"), "repeat"),
        ("runbook/profiles/sample.yml", "", PROFILE, PROFILE.replace("3", "-3"), "repeats"),
        ("runbook/templates/a.service.j2", "", TEMPLATE, "User={{ user", "cannot be read"),
        ("notebooks/01_power.ipynb", "look", "limit = 600", "limit = = 6", "cannot be read"),
    ],
)
def test_what_would_not_be_valid_is_not_written(
    root: Path, path: str, cell: str, before: str, after: str, what: str
) -> None:
    made = entry(root, path, before, after, cell=cell)
    content = (root / path).read_bytes()
    with pytest.raises(RunbookError, match=what):
        apply(root, made)
    assert (root / path).read_bytes() == content
    assert store.get(made.annotation.number, root / "runbook/review").state == "open"
    assert git(root, "log", "--oneline").count("\n") == 1


def test_a_text_that_moved_on_is_refused(root: Path) -> None:
    made = entry(root, "runbook/profiles/sample.yml", PROFILE + "# older\n", "title: Other\n")
    with pytest.raises(RefusedError, match="has changed since it was read"):
        correct.patch(made, root)


def test_a_file_with_changes_of_its_own_is_refused(root: Path) -> None:
    made = entry(root, "runbook/templates/a.service.j2", TEMPLATE, "[Service]\n")
    wanted = correct.patch(made, root)
    (root / "runbook/templates/a.service.j2").write_text("mine\n")
    with pytest.raises(RefusedError, match="not committed"):
        correct.apply(wanted, root, root / "runbook/review")
    assert (root / "runbook/templates/a.service.j2").read_text() == "mine\n"


def test_a_commit_that_fails_leaves_everything_as_it_was(root: Path) -> None:
    made = entry(root, "runbook/templates/a.service.j2", TEMPLATE, "[Service]\n")
    hook = root / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho refused by a hook >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RunbookError, match="refused by a hook"):
        apply(root, made)
    assert (root / "runbook/templates/a.service.j2").read_text() == TEMPLATE
    assert git(root, "diff", "--cached", "--name-only") == ""
    assert store.get(made.annotation.number, root / "runbook/review").state == "open"


def test_what_was_settled_or_corrects_nothing_or_is_gone_is_refused(root: Path) -> None:
    made = entry(root, "runbook/templates/a.service.j2", TEMPLATE, "[Service]\n")
    with pytest.raises(RefusedError, match="declined already"):
        correct.patch(made.then("declined"), root)
    with pytest.raises(RunbookError, match="corrects no text"):
        correct.patch(Entry(annotation=annotation()), root)
    with pytest.raises(RunbookError, match="changes nothing"):
        correct.patch(entry(root, "runbook/templates/a.service.j2", TEMPLATE, TEMPLATE), root)
    with pytest.raises(RunbookError, match="no cell"):
        correct.patch(entry(root, "notebooks/01_power.ipynb", "a", "b", cell="gone"), root)
    with pytest.raises(RunbookError, match="cannot read"):
        correct.patch(entry(root, "runbook/templates/gone", "a", "b"), root)
