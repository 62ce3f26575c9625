"""The restore drill: from nothing but the target and its password to a memory and a gateway that answer as before.

The empty twin is a folder of this machine with ports of its own; nothing that is in use is touched, and all of it is
gone afterwards. RTO is the time of the whole; RPO is how old the newest snapshot was when the drill began: what was
written after it would be lost.
"""

import contextlib
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.evidence import Check
from lib.core.profile import change
from lib.core.sections import Profile
from lib.engine.serve import client, command
from lib.engine.serve.process import Guarded
from lib.gateway import keys
from lib.gateway.process import Gateway
from lib.memory.service import Memory
from lib.resilience.backup import golden, ledger, restore
from lib.resilience.backup.copy import Answer, Contents
from lib.resilience.backup.items import folder
from lib.resilience.backup.repository import find
from lib.resilience.backup.restore import Restored

CHROMA_SHARE = 0.99
READY_S = 90
Say = Callable[[str], None]


class Drilled(NamedTuple):
    """A finished drill: verdicts, RTO and RPO, the seconds of each step, and the memory's sources that are back."""

    checks: list[Check]
    rto_s: float
    rpo_s: float
    steps: dict[str, float]
    contents: Contents
    sources: frozenset[str]


class Clock:
    """Seconds of steps, in order."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.steps: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step."""
        begun = time.monotonic()
        yield
        self.steps[name] = time.monotonic() - begun

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.begun


def drill(
    profile: Profile, name: str = "", say: Say = lambda _: None, good: Sequence[str] = (), bad: Sequence[str] = ()
) -> Drilled:
    """Restore aside, start from it, ask, compare, and write down how long it took.

    Parameters
    ----------
    name : str
        The target; not needed where there is one.
    good, bad : sequence of str
        Keys that the restored gateway must take, and keys that it must refuse; the owner's are not known here.

    Raises
    ------
    RunbookError
        Nothing can be restored at all.
    """
    place = folder(profile) / "drill"
    with ledger.alone(folder(profile)):
        shutil.rmtree(place, ignore_errors=True)
        try:
            done = _play(profile, name, place, say, good, bad)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        if all(check.status != "fail" for check in done.checks):
            ledger.note(
                folder(profile),
                find(profile, name).name,
                drilled=datetime.now(UTC),
                rto_seconds=round(done.rto_s, 2),
                rpo_seconds=round(done.rpo_s, 2),
            )
    return done


def _play(profile: Profile, name: str, place: Path, say: Say, good: Sequence[str], bad: Sequence[str]) -> Drilled:
    lost, clock = datetime.now(UTC), Clock()
    with clock.step("restore"):
        back = restore.restore(profile, place / "restored", name)
    say(f"restored {len(back.contents.files)} files in {clock.steps['restore']:.2f} s")
    checks = [_whole(back)]
    with clock.step("memory"):
        found, sources = _memory(profile, back)
        checks += found
    with clock.step("gateway"):
        checks += _gateway(profile, back, place, good, bad)
    say(f"memory in {clock.steps['memory']:.2f} s, gateway in {clock.steps['gateway']:.2f} s")
    rpo = (lost - back.contents.made).total_seconds()
    say(f"RTO {clock.seconds:.1f} s, RPO {rpo:.1f} s")
    return Drilled(checks, clock.seconds, rpo, clock.steps, back.contents, frozenset(sources))


def _whole(back: Restored) -> Check:
    return _check(
        "hashes",
        "Every restored file has the hash it had when it was copied",
        not back.wrong,
        "no difference",
        "; ".join(back.wrong[:5]) or f"{len(back.contents.files)} files, {back.contents.size / 1e6:.1f} MB",
        "python -m lib backup verify; then restore an older snapshot",
    )


def _memory(profile: Profile, back: Restored) -> tuple[list[Check], set[str]]:
    """Open the restored memory, which makes its indexes anew, and ask it what was asked when it was copied."""
    there, known = golden.restored_folder(back.contents, back.folder), back.contents.golden
    if there is None:
        return [_skip("memory", "The restored memory opens", "the backup holds no memory")], set()
    settings = change(profile, "memory", folder=str(there), roots={}, chroma="").memory
    memory = Memory(settings, None)
    try:
        wrong = memory.store.disagreements()
        chunks, sources = len(memory.store.manifest.ids()), set(memory.store.manifest.sources())
        answered = golden.again(memory.store, known, settings.candidates)
    finally:
        memory.close()
    opened = _check(
        "memory",
        "The restored memory opens, and its indexes hold what its manifest says",
        not wrong,
        "no difference",
        "; ".join(wrong) or f"{chunks} chunks in manifest, Chroma and lexical index",
        "python -m lib memory verify",
    )
    return [opened, *_answers(known, golden.exactly(there, known, settings.candidates), answered)], sources


def _answers(known: Sequence[Answer], exact: Sequence[Answer], answered: Sequence[Answer]) -> list[Check]:
    if not known:
        return [_skip("golden", "Golden questions are answered as before", "none: name a file in backup.questions")]
    other, served = golden.different(known, exact), golden.different(known, answered)
    share = 1 - len(served) / len(known)
    return [
        _check(
            "golden",
            "Golden questions are answered exactly as before",
            not other,
            "the same places in the same order",
            f"another answer: {', '.join(other[:3])}" if other else f"{len(known)} of {len(known)}",
            "python -m lib memory verify",
        ),
        _check(
            "golden_served",
            "So are they by the index that was made anew",
            share >= CHROMA_SHARE,
            f"at least {CHROMA_SHARE:.0%}",
            f"{share:.0%}; the right file is found for {golden.right(answered)} of {len(known)}",
            "python -m lib memory rebuild",
        ),
    ]


def _gateway(profile: Profile, back: Restored, place: Path, good: Sequence[str], bad: Sequence[str]) -> list[Check]:
    """Start a gateway with the restored keys, a stand-in for the engine behind it, and ask it with and without keys."""
    file = _keys(profile, back)
    if file is None:
        return [_skip("gateway", "A gateway starts with the restored keys", "the backup holds no keys")]
    told = keys.load(file)
    try:
        with _stand_in(place) as url, Gateway(profile.name, _settings(profile, file, url), place / "gateway.log") as up:
            seen = {key: _status(up.url, key) for key in ("", *good, *bad)}
    except RunbookError as error:
        fix = "python -m lib gateway serve"
        return [_check("gateway", "A gateway starts with the restored keys", False, "an answer", error.what, fix)]
    refused = [seen[key] for key in ("", *bad)]
    taken = [seen[key] for key in good]
    fine = all(status == httpx.codes.UNAUTHORIZED for status in refused) and all(s == httpx.codes.OK for s in taken)
    return [
        _check(
            "gateway",
            "A gateway with the restored keys takes the right ones and refuses the others",
            fine,
            "200 with a key that held, 401 without one and with a revoked one",
            f"{len(told)} keys; taken: {taken or 'none was tried'}; refused: {refused}",
            "python -m lib gateway key list",
        )
    ]


def _keys(profile: Profile, back: Restored) -> Path | None:
    name = keys.place(profile.gateway.keys).name
    items = [item for item, told in profile.backup.items.items() if told.kind == "keys"]
    found = [file for file in back.contents.files for item in items if file.startswith(f"{item}/")]
    return next((back.folder / file for file in found if file.endswith(f"/{name}")), None)


def _settings(profile: Profile, file: Path, url: str) -> dict[str, object]:
    return {
        "gateway.port": 0,
        "gateway.host": "127.0.0.1",
        "gateway.keys": str(file),
        "gateway.open_on_loopback": False,
        "gateway.memory": False,
        "gateway.cards": {},
        "gateway.engines": {"drill": {"model": profile.models.served, "url": url}},
        "gateway.roles": {name: {"engine": "drill"} for name in profile.gateway.roles or ("fast",)},
    }


@contextlib.contextmanager
def _stand_in(place: Path) -> Iterator[str]:
    """Run the stand-in for an engine, and yield its address when it answers."""
    port = _free_port()
    argv = [sys.executable, "-m", "lib.gateway.fake_upstream", str(port)]
    process = Guarded(argv, place / "engine.log", command.inherited())
    try:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + READY_S
        while not _answers_at(f"{url}/health"):
            if process.wait(0.05) is not None or time.monotonic() > end:
                raise RunbookError("the stand-in for the engine did not start", where=paths.short(place / "engine.log"))
        yield url
    finally:
        process.stop()


def _answers_at(url: str) -> bool:
    try:
        return client.http().get(url, timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _status(url: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.http().get(f"{url}/v1/models", headers=headers, timeout=10).status_code


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _skip(name: str, title: str, observed: str) -> Check:
    return Check(name=f"backup.drill.{name}", title=title, status="skip", observed=observed)


def _check(name: str, title: str, good: bool, expected: str, observed: str, fix: str) -> Check:
    return Check(
        name=f"backup.drill.{name}",
        title=title,
        status="pass" if good else "fail",
        expected=expected,
        observed=observed,
        fix=fix,
    )
