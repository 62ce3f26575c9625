"""A run: chapters in order, each executed or reused, its state on disk at every moment so that it can resume."""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from lib.core import evidence, fingerprint, graph, lock, notebook, paths, timings
from lib.core.chapter import Mode
from lib.core.digest import chapter_digest
from lib.core.errors import Exit, RunbookError
from lib.core.execute import execute
from lib.core.progress import Progress
from lib.core.sections import Profile
from lib.core.state import ChapterState, RunState, earlier, point, replace


class Run:
    """Executes the chosen chapters for one profile and mode."""

    def __init__(
        self,
        profile: Profile,
        mode: Mode = "plan",
        overrides: Mapping[str, Any] | None = None,
        only: Sequence[str] = (),
        start: str = "",
        fresh: bool = False,
        runs: Path = paths.RUNS,
        notebooks: Path = paths.NOTEBOOKS,
        quiet: bool = False,
    ) -> None:
        self.profile, self.mode, self.overrides = profile, mode, dict(overrides or {})
        self.fresh, self.runs = fresh, runs
        self.sources = graph.select(notebook.sources(notebooks), only, start)
        for source in self.sources:
            source.check_parameters()
        if not self.sources:
            raise RunbookError("there is no chapter to run", where=paths.short(notebooks))
        self.progress = Progress(len(self.sources), quiet)
        self.folder = runs
        self.state = self._new_state()
        self._known: list[tuple[Path, RunState]] = []

    def execute(self) -> Exit:
        """Run everything and return the exit code; the state on disk is true at every moment."""
        with lock.only_run(self.runs), _interruptible():
            self._enter()
            started = time.monotonic() - self.state.seconds
            try:
                for source in self.sources:
                    self._chapter(source)
                    self.state.seconds = round(time.monotonic() - started, 2)
                    self._save()
            except KeyboardInterrupt:
                self._interrupted(started)
                return Exit.INTERRUPTED
            finally:
                self.progress.stop()
            self.state.complete = True
            self._save()
        failed = any(chapter.status in ("failed", "skipped") for chapter in self.state.chapters)
        return Exit.FAILED if failed or self.state.checks.get("fail") else Exit.GREEN

    def _new_state(self) -> RunState:
        now = datetime.now(UTC)
        known = timings.load(self.runs).get(self.profile.name, {})
        chapters = [
            ChapterState(
                id=source.id,
                title=source.title,
                stem=source.stem,
                summary=source.summary,
                expected_seconds=known[source.id].seconds if source.id in known else source.metadata.minutes * 60,
            )
            for source in self.sources
        ]
        return RunState(
            id=f"{now:%Y-%m-%dT%H-%M-%S}-{self.profile.name}",
            profile=self.profile.name,
            mode=self.mode,
            started=now,
            chapters=chapters,
            profile_title=self.profile.title,
            overrides=self.overrides,
            host=fingerprint.facts(),
        )

    def _enter(self) -> None:
        """Make the run's folder, or take up the newest one if it was cut short in the same undertaking."""
        self._known = list(earlier(self.runs))
        unfinished = None if self.fresh else self._unfinished()
        if unfinished:
            self.state.id, self.state.started = unfinished.id, unfinished.started
            self.state.resumed, self.state.seconds = unfinished.resumed + 1, unfinished.seconds
            self.progress.say(f"resuming run {unfinished.id}, which was cut short")
        self.folder = self.runs / self.state.id
        (self.folder / "chapters").mkdir(parents=True, exist_ok=True)
        self._save()
        point(self.runs / "latest", self.state.id)

    def _unfinished(self) -> RunState | None:
        if not self._known or self._known[0][1].complete:
            return None
        state = self._known[0][1]
        same = (state.profile, state.mode, state.overrides) == (self.profile.name, self.mode, self.overrides)
        same_chapters = [c.id for c in state.chapters] == [source.id for source in self.sources]
        return state if same and same_chapters else None

    def _chapter(self, source: notebook.Source) -> None:
        entry = self._entry(source.id)
        self.progress.begin(f"{source.id} {source.title}", entry.expected_seconds)
        missing = [need for need in source.metadata.needs if self._entry(need).status != "passed"]
        if missing:
            entry.status, entry.error = "skipped", f"needs {', '.join(missing)}, which did not pass"
            self.progress.end("skipped", 0, entry.error)
            return
        entry.digest = self._digest(source)
        if not self.fresh and self._reuse(source, entry):
            self.progress.end("passed", 0, "unchanged, reused")
            return
        self._work(source, entry)
        note = entry.error.splitlines()[0][:160] if entry.error else ""
        self.progress.end(entry.status, entry.seconds, note)
        for check in self._failed(source.stem):
            self.progress.failed(check)

    def _failed(self, stem: str) -> list[evidence.Check]:
        return [found for found in self._records(stem) if isinstance(found, evidence.Check) and found.status == "fail"]

    def _work(self, source: notebook.Source, entry: ChapterState) -> None:
        shutil.rmtree(self.folder / "artifacts" / source.stem, ignore_errors=True)
        (self.folder / "chapters" / f"{source.stem}.jsonl").unlink(missing_ok=True)
        entry.status, entry.reused, entry.error = "running", False, ""
        self._save()
        started = time.monotonic()
        parameters = {
            "profile": self.profile.name,
            "mode": self.mode,
            "run": paths.short(self.folder),
            "overrides": self.overrides,
        }
        target = self.folder / "chapters" / f"{source.stem}.ipynb"
        entry.error = execute(source.path, target, parameters, self.progress.section)
        entry.seconds = round(time.monotonic() - started, 2)
        failed = self._failed(source.stem)
        if failed and not entry.error:
            names = ", ".join(check.name for check in failed)
            entry.error = f"{len(failed)} check{'s' if len(failed) > 1 else ''} failed: {names}"
        entry.status = "failed" if entry.error else "passed"
        if entry.status == "passed":
            timings.learn(self.runs, self.profile.name, source.id, entry.seconds)

    def _digest(self, source: notebook.Source) -> str:
        """Digest a chapter; one that runs last depends on every chapter before it."""
        before = [c.id for c in self.state.chapters if c.id != source.id] if source.metadata.last else []
        needs = {
            need: self._entry(need).digest + self._entry(need).status for need in [*source.metadata.needs, *before]
        }
        return chapter_digest(source, self.profile, self.mode, needs)

    def _reuse(self, source: notebook.Source, entry: ChapterState) -> bool:
        """Take a chapter from this run, cut short, or from an earlier one whose inputs were the same."""
        for folder, state in self._known:
            for known in state.chapters:
                if (known.id, known.digest, known.status) != (source.id, entry.digest, "passed"):
                    continue
                if not (folder / "chapters" / f"{source.stem}.ipynb").exists():
                    continue
                if folder != self.folder:
                    _copy_chapter(folder, self.folder, source.stem)
                entry.status, entry.reused = "passed", folder != self.folder
                entry.seconds = known.seconds
                return True
        return False

    def _records(self, stem: str) -> list[evidence.AnyRecord]:
        return evidence.read(self.folder / "chapters" / f"{stem}.jsonl")

    def _entry(self, chapter: str) -> ChapterState:
        return next(entry for entry in self.state.chapters if entry.id == chapter)

    def _save(self) -> None:
        """Write evidence.jsonl (the chapters that ended, in order) and run.json, each aside and renamed."""
        ended = [c for c in self.state.chapters if c.status in ("passed", "failed")]
        files = [self.folder / "chapters" / f"{c.stem}.jsonl" for c in ended]
        joined = b"".join(path.read_bytes() for path in files if path.exists())
        replace(self.folder / "evidence.jsonl", joined)
        records = [record for c in ended for record in self._records(c.stem)]
        self.state.checks = {str(status): count for status, count in evidence.count(records).items()}
        self._account(records)
        replace(self.folder / "run.json", self.state.model_dump_json(indent=1, by_alias=True).encode())

    def _account(self, records: Sequence[evidence.AnyRecord]) -> None:
        """Split the time that this run itself spent into the engine's own and the runbook's overhead."""
        worked = {c.id for c in self.state.chapters if c.status in ("passed", "failed") and not c.reused}
        self.state.engine_seconds = round(
            sum(
                record.value
                for record in records
                if isinstance(record, evidence.Measurement)
                and record.name == "run.engine_seconds"
                and record.provenance.chapter in worked
            ),
            2,
        )
        if self.state.seconds and self.state.engine_seconds:
            self.state.overhead_fraction = round(1 - self.state.engine_seconds / self.state.seconds, 3)

    def _interrupted(self, started: float) -> None:
        for entry in self.state.chapters:
            if entry.status == "running":
                entry.status, entry.error = "interrupted", "interrupted; the next run takes it up again"
        self.state.seconds = round(time.monotonic() - started, 2)
        self._save()
        self.progress.say("interrupted; everything that ended is kept, `python -m lib run` takes it up again")


def _copy_chapter(source: Path, target: Path, stem: str) -> None:
    """Bring a chapter's notebook, evidence and artifacts from an earlier run; hard links where the disk allows."""
    shutil.rmtree(target / "artifacts" / stem, ignore_errors=True)
    for name in (f"chapters/{stem}.ipynb", f"chapters/{stem}.jsonl"):
        if (source / name).exists():
            shutil.copy2(source / name, target / name)
    if (source / "artifacts" / stem).is_dir():
        shutil.copytree(source / "artifacts" / stem, target / "artifacts" / stem, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end a run as ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
