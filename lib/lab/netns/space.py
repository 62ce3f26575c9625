"""One set of namespaces: a network, a process tree and mounts of its own, gone with its first process."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from lib.core import paths
from lib.core.errors import RunbookError
from lib.lab.netns import keeper

PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "wg": "wireguard-tools",
    "wg-quick": "wireguard-tools",
    "wireguard-go": "wireguard-go",
    "nginx": "nginx",
    "curl": "curl",
    "openssl": "openssl",
    "ping": "iputils-ping",
    "pgrep": "procps",
    "/usr/bin/python3": "python3",
}
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
# Programs of the distribution find each other; nothing of the caller's own environment reaches a twin.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}


class LabError(RunbookError):
    """A twin cannot be made, or a command in it failed."""


def missing() -> str:
    """Return why namespaces cannot be used here, with what to do; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root: sudo -E make runbook"
    absent = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=SEARCH)})
    if absent:
        return f"apt-get install -y --no-install-recommends {' '.join(absent)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun: modprobe tun  (in a container: --device /dev/net/tun --cap-add NET_ADMIN)"
    return ""


class Space:
    """A set of namespaces with its first process.

    Parameters
    ----------
    name : str
        Host name inside.
    within : Space, optional
        The set that this one is born in: it ends with it, and sees its mounts.
    """

    def __init__(self, name: str, within: "Space | None" = None) -> None:
        self.name, self.within = name, within
        self._keeper: subprocess.Popen[str] | None = None
        self.pid = 0

    @property
    def up(self) -> bool:
        """Whether its first process runs."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> None:
        """Make the namespaces.

        Raises
        ------
        LabError
            The kernel or the rights do not allow it.
        """
        flags = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        inner = ["unshare", *flags, sys.executable, "-IS", keeper.__file__]
        prefix = self.within.prefix() if self.within else []
        self._keeper = subprocess.Popen(
            [*prefix, *inner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            # A ctrl-C is for the owner, who then closes the pipe; a twin must not die in the middle of that.
            start_new_session=True,
        )
        said = self._keeper.stdout.readline() if self._keeper.stdout else ""
        if said.strip() != "up":
            told = self._keeper.stderr.read().strip() if self._keeper.stderr else ""
            self.stop()
            raise LabError(f"the twin {self.name} cannot be made: {told}", fix=missing() or "sudo -E make runbook")
        self.pid = _innermost(self._keeper.pid)
        self.run(["hostname", self.name])
        self.run(["ip", "link", "set", "lo", "up"])

    def stop(self) -> None:
        """End it with all its processes: as a power cut would, nothing is asked. Stopping twice does no harm."""
        process, self._keeper = self._keeper, None
        if process is None:
            return
        if self.pid:
            _kill(self.pid)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
        process.wait(10)
        self.pid = 0

    def prefix(self, processes: bool = True) -> list[str]:
        """Return the words that put a command into it; without `processes` it keeps the caller's process numbers."""
        kinds = ["--net", "--mount", "--uts", "--ipc", *(["--pid"] if processes else [])]
        return ["nsenter", "--target", str(self.pid), *kinds, "--"]

    def run(
        self, argv: Sequence[str], *, feed: str = "", check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end.

        Raises
        ------
        LabError
            It failed and `check` is set; the message holds what it said.
        """
        done = subprocess.run(
            [*self.prefix(), *argv],
            input=feed,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=ENVIRONMENT,
            cwd="/",
        )
        if check and done.returncode:
            told = (done.stderr or done.stdout).strip()
            raise LabError(f"{' '.join(argv[:3])} failed on {self.name}: {told[-800:]}", where=f"twin {self.name}")
        return done

    def spawn(
        self, argv: Sequence[str], log: Path | None = None, *, pass_fds: Sequence[int] = (), **more: str
    ) -> subprocess.Popen[bytes]:
        """Start a command in it that stays; its output goes to a file or nowhere."""
        output: IO[bytes] | int = log.open("ab") if log else subprocess.DEVNULL
        return subprocess.Popen(
            [*self.prefix(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**ENVIRONMENT, **more},
            cwd="/",
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )

    def python(
        self, module: str, feed: str, *words: str, timeout: float = 300, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a module of the runbook with this network and these files, and return what it printed."""
        done = subprocess.run(
            [*self.prefix(processes=False), sys.executable, "-m", module, *words],
            input=feed,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**ENVIRONMENT, "PYTHONPATH": str(paths.ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
            cwd="/",
        )
        if done.returncode:
            raise LabError(f"{module} failed on {self.name}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def path(self, inside: str) -> Path:
        """Return where a file of it is seen from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def write(self, inside: str, content: str, mode: int = 0o644) -> None:
        """Write a file in it, its folders made, its mode explicit from the first byte."""
        target = self.path(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
        fresh.replace(target)


def _innermost(pid: int, wait_s: float = 5) -> int:
    """Follow a launcher to the keeper that it became the parent of."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[0] == sys.executable.encode() and keeper.__file__.encode() in words:
            return pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pid = int(children[0]) if children else pid
    raise LabError("the first process of a twin is not found")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
