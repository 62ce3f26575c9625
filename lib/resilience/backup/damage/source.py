"""Damages to what is backed up, and to what came back: ruined, torn while it is written, changed by a bad disk."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from lib.core.errors import RunbookError
from lib.resilience.backup import copy, restore
from lib.resilience.backup.copy import MANIFEST
from lib.resilience.backup.damage.arena import TARGET, Arena
from lib.resilience.backup.damage.outcome import Outcome, Watch

ROWS = 200


def ruined_source(arena: Arena, defended: bool) -> Outcome:
    """Encrypt the memory's manifest in place, as ransomware does. A copy of that would push the good ones out."""
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=arena.place) as folder:
        ruined, out = Path(folder) / MANIFEST, Path(folder) / "copy.sqlite"
        content = (arena.place / "store" / MANIFEST).read_bytes()
        ruined.write_bytes(bytes(byte ^ 0x5A for byte in content))
        if not defended:
            shutil.copyfile(ruined, out)
            return Outcome(False, f"copied {out.stat().st_size} bytes of noise", 0.0)
        with watch.run():
            try:
                copy.snapshot(ruined, out)
                seen = "it was copied"
            except RunbookError as error:
                seen = error.what
    return Outcome("is damaged" in seen, seen, watch.seconds)


def torn_copy(arena: Arena, defended: bool) -> Outcome:
    """Copy the manifest while it is written. A plain copy of the file lacks what was acknowledged last."""
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=arena.place) as folder:
        live, out = Path(folder) / MANIFEST, Path(folder) / "copy.sqlite"
        with closing(sqlite3.connect(live, isolation_level=None)) as writer:
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA wal_autocheckpoint = 0")
            writer.execute("CREATE TABLE notes (text TEXT)")
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for number in range(ROWS):
                writer.execute("INSERT INTO notes VALUES (?)", (f"acknowledged {number}",))
            writer.execute("BEGIN IMMEDIATE")  # and one that is not
            writer.execute("INSERT INTO notes VALUES ('half')")
            with watch.run():
                (copy.snapshot if defended else shutil.copyfile)(live, out)
            writer.execute("ROLLBACK")
        with closing(sqlite3.connect(out)) as held:
            kept = held.execute("SELECT COUNT(*) FROM notes").fetchone()[0]
    return Outcome(kept == ROWS, f"{kept} of {ROWS} acknowledged rows in the copy", watch.seconds, lost=ROWS - kept)


def changed_after(arena: Arena, defended: bool) -> Outcome:
    """Flip a bit of a file that came back. restic has done its work by then; only the list of hashes can tell."""
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=arena.place) as folder:
        back = restore.restore(arena.profile, Path(folder) / "out", TARGET)
        name = max(back.contents.files, key=lambda one: back.contents.files[one].size)
        content = bytearray((back.folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (back.folder / name).write_bytes(content)
        if not defended:
            there = (back.folder / name).stat().st_size == back.contents.files[name].size
            return Outcome(not there, "every file is there, with its size", 0.0)
        with watch.run():
            wrong = restore.differences(back.contents, back.folder)
    seen = wrong[0].partition(": ")[0] + ": " + Path(name).name if wrong else "no difference"
    return Outcome(len(wrong) == 1, seen, watch.seconds)
