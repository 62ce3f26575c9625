"""Make a reference bundle of finished runs: portable, without secrets, every file small, the same bytes every time."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.core import evidence, paths, secrets
from lib.core.errors import RunbookError
from lib.core.evidence import AnyRecord
from lib.core.state import RunState, read_state
from lib.report import describe, portable
from lib.report.describe import Source
from lib.report.reference import EVIDENCE_FILE, FOLDER, HOST_FILE, MAX_BYTES

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
# Runs of one bundle agree in these: numbers of two machines in one column would be compared with each other.
_SAME = ("gpus", "nvidia_driver", "cpu", "memory")
_CLIENT_LOG = "client.log"  # what the load client says is in its results


@dataclass
class Content:
    """Files of a bundle, path to text, and what becomes of a run's raw files: path there to path here and digest."""

    files: dict[str, str] = field(default_factory=dict)
    moved: list[dict[str, tuple[str, str]]] = field(default_factory=list)
    _known: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, origin: str, path: str, text: str) -> tuple[str, str]:
        """Add a file, unless an earlier run gave the very same one; return its path and SHA-256."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = self._known.setdefault((origin, digest), path)
        self.files[path] = text
        return path, digest


def write(runs: Sequence[Path], name: str, folder: Path = FOLDER, cut_short: bool = False) -> Path:
    """Write the bundle of one or several runs of one machine, and return its folder.

    Parameters
    ----------
    runs : sequence of Path
        Folders of runs, in any order. Records and files that a later run took over from an earlier one count once.
    name : str
        Name of the bundle, for example ``h200-2026-11-24``; a bundle of that name is replaced.
    folder : Path
        Where bundles are kept.
    cut_short : bool
        Take runs too that did not come to their end, with what their last chapter had recorded; the bundle says that
        the chapter did not pass. For machines that are no longer there.

    Raises
    ------
    RunbookError
        No run in a folder; a run that is not complete, unless `cut_short`; runs of different machines; a name that is
        no folder's; a file over 1 MB; a secret in a file. Nothing is written then.
    """
    if not _NAME.fullmatch(name):
        raise RunbookError(
            f"'{name}' is no name for a bundle",
            where="NAME",
            fix="small letters, digits, dots and hyphens, for example h200-2026-11-24",
        )
    sources = _sources(runs, cut_short)
    files = _files(sources, name)
    for path, text in files.items():
        if len(text.encode()) > MAX_BYTES:
            raise RunbookError(
                f"{path} would have {len(text.encode()) / 1e6:.1f} MB; no file of a bundle may be over 1 MB",
                where=name,
                fix="bundle fewer runs, or runs of fewer chapters (--only)",
            )
    folder.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the renaming below cannot cross a file system.
    with TemporaryDirectory(dir=folder, prefix=".new-") as made:
        _save(Path(made) / name, files)
        _refuse_secrets(Path(made) / name)
        shutil.rmtree(folder / name, ignore_errors=True)
        (Path(made) / name).rename(folder / name)
    return folder / name


def _sources(runs: Sequence[Path], cut_short: bool) -> list[Source]:
    found: dict[str, Source] = {}
    for run in runs:
        place = run.resolve()
        state = read_state(place)
        if not state.complete and not cut_short:
            raise RunbookError(
                f"run {state.id} is not complete",
                where=paths.short(run),
                fix="the same `python -m lib run` goes on where it was cut short; machine gone: --cut-short",
            )
        records = _records(place, state)
        if not records:
            raise RunbookError(
                f"run {state.id} has no evidence", where=paths.short(run), fix="python -m lib run --fresh"
            )
        found[state.id] = Source(place, state, records)
    if not found:
        raise RunbookError("there is no run to bundle", where="RUN_FOLDER", fix="name the folder of a finished run")
    sources = sorted(found.values(), key=lambda source: (source.state.started, source.state.id))
    for other in sources[1:]:
        differ = [key for key in _SAME if other.state.host.get(key) != sources[0].state.host.get(key)]
        if differ:
            raise RunbookError(
                f"{sources[0].state.id} and {other.state.id} ran on different machines: {', '.join(differ)} differ",
                where=paths.short(other.folder),
                fix="make one bundle a machine",
            )
    return sources


def _records(run: Path, state: RunState) -> list[AnyRecord]:
    """Return a run's evidence and, where it was cut short, what its unfinished chapter had recorded until then."""
    unfinished = [chapter for chapter in state.chapters if chapter.status in ("running", "interrupted")]
    left = [run / "chapters" / f"{chapter.stem}.jsonl" for chapter in unfinished]
    whole = [run / EVIDENCE_FILE, *left] if not state.complete else [run / EVIDENCE_FILE]
    return [record for file in whole if file.exists() for record in evidence.read(file)]


def _files(sources: Sequence[Source], name: str) -> dict[str, str]:
    content = Content()
    for number, source in enumerate(sources, start=1):
        content.moved.append(_raw(source, content, f"run{number}-" if len(sources) > 1 else ""))
    lines: list[str] = []
    seen: set[str] = set()
    for source, moved in zip(sources, content.moved, strict=True):
        for record in source.records:
            # A chapter that a later run reused tells the very same records again.
            if (same := record.model_dump_json()) not in seen:
                seen.add(same)
                lines.append(json.dumps(portable.record(record, moved), ensure_ascii=False))
    machine = describe.machine(sources, name)
    files = {
        HOST_FILE: machine.model_dump_json(indent=1, by_alias=True) + "\n",
        EVIDENCE_FILE: "\n".join(lines) + "\n",
        **dict(sorted(content.files.items())),
    }
    return files | {"README.md": describe.readme(machine, files)}


def _raw(source: Source, content: Content, prefix: str) -> dict[str, tuple[str, str]]:
    """Take over the results of benchmarks and the engine's logs of a run."""
    moved = {}
    for path in sorted((source.folder / "artifacts").rglob("*")):
        if not path.is_file() or path.is_symlink() or path.suffix not in (".json", ".log"):
            continue
        origin = path.relative_to(source.folder)
        flat = prefix + "-".join(origin.parts[1:]).removesuffix(path.suffix)
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".json":
            if (result := portable.benchmark(text)) is not None:
                moved[str(origin)] = content.add(str(origin), f"bench/{flat}.json", result)
        elif path.name != _CLIENT_LOG and (lines := portable.engine_log(text)):
            moved[str(origin)] = content.add(str(origin), f"log/{flat}.txt", lines)
    return moved


def _save(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)


def _refuse_secrets(folder: Path) -> None:
    for path, kind in secrets.scan(folder):
        raise RunbookError(
            f"{path.relative_to(folder)} would hold a secret ({kind})",
            where=folder.name,
            fix="find what writes it into the run, and run that chapter again",
        )
