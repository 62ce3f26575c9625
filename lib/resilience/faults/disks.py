"""Faults of the disks: full, flooded by a log, read-only, cut off in mid-write; and a model that was damaged."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lib.core import paths
from lib.core.evidence import sha256
from lib.engine.models import manifest
from lib.gateway import keys
from lib.resilience.faults.drill import Drill, Outcome, SkipError
from lib.resilience.faults.engine import LOST_S, WAIT_S
from lib.resilience.faults.ground import QUICK, Ground, environment, until
from lib.resilience.watchdog.journal import Journal
from lib.resilience.watchdog.watch import Watch

SIZE_KIB = 256
# What `models verify` does, without the rest of the command line.
VERIFY = """
import sys
from lib.engine.models import fetch
found = fetch.verify(sys.argv[1], sys.argv[2])
print(found.observed)
sys.exit(found.status != "pass")
"""
MODEL = "smollm2-135m"
# Makes keys until it is killed, and says each only when it is on the disk.
WRITER = """
import sys
from pathlib import Path
from lib.gateway import keys
for number in range(10000):
    print(keys.create(Path(sys.argv[1]), f"k{number}", ["*"])[1], flush=True)
"""
# The same as it must not be done: in place, in two halves.
CARELESS = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from lib.gateway import keys
path, known = Path(sys.argv[1]), []
for number in range(10000):
    key, secret = keys._new(f"k{number}", ("*",), None, 0)
    known.append(asdict(key))
    text = json.dumps({"schema": keys.SCHEMA, "keys": known})
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        time.sleep(0.05)
        file.write(text[len(text) // 2 :])
    path.chmod(0o600)
    print(secret, flush=True)
"""


@contextmanager
def volume(place: Path, size_kib: int = SIZE_KIB) -> Iterator[Path]:
    """Give a small file system of its own.

    Raises
    ------
    SkipError
        Nothing may be mounted here.
    """
    folder = place / "volume"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k,mode=700", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        raise SkipError("a small file system needs root: sudo -E make runbook")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Write until nothing more fits."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            return


def full(ground: Ground, defended: bool) -> Outcome:
    """Fill the volume of the state, then make a key and kill the engine; the defence is to write aside and rename."""
    place = ground.place("full")
    with volume(place) as disk:
        store, engine = disk / "keys.json", ground.engine("full")
        held = [keys.create(store, f"k{number}", [keys.ALL_ROLES])[1] for number in range(5)]
        with ground.watched(disk, engine) as watch, ground.witness() as witness:
            fill(disk)
            wrong = [] if _refused(store, careless=not defended) else ["a key was acknowledged on a full disk"]
            since = time.monotonic()
            os.kill(engine.pid(), signal.SIGKILL)
            recovered = witness.served_again(since, WAIT_S)
            lost = _lost(store, held)
            told = f"{watch.memories[engine.name].restarts} restart, with no line in its journal"
            return Outcome(recovered, lost, witness.errors(since), wrong, told, "make room")


def flooded(ground: Ground, defended: bool) -> Outcome:
    """Let a log grow until its volume is full; the defence is that state lies on another one."""
    place = ground.place("flood")
    with volume(place) as logs, ground.engine("flood").running():
        ground.until_served()
        state = place / "state" if defended else logs
        state.mkdir(exist_ok=True)
        store = state / "keys.json"
        _, before = keys.create(store, "before", [keys.ALL_ROLES])
        with ground.witness() as witness:
            since = time.monotonic()
            with (logs / "flood.log").open("wb") as log:
                noise = subprocess.run(["yes"], stdout=log, stderr=subprocess.DEVNULL, timeout=20, check=False)
            wrong = ["the log did not fill its volume"] if not noise.returncode else []
            wrong += ["no key can be made"] if _refused(store) else []
            recovered = witness.served_again(since, WAIT_S)
            return Outcome(recovered, _lost(store, [before]), witness.errors(since), wrong, "log volume full")


def read_only(ground: Ground, defended: bool) -> Outcome:
    """Let the volume of the state become read-only, then kill the engine; the defence: a note lost stops no deed."""
    place = ground.place("read-only")
    with volume(place) as disk:
        store, engine = disk / "keys.json", ground.engine("read-only")
        _, before = keys.create(store, "before", [keys.ALL_ROLES])
        with ground.watched(disk, engine, on=defended) as watch, ground.witness() as witness:
            _freeze(disk)
            since = time.monotonic()
            os.kill(engine.pid(), signal.SIGKILL)
            wrong = [] if _refused(store) else ["a key was acknowledged on a read-only disk"]
            broke = "" if defended else _strict(watch, disk)
            recovered = witness.served_again(since, WAIT_S if defended else LOST_S)
            return Outcome(recovered, _lost(store, [before]), witness.errors(since), wrong, broke, "look at the disk")


def _freeze(disk: Path) -> None:
    """Make a volume read-only; while a file is being written it refuses, as it has to."""
    argv = ["mount", "-o", "remount,ro", str(disk)]
    until(lambda: not subprocess.run(argv, capture_output=True, check=False).returncode, 5, "it stays writable")


def _strict(watch: Watch, disk: Path) -> str:
    """Let the watchdog look with a journal that insists on its lines, and return how that ends."""
    watch.journal = _Strict(disk, say=lambda _: None)
    try:
        for _ in range(3):
            watch.look()
    except OSError as error:
        return f"the watchdog ended: {error.strerror}"
    return ""


class _Strict(Journal):
    """A journal that fails where it cannot write."""

    def write(self, **told: object) -> None:
        with (self.folder / "watchdog.jsonl").open("a") as file:
            file.write(json.dumps(told) + "\n")

    def keep(self, state: Mapping[str, object]) -> None:
        (self.folder / "watchdog.json").write_text(json.dumps(state))


def torn(ground: Ground, defended: bool) -> Outcome:
    """Kill a program again and again while it writes keys; the defence is that a file changes whole or not at all."""
    place = ground.place("torn")
    acknowledged, lost, rounds = 0, 0, 4
    spent = 0.0
    for number in range(rounds):
        store = place / f"keys-{number}.json"
        argv = [sys.executable, "-c", WRITER if defended else CARELESS, str(store)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment(), cwd=paths.ROOT) as writer:
            assert writer.stdout is not None
            held = [writer.stdout.readline().strip() for _ in range(3 + 2 * number)]
            # Not on a line: somewhere within the next writes.
            time.sleep(0.01 + 0.007 * number)
            writer.kill()
            since = time.monotonic()
            held += [line.strip() for line in writer.stdout.read().splitlines()]
        acknowledged += len(held)
        lost += _lost(store, held)
        spent = max(spent, time.monotonic() - since)
    return Outcome(spent, lost, told=f"{acknowledged} keys acknowledged in {rounds} cuts")


def damaged(ground: Ground, defended: bool) -> Outcome:
    """Flip one byte of a model's weights, then kill the engine; the defence is a look at checksums at every start."""
    place = ground.place("model")
    folder, weights = _model(place)
    before = [sys.executable, "-c", VERIFY, MODEL, str(place)] if defended else []
    engine = ground.engine("model", before=before)
    patient = QUICK.model_copy(update={"answer_s": 2.0, "loop_after": 2, "pause_max_s": 0.5})
    with ground.watched(place, engine, settings=patient) as watch, ground.witness() as witness:
        whole = weights.read_bytes()
        _flip(weights)
        since = time.monotonic()
        os.kill(engine.pid(), signal.SIGKILL)
        try:
            until(lambda: any("alert" in line for line in watch.journal.lines), 25 if defended else LOST_S, "")
            wrong = [] if engine.look()[0] != "running" else ["it runs"]
        except TimeoutError:
            wrong = ["a damaged model was served, and nobody was told"]
        weights.write_bytes(whole)
        recovered = witness.served_again(since, 40)
        told = f"“{engine.said[:60]}”" if engine.said else "no look at checksums"
        return Outcome(recovered, 0, witness.errors(since), wrong, f"{folder.name}: {told}", "models fetch")


def _model(place: Path) -> tuple[Path, Path]:
    """Make a small folder of a model with its manifest."""
    folder = place / MODEL
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = folder / "model.safetensors"
    weights.write_bytes(os.urandom(1 << 20))
    known = {name.name: sha256(name) for name in (folder / "config.json", weights)}
    entries = manifest.describe(folder, known)
    told = manifest.Manifest(model=MODEL, origin={"made": "for a drill"}, verified=True, files=entries)
    manifest.write(folder, told)
    return folder, weights


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        byte = file.read(1)
        file.seek(4096)
        file.write(bytes([byte[0] ^ 1]))


def _refused(store: Path, *, careless: bool = False) -> bool:
    """Try to make a key and tell whether that was refused."""
    try:
        if careless:
            known = json.loads(store.read_text())
            store.write_text(json.dumps({**known, "keys": known["keys"] * 500}))
        keys.create(store, f"new-{time.monotonic_ns()}", [keys.ALL_ROLES])
    except Exception:  # whatever it is called: nothing was acknowledged
        return True
    return False


def _lost(store: Path, held: list[str]) -> int:
    """Count the keys that were acknowledged and open nothing any more."""
    known = keys.Store(store)
    return sum(known.check(secret) is None for secret in held)


DRILLS = [
    Drill("disk_full", "The volume of the state is full", "files are written aside and renamed", 8, full),
    Drill("log_flood", "A log fills its volume", "state lies on another volume", 8, flooded),
    Drill("disk_read_only", "The volume of the state is read-only", "a note that is lost stops no deed", 8, read_only),
    Drill("torn_write", "Power is cut in mid-write, four times", "a file changes whole or not at all", 2, torn),
    Drill("model_damaged", "A byte of the weights is flipped", "checksums before every start", 40, damaged),
]
