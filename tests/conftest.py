"""Shared by all tests: small chapters made on the spot, and a clean environment."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from lib.engine.serve import client

# A shared machine pauses at times; a slow example is no failure.
settings.register_profile("runbook", deadline=None)
settings.load_profile("runbook")

PARAMETERS = 'profile = "embedded"\nmode = "plan"\nrun = ""\noverrides = {}'
OPEN = "from lib.core.chapter import open_chapter\nfrom lib.core.evidence import Check, Measurement\n"
MakeChapter = Callable[..., Path]


SLOW = ("browser", "twins", "lab", "engine", "end_to_end")

# Started in the background of a script, or under nohup, a process is born deaf to ctrl-C or to the end of its terminal,
# and so are the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast tests first: a mistake shows within seconds, before any browser, engine or whole run starts."""
    items.sort(
        key=lambda item: max(
            (SLOW.index(mark.name) + 1 for mark in item.iter_markers() if mark.name in SLOW), default=0
        )
    )


class OneForTheTwins(LoadScopeScheduling):
    """Hands tests out one by one; those with virtual machines, which share an image and a folder, to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return "twins" if "twin" in Path(nodeid.partition("::")[0]).name else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneForTheTwins | None:
    """Take the place of xdist's own groups, which pytest 9.2 no longer sees: it keeps the name that a test had."""
    return OneForTheTwins(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(autouse=True)
def _no_recorded_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNBOOK_HOST", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _connections_closed() -> Iterator[None]:
    """Close what the one connection pool still holds; left to the interpreter's end it would be a warning."""
    yield
    client.http().close()


@pytest.fixture
def make_chapter(tmp_path: Path) -> MakeChapter:
    """Write a small chapter notebook into `tmp_path/notebooks` and return its path."""

    def make(
        chapter: str,
        *code: str,
        needs: Sequence[str] = (),
        last: bool = False,
        parameters: str | None = PARAMETERS,
        metadata: dict[str, Any] | None = None,
    ) -> Path:
        folder = tmp_path / "notebooks"
        folder.mkdir(exist_ok=True)
        opening = (
            f'{OPEN}chapter = open_chapter("{chapter}", profile, mode, run, overrides, '
            f"folder=__import__('pathlib').Path({str(folder)!r}))"
        )
        cells = [nbformat.v4.new_markdown_cell(f"# Chapter {chapter}\n\nWhat it gives.")]
        if parameters is not None:
            cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        cells.append(nbformat.v4.new_code_cell(opening))
        cells += [nbformat.v4.new_code_cell(source) for source in code]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook.metadata["runbook"] = metadata or {
            "needs": list(needs),
            "minutes": 0.05,
            "risk": "none",
            "changes": "nothing",
            "undo": "nothing",
            "last": last,
        }
        path = folder / f"{chapter}_test.ipynb"
        path.write_text(json.dumps(notebook))
        return path

    return make
