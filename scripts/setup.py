"""`make runbook`, `make test`, `make lab` begin here: an environment from the exact lock, and the profile's models.

Safe to repeat: what is there is kept, what was cut short goes on. Started by scripts/setup.sh.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from scripts import host
from scripts.console import SetupError, duration, say
from scripts.packages import Installer, read_lock, torch_index
from scripts.venv import VENV_PACKAGE, Venv, environment, has_venv_module

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("RUNBOOK_CACHE") or ROOT / ".cache").absolute()
# Disk space of a complete set-up: the environment with its compiled modules, pip's downloads, the embedded models.
DISK_GB = {"cpu": 4.5, "cuda": 16.0}
MINUTES = {"cpu": 1, "cuda": 3}
INTERRUPTED = 130


def main() -> int:
    """Set up and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/setup.sh", description="Set up the runbook in its own folder.")
    parser.add_argument(
        "--hardware", default=os.environ.get("HARDWARE", ""), help="cpu or cuda; default: what the host has"
    )
    parser.add_argument("--profile", default="", help="also fetch this profile's models")
    parser.add_argument("--tests", action="store_true", help="also what only the tests need")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        host.check_platform()
        with _alone():
            environment_ready(host.hardware(options.hardware), tests=options.tests)
            return models_ready(options.profile) if options.profile else 0
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print(f"error: {error.strerror}\n  where: {error.filename}\n  fix: df -h . ; ls -ld .", file=sys.stderr)
        return SetupError.exit_code


def environment_ready(hardware: str, *, tests: bool) -> None:
    """Make sure that .venv holds exactly the lock's packages, and the system what chapters look with."""
    log = CACHE / "setup.log"
    allowed = os.environ.get("SYSTEM_PACKAGES", "yes") != "no"
    purposes = [hardware, "runbook", *(["tests"] if tests else [])]
    wanted = host.read_packages(ROOT / "runbook" / "system-packages.txt", purposes)
    venv = Venv(ROOT / ".venv")
    locks = lock_files(hardware)
    if venv.is_complete(locks):
        host.install_packages(wanted, allowed, CACHE)
        return
    log.write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {hardware}\n")
    entries = [entry for lock in locks for entry in read_lock(lock)]
    installer = Installer(venv, entries, CACHE, log)
    _announce(hardware, installer, locks)
    host.install_packages(wanted, allowed, CACHE)
    prefix = host.may_install() if allowed else None
    if not has_venv_module() and prefix is not None:
        say(f"installing {VENV_PACKAGE}, which this Python needs to make an environment")
        host.apt(prefix, [VENV_PACKAGE], log)
    started = time.monotonic()
    venv.ensure()
    venv.unset_complete()
    installer.run(torch_index(ROOT / "pyproject.toml"))
    venv.set_complete(locks)
    say(f"the environment is ready after {duration(time.monotonic() - started)}")


def lock_files(hardware: str) -> list[Path]:
    """Return the locks of one kind of host, in the order in which they are installed."""
    apart = ["cpu-torch"] if hardware == "cpu" else []
    return [ROOT / "runbook" / "locks" / f"{name}.txt" for name in [*apart, hardware]]


def models_ready(profile: str) -> int:
    """Fetch the embedded profile's models, converted and verified, and return the exit status of that.

    Models of other profiles are large; their owner says when they are fetched.
    """
    if profile != "embedded":
        say(f"models of profile {profile} are fetched by: .venv/bin/python -m lib models fetch --profile {profile}")
        return 0
    stamp = CACHE / "setup-models.json"
    if stamp.exists() and stamp.read_text() == _models_state():
        return 0
    command = [str(ROOT / ".venv" / "bin" / "python"), "-m", "lib", "models", "fetch", "--profile", profile]
    code = subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode
    if code == 0:
        stamp.write_text(_models_state())
    return code


def _models_state() -> str:
    """Return what tells cheaply that nobody touched the models: what is wanted, and each file's size and time."""
    wanted = [ROOT / "runbook" / "models.yml", ROOT / "runbook" / "profiles" / "embedded.yml"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in wanted)).hexdigest()
    files = sorted(path for path in (ROOT / ".cache" / "models").rglob("*") if path.is_file())
    return json.dumps([digest, [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]])


def _announce(hardware: str, installer: Installer, locks: list[Path]) -> None:
    """Say what will be done and how long it takes; stop early if the disk is too small for it."""
    missing, total = len(installer.missing), installer.total
    there = sum(path.stat().st_size for path in installer.venv.folder.rglob("*") if path.is_file()) / 1e9
    host.check_space(ROOT, max(0.3, DISK_GB[hardware] - there) if missing else 0.3)
    if not missing:
        say(f"{hardware} host; all {total} packages are in .venv, checking them")
        return
    sizes = [re.search(r"Download: (\d+) MB", lock.read_text()) for lock in locks]
    megabytes = sum(int(size[1]) for size in sizes if size)
    upto = "" if missing == total else "at most "
    download = f"{megabytes / 1000:.1f} GB to download ({duration(megabytes * 8 / 30)} at 30 Mbit/s)"
    say(f"{hardware} host; {missing} of {total} packages into .venv, {upto}{download}")
    say(f"beside the download that takes about {MINUTES[hardware]} min on two cores; the log is .cache/setup.log")


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the set-up for this process; another one waits."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "setup.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work here, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _terminated(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
