"""A run's folder as a Workflow Run RO-Crate: what was carried out, when, with what result, and every file's SHA-256."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from lib.core.state import ChapterState, RunState
from lib.report.seal import crate_terms as terms
from lib.report.seal.crate_terms import Ref, refs

NAME = "ro-crate-metadata.json"
WORKFLOW = "workflow.sh"
_FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".log": "text/plain",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".sh": "application/x-sh",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".yml": "application/yaml",
}
_LICENSE = "No licence is granted: what is in this folder belongs to whoever made the run."
_OWNER, _RUNBOOK, _SHELL = "#owner", "#runbook", "#sh"
_RUN, _ENGINE_RUN = "#run", "#runbook-run"
_EXECUTED = ("passed", "failed", "interrupted")


@dataclass(frozen=True)
class Entry:
    """A file of the folder: its bytes, counted and digested."""

    size: int
    sha256: str


def workflow(state: RunState) -> str:
    """Return a shell script that runs the same chapters again, with the same settings."""
    words = ["python", "-m", "lib", "run", "--profile", state.profile, "--mode", state.mode]
    words += ["--only", ",".join(chapter.id for chapter in state.chapters)]
    for key, value in state.overrides.items():
        words += ["--set", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    told = "# Runs the chapters of this run again; to be started in the project's folder, in its environment."
    return f"#!/bin/sh\n{told}\nexec {shlex.join(words)}\n"


def make(run: Path, state: RunState, files: Mapping[str, Entry]) -> dict[str, Any]:
    """Return the content of `ro-crate-metadata.json`.

    Parameters
    ----------
    run : Path
        The run's folder: the executed notebooks tell when each began and ended.
    state : RunState
        Its state.
    files : mapping of str to Entry
        Every file of the folder but the crate itself and the seal, the workflow file among them.
    """
    ends = state.started + timedelta(seconds=state.seconds)
    chapters = [chapter for chapter in state.chapters if chapter.status in _EXECUTED]
    return terms.document(
        [
            *_about(state, ends, files, chapters),
            *_workflow(state, files[WORKFLOW]),
            *_inputs(state),
            *(entity for position, chapter in enumerate(state.chapters, 1) for entity in _plan(chapter, position)),
            *_whole(state, ends, files, chapters),
            *(entity for chapter in chapters for entity in _done(run, chapter, files)),
            *(_file(name, entry) for name, entry in sorted(files.items()) if name != WORKFLOW),
        ]
    )


def listed(content: bytes) -> dict[str, str]:
    """Return the files of a crate, each with its SHA-256.

    Raises
    ------
    ValueError
        It is no crate of the form that `make` writes.
    """
    try:
        graph = json.loads(content)["@graph"]
        found = [entity for entity in graph if "File" in _types(entity)]
        files = {unquote(entity["@id"]): str(entity["sha256"]) for entity in found}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no crate: {error}") from error
    if len(files) != len(found):
        raise ValueError("no crate: a file is listed twice")
    return files


def _types(entity: Mapping[str, Any]) -> list[str]:
    kind = entity["@type"]
    return [kind] if isinstance(kind, str) else list(kind)


def _about(
    state: RunState, ends: datetime, files: Mapping[str, Entry], chapters: Sequence[ChapterState]
) -> Iterator[terms.Entity]:
    yield terms.Descriptor(
        id=NAME, type="CreativeWork", about=Ref(id="./"), conforms_to=refs([terms.CRATE, terms.WORKFLOW_CRATE])
    )
    yield terms.Root(
        id="./",
        type="Dataset",
        name=f"Run {state.id} of the Inference Runbook",
        description="What was checked, measured and decided, the raw files that it rests on, and the document. "
        "The folder `seal` holds an attestation over every file, this one included; it is not listed here.",
        conforms_to=refs(list(terms.PROFILES)),
        date_published=ends,
        license=_LICENSE,
        has_part=refs([_id(name) for name in sorted(files)]),
        main_entity=Ref(id=WORKFLOW),
        mentions=refs([_ENGINE_RUN, _RUN, *(_action(chapter) for chapter in chapters)]),
    )
    for address, (name, version) in terms.PROFILES.items():
        yield terms.Plain(id=address, type="CreativeWork", name=name, version=version)
    yield terms.Plain(id=_OWNER, type="Person", name="The owner of the machine")
    yield terms.Plain(id=_SHELL, type="ComputerLanguage", name="POSIX shell")
    yield terms.Software(
        id=_RUNBOOK, type="SoftwareApplication", name="Inference Runbook", description="python -m lib run"
    )


def _workflow(state: RunState, entry: Entry) -> Iterator[terms.Entity]:
    yield terms.Workflow(
        id=WORKFLOW,
        type=["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        name="The chapters of this run, in order",
        content_size=str(entry.size),
        sha256=entry.sha256,
        encoding_format=_FORMATS[".sh"],
        programming_language=Ref(id=_SHELL),
        input=refs([f"#input-{name}" for name in ("profile", "mode", "only", *(["set"] if state.overrides else []))]),
        has_part=refs([_tool(chapter) for chapter in state.chapters]),
        step=refs([_step(chapter) for chapter in state.chapters]),
    )


def _inputs(state: RunState) -> Iterator[terms.Entity]:
    told = [("profile", "profile", state.profile), ("mode", "mode", state.mode)]
    told.append(("only", "only", ",".join(chapter.id for chapter in state.chapters)))
    told += [("set", key, json.dumps(value, ensure_ascii=False)) for key, value in state.overrides.items()]
    for name in dict.fromkeys(parameter for parameter, _, _ in told):
        yield terms.Parameter(id=f"#input-{name}", type="FormalParameter", name=f"--{name}")
    for parameter, name, value in told:
        yield terms.Value(
            id=_value(name),
            type="PropertyValue",
            name=name,
            value=value,
            example_of_work=Ref(id=f"#input-{parameter}"),
        )


def _plan(chapter: ChapterState, position: int) -> Iterator[terms.Entity]:
    yield terms.Software(
        id=_tool(chapter),
        type="SoftwareSourceCode",
        name=f"{chapter.id} {chapter.title}",
        description=f"notebooks/{chapter.stem}.ipynb; its version stands for everything that its result depends on",
        version=chapter.digest or None,
    )
    yield terms.Step(
        id=_step(chapter), type="HowToStep", name=chapter.title, work_example=Ref(id=_tool(chapter)), position=position
    )


def _whole(
    state: RunState, ends: datetime, files: Mapping[str, Entry], chapters: Sequence[ChapterState]
) -> Iterator[terms.Entity]:
    """Yield the run as a whole, and the runbook's part in it."""
    broken = [f"{chapter.id} {chapter.status}" for chapter in state.chapters if chapter.status != "passed"]
    done = state.complete and not broken
    inputs = [_value(name) for name in ("profile", "mode", "only", *state.overrides)]
    yield terms.Action(
        id=_RUN,
        type="CreateAction",
        name=f"Run {state.id}",
        instrument=Ref(id=WORKFLOW),
        object=refs(inputs),
        result=refs([_id(name) for name in sorted(files) if "/" not in name and name != WORKFLOW]),
        agent=Ref(id=_OWNER),
        start_time=state.started,
        end_time=ends,
        action_status=terms.status(done),
        error=None if done else ", ".join(broken) or "it was cut short",
    )
    yield terms.Action(
        id=_ENGINE_RUN,
        type="OrganizeAction",
        name="The runbook carries out its chapters",
        instrument=Ref(id=_RUNBOOK),
        object=refs([_control(chapter) for chapter in chapters]),
        result=Ref(id=_RUN),
        agent=Ref(id=_OWNER),
        start_time=state.started,
    )


def _done(run: Path, chapter: ChapterState, files: Mapping[str, Entry]) -> Iterator[terms.Entity]:
    """Yield a chapter's execution and the step that it was."""
    started, ended = _times(run / "chapters" / f"{chapter.stem}.ipynb")
    passed = chapter.status == "passed"
    outcome, why = terms.status(passed), None if passed else chapter.error or chapter.status
    own = (f"chapters/{chapter.stem}.", f"artifacts/{chapter.stem}/")
    yield terms.Action(
        id=_action(chapter),
        type="CreateAction",
        name=f"Chapter {chapter.id}, {chapter.title}",
        description="Taken from an earlier run: nothing it depends on has changed" if chapter.reused else None,
        instrument=Ref(id=_tool(chapter)),
        result=refs([_id(name) for name in sorted(files) if name.startswith(own)]),
        agent=Ref(id=_OWNER),
        start_time=started,
        end_time=ended,
        action_status=outcome,
        error=why,
    )
    yield terms.Action(
        id=_control(chapter),
        type="ControlAction",
        name=f"Step {chapter.id}",
        instrument=Ref(id=_step(chapter)),
        object=Ref(id=_action(chapter)),
        action_status=outcome,
        error=why,
    )


def _times(notebook: Path) -> tuple[datetime | None, datetime | None]:
    """Return when a notebook's execution began and ended, as it says itself."""
    try:
        told = json.loads(notebook.read_bytes())["metadata"]["papermill"]
        started, ended = (told.get(key) for key in ("start_time", "end_time"))
        return (
            datetime.fromisoformat(started) if started else None,
            datetime.fromisoformat(ended) if ended else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, None


def _file(name: str, entry: Entry) -> terms.DataFile:
    return terms.DataFile(
        id=_id(name),
        type="File",
        name=name,
        content_size=str(entry.size),
        sha256=entry.sha256,
        encoding_format=_FORMATS.get(PurePosixPath(name).suffix),
    )


def _id(name: str) -> str:
    """Return a file's name as the relative address that a crate wants."""
    return quote(name, safe="/")


def _tool(chapter: ChapterState) -> str:
    return f"#notebook-{quote(chapter.stem)}"


def _step(chapter: ChapterState) -> str:
    return f"#step-{chapter.id}"


def _action(chapter: ChapterState) -> str:
    return f"#chapter-{chapter.id}"


def _control(chapter: ChapterState) -> str:
    return f"#control-{chapter.id}"


def _value(name: str) -> str:
    return f"#value-{quote(name)}"
