"""`make lock`: resolve pyproject.toml into the exact package sets of runbook/locks.

uv resolves once for all supported Python versions; of each pinned package the lock keeps the sha256 of the wheels
that a supported machine can install. The CPU build of torch is kept apart and without hashes, because it may come
from the PyTorch index or from a local wheel folder that holds a build of its own.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "runbook" / "locks"
PYTHONS = ((3, 11), (3, 12), (3, 13))
OLDEST_GLIBC, NEWEST_GLIBC = 5, 39  # manylinux_2_5 to _2_39: Ubuntu 24.04 has 2.39, Debian 12 2.36
ALWAYS_TRUE = (
    "python_full_version >= '3.11'",
    "python_full_version < '3.14'",
    "platform_machine == 'x86_64'",
    "sys_platform == 'linux'",
    "platform_python_implementation != 'PyPy'",
    "implementation_name != 'PyPy'",
)
HEADER = """\
# The exact packages of a {hardware} host: Linux x86_64, CPython 3.11 to 3.13. Made by `make lock`, not by hand:
#   uv pip compile pyproject.toml --extra {hardware} --extra dev --universal --python-version 3.11
#     --override runbook/locks/overrides-{hardware}.txt
# Install with `pip install --no-deps -r` (the engine asks for packages that the overrides leave out on purpose).
"""
TORCH_HEADER = """\
# The CPU build of torch, from the PyTorch CPU wheel index or from a wheel folder that pip is configured for.
# Made by `make lock`. No hashes: a wheel folder may hold a build of its own.
"""


def main() -> int:
    """Write the locks; exit status of the resolver if it fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("hardware", choices=["cpu", "cuda"], nargs="*", help="which locks (default: both)")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping the pins")
    parser.add_argument("--index", action="append", default=[], help="further package index")
    parser.add_argument("--find-links", action="append", default=[], help="folder or page with further wheels")
    options = parser.parse_args()
    extra = [word for index in options.index for word in ("--index", index)]
    extra += [word for folder in options.find_links for word in ("--find-links", folder)]
    for hardware in options.hardware or ["cpu", "cuda"]:
        try:
            packages = resolve(hardware, extra, upgrade=options.upgrade)
        except subprocess.CalledProcessError as error:
            return int(error.returncode)
        write(hardware, packages)
    return 0


def resolve(hardware: str, extra: list[str], *, upgrade: bool) -> list[dict[str, Any]]:
    """Let uv resolve one hardware's set; keep today's pins where they still fit unless `upgrade`."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "pylock.toml"
        constraint = Path(folder) / "pins.txt"
        constraint.write_text("" if upgrade else pins(hardware))
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", hardware, "--extra", "dev"),
            *("--universal", "--python-version", "3.11", "--format", "pylock.toml", "--output-file", str(lock)),
            *("--override", f"runbook/locks/overrides-{hardware}.txt", "--quiet"),
            *extra,
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        return list(tomllib.loads(lock.read_text())["packages"])
