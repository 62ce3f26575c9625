"""A chapter at work: what a notebook holds in its hand while it runs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from lib.core import display, evidence, fingerprint, notebook, paths
from lib.core import profile as profiles
from lib.core.errors import RunbookError, nearest
from lib.core.evidence import AnyRecord, Artifact, Check, Measurement, Record
from lib.core.sections import Profile

Weights = Literal["real", "random", ""]
Mode = Literal["plan", "rehearse", "apply"]
MODES: tuple[Mode, ...] = ("plan", "rehearse", "apply")
R = TypeVar("R", bound=Record)


class Chapter:
    """One chapter of one run: its profile, its evidence, its artifacts.

    Open it with `open_chapter`; a notebook then records what it finds and shows what it recorded.
    """

    def __init__(self, source: notebook.Source, profile: Profile, mode: Mode, run: Path, headless: bool) -> None:
        self.source = source
        self.profile = profile
        self.mode = mode
        self.run = run
        self.headless = headless
        self.id = source.id
        self.records_file = run / "chapters" / f"{source.stem}.jsonl"
        self.artifacts = run / "artifacts" / source.stem
        self.records: list[Record] = []
        self._host = fingerprint.host_id()
        self._engine = fingerprint.engine_version()

    def record(
        self,
        *records: R,
        artifacts: Sequence[Path] = (),
        command: str = "",
        model: str = "",
        weights: Weights = "",
    ) -> tuple[R, ...]:
        """Write records with their provenance to the chapter's evidence, and return them as written.

        A record that already names another place (`recorded`, `lab`, `cited`) keeps it.
        """
        raw: list[Artifact] = [
            Artifact(path=str(path.relative_to(self.run)), sha256=evidence.sha256(path)) for path in artifacts
        ]
        written = tuple(self._stamped(item, raw, command, model, weights) for item in records)
        evidence.append(self.records_file, written)
        self.records.extend(written)
        return written

    def _stamped(self, item: R, raw: list[Artifact], command: str, model: str, weights: Weights) -> R:
        known = item.provenance
        ours = known.where != "cited"  # a cited figure came from somebody else's host and engine
        stamp = {
            "chapter": self.id,
            "host": self._host if ours else known.host,
            "engine": self._engine if ours else known.engine,
            "model": model or known.model,
            "weights": weights or known.weights,
            "command": command or known.command,
            "artifacts": [*known.artifacts, *raw],
        }
        return item.model_copy(update={"provenance": known.model_copy(update=stamp)})

    def artifact(self, name: str) -> Path:
        """Return the path of a raw file of this chapter, its folder made."""
        path = self.artifacts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save(self, name: str, text: str) -> Path:
        """Write a raw text file of this chapter and return its path."""
        path = self.artifact(name)
        path.write_text(text, encoding="utf-8")
        return path

    @contextmanager
    def engine_time(self, step: str) -> Iterator[None]:
        """Count the time inside as the engine's own (start, load, measurement), not the runbook's overhead."""
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self.record(
                Measurement(
                    name="run.engine_seconds",
                    title="Time of the engine itself",
                    value=round(seconds, 3),
                    unit="s",
                    method="monotonic clock",
                    conditions={"step": step},
                )
            )

    def checks(self, prefix: str = "") -> list[Check]:
        """Return this chapter's checks whose name starts with `prefix`."""
        return [r for r in self.records if isinstance(r, Check) and r.name.startswith(prefix)]

    def measurements(self, prefix: str = "") -> list[Measurement]:
        """Return this chapter's measurements whose name starts with `prefix`."""
        return [r for r in self.records if isinstance(r, Measurement) and r.name.startswith(prefix)]

    def earlier(self, prefix: str = "") -> list[AnyRecord]:
        """Return what other chapters of this run have recorded so far, by name prefix."""
        files = sorted((self.run / "chapters").glob("*.jsonl"))
        found = (record for path in files if path != self.records_file for record in evidence.read(path))
        return [record for record in found if record.name.startswith(prefix)]

    def header(self) -> display.Html:
        """Return the chapter's generated header: time, risk, what it changes, how to undo, last verified."""
        return display.header(self.source, self.profile, self.mode, self.run)


def open_chapter(
    chapter: str,
    profile: str = "embedded",
    mode: str = "plan",
    run: str = "",
    overrides: Mapping[str, Any] | None = None,
    folder: Path = paths.NOTEBOOKS,
) -> Chapter:
    """Open a chapter for a notebook; everything is validated before anything runs.

    Parameters
    ----------
    chapter : str
        Two digits, such as ``"05"``.
    profile, mode : str
        Name of a profile; one of plan, rehearse, apply.
    run : str
        Folder of the run; empty in JupyterLab, where `runbook/runs/lab` is used.
    overrides : mapping, optional
        Dotted profile fields to values.

    Raises
    ------
    RunbookError
        Unknown chapter, profile, mode or field.
    """
    if mode not in MODES:
        raise RunbookError(f"unknown mode '{mode}'", nearest=nearest(mode, MODES), fix=f"one of: {', '.join(MODES)}")
    source = notebook.find(chapter, folder)
    loaded = profiles.load(profile, overrides)
    run_folder = Path(run) if run else paths.RUNS / "lab"
    opened = Chapter(source, loaded, mode, run_folder, headless=bool(run))
    # A chapter that runs again starts its own evidence afresh; the run's evidence is joined from finished chapters.
    opened.records_file.unlink(missing_ok=True)
    display.setup()
    return opened
