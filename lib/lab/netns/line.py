"""A slow, long line between the router and the internet: delay and rate, in user space, for kernels without netem."""

import json
import subprocess
import sys
from pathlib import Path

from lib.lab.netns import shaper
from lib.lab.netns.space import LabError
from lib.lab.netns.twin import Twin


class Line:
    """The home's line. As it is, it is a plain cable; `shape` puts delay and a rate on it, `restore` takes them off.

    The router's interface `wan` stays as it is. Its cable is unplugged from the internet's bridge, and a process lays
    another way between the two ends.
    """

    def __init__(self, router: Twin) -> None:
        self.router = router
        self._process: subprocess.Popen[bytes] | None = None

    def shape(self, round_trip_ms: float, mbit_s: float) -> None:
        """Delay every packet by half of `round_trip_ms`, and let no more than `mbit_s` through in each direction.

        Raises
        ------
        LabError
            The process that does it did not come up.
        """
        self.restore()
        port, world = "router-wan", self.router.world
        world.run(["ip", "link", "set", port, "nomaster"])
        # Both ends get a raw socket: the loose end of the cable, and a new port of the bridge.
        world.run(["ip", "link", "add", "shaped", "type", "veth", "peer", "name", "shaped-in"])
        world.run(["ip", "link", "set", "shaped", "master", "inet", "up"])
        world.run(["ip", "link", "set", "shaped-in", "up"])
        told = json.dumps({"ends": [port, "shaped-in"], "delay_s": round_trip_ms / 2000, "mbit_s": mbit_s})
        self._process = subprocess.Popen(
            [*world.prefix(), sys.executable, "-IS", shaper.__file__, told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if not self._process.stdout or self._process.stdout.readline() != b"up\n":
            raise LabError("the line's shaper did not start", where=str(Path(shaper.__file__).name))

    def restore(self) -> None:
        """Make the line a plain cable again. Doing it twice does no harm."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        if process.stdout:
            process.stdout.close()
        process.wait(10)
        if self.router.world.up:
            self.router.world.run(["ip", "link", "delete", "shaped"])
            self.router.world.run(["ip", "link", "set", "router-wan", "master", "inet", "up"])
