"""A correction as a patch: shown as a diff, refused when its text has moved on, written whole, committed alone."""

import ast
import difflib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateSyntaxError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lib.core import paths, profile
from lib.core.errors import RefusedError, RunbookError
from lib.core.state import replace
from lib.report.review import store
from lib.report.review.annotation import visible
from lib.report.review.edition import Text
from lib.report.review.store import Entry


@dataclass(frozen=True)
class Patch:
    """A correction against the text that stands there now.

    Parameters
    ----------
    entry : Entry
        The annotation.
    now : Text
        The text as it is; its digest is that of the text that the reviewer saw.
    after : str
        The text as the reviewer wants it.
    """

    entry: Entry
    now: Text
    after: str

    @property
    def diff(self) -> str:
        """A unified diff, with marks of direction made visible."""
        name = f"{self.now.path}#{self.now.cell}" if self.now.cell else self.now.path
        lines = difflib.unified_diff(
            self.now.text.splitlines(), self.after.splitlines(), f"a/{name}", f"b/{name}", lineterm=""
        )
        return visible("\n".join(lines))


def patch(entry: Entry, root: Path = paths.ROOT) -> Patch:
    """Return the patch that an annotation asks for.

    Raises
    ------
    RunbookError
        It corrects nothing, or its file or cell is gone.
    RefusedError
        It was settled before, or the text is no longer the one that the reviewer read.
    """
    annotation, number = entry.annotation, entry.annotation.number
    if annotation.corrects is None or annotation.replacement is None:
        raise RunbookError(
            f"annotation {number} corrects no text", fix=f"python -m lib review reply {number} WORDS, or close"
        )
    if entry.state != "open":
        raise RefusedError(f"annotation {number} is {entry.state} already", fix="python -m lib review list")
    now = _text(root, annotation.corrects.path, annotation.corrects.cell)
    if now.sha256 != annotation.corrects.sha256:
        raise RefusedError(
            f"the text that annotation {number} corrects has changed since it was read",
            where=f"{now.path} {now.cell}".strip(),
            fix=f"edit it by hand after python -m lib review show {number}, then review close {number}",
        )
    after = _ending_as(annotation.replacement.replace("\r\n", "\n"), now.text)
    if after == now.text:
        raise RunbookError(f"annotation {number} changes nothing", fix=f"python -m lib review close {number}")
    return Patch(entry, now, after)


def apply(wanted: Patch, root: Path = paths.ROOT, folder: Path = store.FOLDER) -> str:
    """Write a correction, commit it alone with the reviewer's words, and return the commit.

    What would not be valid there is not written; when the commit fails, the file is as it was.

    Raises
    ------
    RunbookError
        The corrected text is not valid there, or git refuses.
    RefusedError
        The file has changes that are not committed.
    """
    file = root / wanted.now.path
    if _git(root, "status", "--porcelain", "--", wanted.now.path):
        raise RefusedError(
            "the file has changes that are not committed",
            where=wanted.now.path,
            fix=f"git commit -- {wanted.now.path}, or git stash",
        )
    before = file.read_bytes()
    _check(wanted)
    replace(file, _content(before, wanted))
    settled = folder / f"{wanted.entry.annotation.number}.json"
    told = settled.read_bytes() if settled.exists() else None
    try:
        _validate(wanted, root)
        store.save(wanted.entry.then("applied"), folder)
        _git(root, "add", "--", wanted.now.path, str(settled))
        _git(root, "commit", "--quiet", "--message", message(wanted.entry), "--", wanted.now.path, str(settled))
    except BaseException:
        replace(file, before)
        if told is not None:
            replace(settled, told)
        _reset(root, wanted.now.path, str(settled))
        raise
    return _git(root, "rev-parse", "--short", "HEAD").strip()


def message(entry: Entry) -> str:
    """Return the commit's message: the reviewer's words, and what leads back to the annotation."""
    annotation = entry.annotation
    words = annotation.words.strip() or "a correction without words"
    first = words.splitlines()[0]
    title = first if len(first) <= 60 else f"{first[:59]}…"
    corrected = annotation.corrects.path if annotation.corrects else ""
    return (
        f"Review: {title}\n\n{words}\n\n"
        f"Annotation: {annotation.id}\nReviewer: {annotation.creator.name}\nCorrects: {corrected}\n"
    )


def commit_of(entry: Entry, root: Path = paths.ROOT) -> str:
    """Return the short commit that applied an annotation, or the empty string."""
    try:
        return _git(
            root, "log", "-1", "--format=%h", "--fixed-strings", f"--grep=Annotation: {entry.annotation.id}"
        ).strip()
    except RunbookError:
        return ""


def _text(root: Path, path: str, cell: str) -> Text:
    try:
        content = (root / path).read_text(encoding="utf-8")
    except OSError as error:
        raise RunbookError(f"cannot read what is corrected: {error.strerror}", where=path) from error
    if not cell:
        return Text(path, "", content)
    for found in json.loads(content)["cells"]:
        if found.get("id") == cell:
            return Text(path, cell, "".join(found["source"]), found["cell_type"])
    raise RunbookError(f"no cell '{cell}' any more", where=path, fix="edit the notebook by hand, then close it")


def _content(before: bytes, wanted: Patch) -> bytes:
    if not wanted.now.cell:
        return wanted.after.encode()
    notebook: dict[str, Any] = json.loads(before)
    for cell in notebook["cells"]:
        if cell.get("id") == wanted.now.cell:
            kept = isinstance(cell["source"], str)  # a notebook may hold a text whole or by lines
            cell["source"] = wanted.after if kept else wanted.after.splitlines(keepends=True)
    return (json.dumps(notebook, ensure_ascii=False, indent=1) + "\n").encode()


def _ending_as(text: str, model: str) -> str:
    """End a text as another one ends: a text field of a page keeps no last line break."""
    bare = text.rstrip("\n")
    return bare + model[len(model.rstrip("\n")) :]


def _check(wanted: Patch) -> None:
    """Refuse code, templates and YAML that cannot be read."""
    path, number = wanted.now.path, wanted.entry.annotation.number
    try:
        if path.endswith((".yml", ".yaml")) and "/templates/" not in path:
            YAML(typ="safe", pure=True).load(wanted.after)
        elif "/templates/" in path:
            Environment(autoescape=False).parse(wanted.after)  # noqa: S701  # parsed, never rendered
        elif wanted.now.kind == "code":
            ast.parse(wanted.after)
    except (SyntaxError, TemplateSyntaxError, YAMLError) as error:
        first = str(error).splitlines()[0]
        raise RunbookError(
            f"correction {number} cannot be read: {first}",
            where=path,
            fix=f"python -m lib review decline {number} WORDS, or ask the reviewer for another one",
        ) from error


def _validate(wanted: Patch, root: Path) -> None:
    """Load what was written as the runbook itself does."""
    path = root / wanted.now.path
    if wanted.now.path.startswith("runbook/profiles/"):
        profile.load(path.stem, folder=path.parent)


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RunbookError("git is not installed", fix="sudo apt-get install -y git") from error
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip() or "no words").splitlines()
        raise RunbookError(f"git {words[0]}: {told[-1]}", fix="git status; git config user.name and user.email")
    return done.stdout


def _reset(root: Path, *files: str) -> None:
    subprocess.run(["git", "reset", "--quiet", "--", *files], cwd=root, capture_output=True, check=False)
