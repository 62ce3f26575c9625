"""`make test`: all tests, in the order in which a mistake shows soonest.

What only computes runs on every core, the virtual machines among it. What waits for clocks, networks and engines runs
two at a time. What measures, and the whole runs, run alone.
"""

import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

NOTHING_SELECTED = 5  # pytest's exit code


class Stage(NamedTuple):
    """A part of the tests: what its markers are, and how many run at a time."""

    title: str
    markers: str
    at_a_time: str
    by: str  # pytest-xdist's --dist: what stays with one worker


STAGES = (
    Stage("on every core", "not (alone or lab or engine or end_to_end)", "auto", "load"),
    # The tests of one file share a stage or an engine, and leave it as the next one wants it.
    Stage("the lab and engines, two at a time", "(lab or engine) and not (alone or end_to_end)", "2", "loadfile"),
    Stage("one by one", "alone or end_to_end", "0", "no"),
)


def main(arguments: Sequence[str]) -> int:
    """Run every stage, whatever became of the one before; return 0 if all were green and there was a test at all."""
    codes = []
    for stage in STAGES:
        print(f"\n== tests {stage.title}", flush=True)
        argv = ["-m", "pytest", "-m", stage.markers, "-n", stage.at_a_time, "--dist", stage.by, *arguments]
        codes.append(subprocess.run([sys.executable, *argv], check=False).returncode)
    failed = [code for code in codes if code not in (0, NOTHING_SELECTED)]
    if failed:
        return failed[0]
    return 0 if 0 in codes else NOTHING_SELECTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
