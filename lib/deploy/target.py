"""A host that is changed: reached with pyinfra over SSH or on this machine, every fault one clear error."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paramiko import SSHException
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError, NestedOperationError, PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from lib.core import paths
from lib.core.errors import RunbookError
from lib.core.sections.hosts import HostAccess

logging.getLogger("pyinfra").addHandler(logging.NullHandler())
logging.getLogger("pyinfra").propagate = False
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

# What the connector and the library below it raise when a connection breaks.
LOST = (SSHException, OSError, EOFError)
# The library's words for a door that was opened and shut again without a greeting: sshd restarts, is busy, or has seen
# too many fail (OpenSSH's MaxStartups and PerSourcePenalties). A moment later it may greet.
SHUT, AGAIN_S = "Error reading SSH protocol banner", 1.0

# pyinfra knows one current host a process; two hosts that are changed at once take turns where an operation runs.
_CONTEXT = threading.Lock()


class Target:
    """A connected host.

    Parameters
    ----------
    name : str
        The host's name in the profile.
    """

    def __init__(self, name: str, access: HostAccess, timeout: int = 10) -> None:
        self.name, self.access, self._timeout = name, access, timeout
        self._state = State(_inventory(name, access), _config(timeout, access))
        self._host = next(iter(self._state.inventory))
        self._connect()
        # From here on an operation runs when it is called, and its facts are those of that moment.
        self._state.is_executing = True

    def _connect(self) -> None:
        key = self.access.key and Path(self.access.key).expanduser()
        if key and not key.is_file():
            raise RunbookError(
                f"there is no key file for host '{self.name}'", where=str(key), fix=f"set hosts.{self.name}.key"
            )
        limit = time.monotonic() + self._timeout
        while True:
            try:
                self._host.connect(raise_exceptions=True, show_errors=False)
                break
            except (ConnectError, PyinfraError, *LOST) as error:
                if SHUT not in str(error) or time.monotonic() + AGAIN_S > limit:
                    raise self._unreachable(str(error)) from error
            time.sleep(AGAIN_S)
        self._state.activate_host(self._host)

    def _unreachable(self, said: str) -> RunbookError:
        place = self.place
        if "uthentication" in said:
            return RunbookError(
                f"host '{self.name}' refused the key for user '{self.access.user}'",
                where=place,
                fix=f"ssh-copy-id -p {self.access.port} -i {self.access.key or 'KEY'}.pub "
                f"{self.access.user}@{self.access.address}, or set hosts.{self.name}.user and .key in the profile",
            )
        if "host key" in said.lower():
            return RunbookError(
                f"host '{self.name}' shows another key than before: it was set up anew, or somebody is in between",
                where=place,
                fix=f"if it was set up anew: ssh-keygen -f {self.access.known_hosts} -R "
                f"'[{self.access.address}]:{self.access.port}'",
            )
        if "No existing session" in said:  # the library's words for a handshake that had no end in time
            said = f"SSH did not greet within {self._timeout} s: deploy.connect_timeout_s"
        reason = said.partition("(")[2].rstrip(")") or said
        return RunbookError(
            f"host '{self.name}' cannot be reached: {reason}",
            where=place,
            fix=f"is it up? ssh -p {self.access.port} {self.access.user}@{self.access.address} true",
        )

    @property
    def place(self) -> str:
        """How the host is reached, for messages."""
        reached = f"{self.access.user}@{self.access.address} port {self.access.port}"
        return "this machine" if self.access.address == "local" else reached

    def run(self, script: str, *, check: bool = True, timeout: int = 600) -> str:
        """Run a shell script as root and return what it printed.

        Raises
        ------
        RunbookError
            It failed and `check` was asked for, or the connection was lost.
        """
        # Over standard input: no list of processes shows it, no argument is too long, and a script that the connection
        # cut off is no whole group, so nothing of it runs. What it starts reads nothing.
        whole = f"{{\n:\n{script}\n}} </dev/null"
        with self._reached():
            good, output = self._host.run_shell_command(
                StringCommand("sh", "-s"), _sudo=self.access.user != "root", _timeout=timeout, _stdin=whole
            )
        if check and not good:
            raise self.failed("a command", output.stderr or output.stdout)
        return str(output.stdout)

    def do(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
        """Carry out a pyinfra operation now; tell whether it changed something.

        Raises
        ------
        RunbookError
            It failed, or the connection was lost.
        """
        name = f"{operation.__module__.rpartition('.')[2]}.{operation.__name__}"
        with _CONTEXT, self._reached(), ctx_state.use(self._state), ctx_host.use(self._host):
            try:
                done = operation(*arguments, **options)
            except NestedOperationError as error:
                said = self._state.get_op_data_for_host(self._host, str(error)).operation_meta
                raise self.failed(name, said.stderr or said.stdout) from error
            except PyinfraError as error:
                raise self.failed(name, str(error)) from error
        if not done.did_succeed():
            raise self.failed(name, done.stderr or done.stdout)
        return bool(done.did_change())

    def opens(self) -> bool:
        """Tell whether the host still lets a new connection in; this one may live on although it does not."""
        try:
            with connected(self.name, self.access, self._timeout) as again:
                return again.run("echo in").strip() == "in"
        except RunbookError:
            return False

    def close(self) -> None:
        """End the connection."""
        client = getattr(self._host.connector, "client", None)
        if client is not None:
            client.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except LOST as error:
            raise RunbookError(
                f"the connection to host '{self.name}' was lost: {error or type(error).__name__}",
                where=self.place,
                fix="run the same command again: it goes on where it stopped; or take back what was done: "
                f"python -m lib deploy undo --host {self.name}",
            ) from error

    def failed(self, what: str, said: str) -> RunbookError:
        """Return the error for something that failed on the host and said this."""
        lines = [line for line in said.strip().splitlines() if line.strip()]
        if "No space left on device" in said:
            return RunbookError(
                f"host '{self.name}' has no space left", where=self.place, fix="df -h  (there); free some, then again"
            )
        errors = [line for line in lines if line.startswith(("E:", "error"))]
        shown = (errors or lines or ["no output"])[-1]
        return RunbookError(f"{what} failed on host '{self.name}': {shown}", where=self.place)


@contextmanager
def connected(name: str, access: HostAccess, timeout: int = 10) -> Iterator[Target]:
    """Yield a connected host; the connection ends with the block.

    Raises
    ------
    RunbookError
        The host is down, refuses the key, or shows another key than before.
    """
    target = Target(name, access, timeout)
    try:
        yield target
    finally:
        target.close()


def _config(timeout: int, access: HostAccess) -> Config:
    return Config(CONNECT_TIMEOUT=timeout, SUDO=access.user != "root")  # type: ignore[no-untyped-call]


def _inventory(name: str, access: HostAccess) -> Inventory:
    if access.address == "local":
        return Inventory((["@local"], {}))  # type: ignore[no-untyped-call]
    known = Path(access.known_hosts).expanduser()
    known = known if known.is_absolute() else paths.ROOT / known
    known.parent.mkdir(parents=True, exist_ok=True)
    known.touch(mode=0o600)
    data = {
        "ssh_hostname": access.address,
        "ssh_port": access.port,
        "ssh_user": access.user,
        "ssh_known_hosts_file": str(known),
        "ssh_strict_host_key_checking": "accept-new",
        "ssh_config_file": os.devnull,
    }
    if access.key:
        data |= {"ssh_key": str(Path(access.key).expanduser()), "ssh_allow_agent": False, "ssh_look_for_keys": False}
    return Inventory(([(name, data)], {}))  # type: ignore[no-untyped-call]
