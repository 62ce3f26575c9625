"""What is sent to a reviewer: the document with its annotator, an archive of the evidence, and a post to find one."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lib.core import evidence, paths
from lib.core.errors import RunbookError
from lib.core.evidence import AnyRecord, Check, Decision
from lib.core.state import RunState, read_state, replace
from lib.report import summary
from lib.report.render import render

LANGUAGES = ("en", "ru")
ARCHIVED = ("run.json", "evidence.jsonl", "chapters", "artifacts")
MOST_QUESTIONS = 12


def write(run: Path, out: Path | None = None) -> list[Path]:
    """Write the pack of a run and return its files: one HTML, one archive, a post in English and in Russian.

    Raises
    ------
    RunbookError
        The folder holds no run, or the pack's folder cannot be written.
    """
    run = run.resolve()
    state, records = read_state(run), evidence.read(run / "evidence.jsonl")
    folder = out or run.parent / f"{state.id}-review"  # beside the run's folder, which is sealed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [render(run, folder / f"{state.id}.html"), _archive(run, folder / f"{state.id}-evidence.tar.gz")]
        for language in LANGUAGES:
            post = folder / f"post.{language}.md"
            replace(post, _post(language, state, records).encode())
            files.append(post)
    except OSError as error:
        raise RunbookError(f"cannot write: {error.strerror}", where=paths.short(folder), fix="--out FOLDER") from error
    return files


def _archive(run: Path, file: Path) -> Path:
    aside = file.with_name(f"{file.name}.new")
    with tarfile.open(aside, "w:gz", compresslevel=6) as archive:
        for name in ARCHIVED:
            if (run / name).exists():
                archive.add(run / name, f"{run.name}/{name}", filter=_nobody)
    aside.replace(file)
    return file


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out whose files they were, and what is neither a file nor a folder."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member if member.isfile() or member.isdir() else None


def _post(language: str, state: RunState, records: Sequence[AnyRecord]) -> str:
    open_checks = [found for _, group in summary.still_open(records) for found in group if found.status != "skip"]
    environment = Environment(
        loader=FileSystemLoader(paths.REPORT_TEMPLATE),
        autoescape=False,  # noqa: S701  # Markdown to be pasted, not a page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    decisions = [record for record in records if isinstance(record, Decision)]
    return environment.get_template(f"post.{language}.md").render(
        state=state,
        checks=[_short(check) for check in open_checks[:MOST_QUESTIONS]],
        more=max(0, len(open_checks) - MOST_QUESTIONS),
        decisions=[decision.choice.rstrip(".") for decision in decisions][:MOST_QUESTIONS],
        chapters=[chapter for chapter in state.chapters if chapter.status == "passed"],
    )


def _short(check: Check) -> str:
    return f"{check.title or check.name}: {check.observed}".splitlines()[0][:200]
