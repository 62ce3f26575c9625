"""Forgetting: what is forgotten is in no store, no index, no log, and does not come back from a backup."""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from lib.core.errors import RunbookError, nearest
from lib.memory import chats
from lib.memory.ingest import hashed
from lib.memory.store.manifest import Source
from lib.memory.store.store import Store

# For whoever restores a backup: what must not come back, by hashes of place and content.
LIST = "forgotten.jsonl"


class Forgotten(NamedTuple):
    """What was forgotten: paths, and how many chunks."""

    paths: list[str]
    chunks: int


def forget(store: Store, folder: Path, target: str) -> Forgotten:
    """Delete one source, or all below a path, for good.

    It can be found no more from the first moment. Then the index is built again without it, so that no file of Chroma
    holds its vectors or text, and the manifest's deleted pages and log are overwritten. The owner's own files stay
    where they are, and are passed over until he adds them by name; files of chats are deleted.

    Parameters
    ----------
    target : str
        A path as answers name it, such as ``notes/plan.md``, or a folder of them, ``notes``.

    Raises
    ------
    RunbookError
        Nothing of that name is remembered.
    """
    clean = target.strip("/")
    sources = store.manifest.sources(clean) if clean else {}
    if not sources:
        near = nearest(clean, store.manifest.sources())
        raise RunbookError(
            f"nothing of the name '{target}' is remembered",
            nearest=near,
            fix="python -m lib memory search WORDS  (shows paths as they are remembered)",
        )
    now = time.time()
    _note(folder / LIST, sources, now)
    for path in sources:
        root, _, name = path.partition("/")
        if root == chats.ROOT:
            (folder / chats.FOLDER / name).unlink(missing_ok=True)
    with store.manifest.changing():
        for path, source in sources.items():
            store.manifest.forget(hashed(path), source.sha256, now)
        change = store.manifest.drop(sources)
        store.manifest.set_meta(purge="yes")
    store.lexical.change({}, change.removed)
    store.renew()
    store.lexical.save(folder / "lexical")
    return Forgotten(sorted(sources), len(change.removed))


def apply(store: Store, folder: Path) -> list[str]:
    """Take out again what was forgotten and a restored backup brought back; return the paths.

    What its owner added again after he had it forgotten stays.
    """
    listed = read(folder / LIST)
    back = [
        path
        for path, source in store.manifest.sources().items()
        if listed.get((hashed(path), source.sha256), 0.0) > source.added
    ]
    for path in back:
        forget(store, folder, path)
    return back


def read(path: Path) -> dict[tuple[str, str], float]:
    """Read when what was forgotten, by hashes of place and content; a torn line is passed over."""
    found: dict[tuple[str, str], float] = {}
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                found[str(entry["path"]), str(entry["sha256"])] = float(entry["time"])
            except (json.JSONDecodeError, KeyError, TypeError, ValueError):
                continue
    return found


def _note(path: Path, sources: dict[str, Source], now: float) -> None:
    lines = [json.dumps({"path": hashed(p), "sha256": s.sha256, "time": now}) for p, s in sources.items()]
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
