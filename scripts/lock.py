"""`make lock`: resolve pyproject.toml into the exact package sets of runbook/locks.

uv resolves once for all supported versions of Python. Of each pinned package the lock keeps the sha256 of those
wheels that a supported machine can install. The CPU build of torch is kept apart and without hashes: it may come from
the PyTorch index or from a local wheel folder that holds a build of its own.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "runbook" / "locks"
PYTHONS = ((3, 11), (3, 12), (3, 13))
# manylinux tags that are taken: Ubuntu 22.04, the oldest host, has glibc 2.35.
GLIBC = range(5, 36)
ALWAYS_TRUE = (
    "python_full_version >= '3.11'",
    "python_full_version < '3.14'",
    "platform_machine == 'x86_64'",
    "sys_platform == 'linux'",
    "platform_python_implementation == 'CPython'",
    "platform_python_implementation != 'PyPy'",
    "implementation_name != 'PyPy'",
)
LINUX = {
    "sys_platform": "linux",
    "platform_machine": "x86_64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
HEADER = """\
# The exact packages of a {hardware} host: Linux x86_64, CPython 3.11 to 3.13. Written by `make lock`, from
#   uv pip compile pyproject.toml --extra {hardware} --extra dev --universal --python-version 3.11
#     --override runbook/locks/overrides-{hardware}.txt
# Installed with --no-deps: the engine asks for packages that the overrides leave out or relax on purpose.
# Packages: {count}. Download: {megabytes} MB{apart}.
"""
TORCH_HEADER = """\
# The CPU build of torch, from the PyTorch CPU wheel index or a wheel folder that pip is configured for.
# Written by `make lock`. No hashes: a wheel folder may hold a build of its own. Download: {megabytes} MB.
"""
Package = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Write the locks; return the resolver's exit status if it fails."""
    parser = argparse.ArgumentParser(prog="make lock", description="Resolve pyproject.toml into runbook/locks.")
    parser.add_argument("--hardware", choices=["cpu", "cuda"], help="which lock; default: both")
    parser.add_argument(
        "--upgrade", action="store_true", help="take the newest versions; default: keep what still fits"
    )
    parser.add_argument("--find-links", help="folder with the CPU build of torch, instead of the PyTorch index")
    options = parser.parse_args(arguments)
    for hardware in [options.hardware] if options.hardware else ["cpu", "cuda"]:
        try:
            packages = resolve(hardware, upgrade=options.upgrade, find_links=options.find_links)
        except subprocess.CalledProcessError as error:
            hint = "no PyTorch index? make lock LOCK='--find-links FOLDER', a folder with torch's CPU wheels"
            print(f"error: {hardware} was not resolved, its lock is as it was\n  fix: {hint}", file=sys.stderr)
            return int(error.returncode)
        for path, text in render(hardware, packages):
            path.write_text(text)
            print(f"{path.relative_to(ROOT)}: {text.count('==')} pins")
    return 0


def resolve(hardware: str, *, upgrade: bool, find_links: str | None) -> list[Package]:
    """Return the packages of a pylock.toml (PEP 751) for one kind of host."""
    with tempfile.TemporaryDirectory() as folder:
        pins, lock = Path(folder) / "pins.txt", Path(folder) / "pylock.toml"
        # uv prefers the versions that it finds in its output file, so today's pins are laid there first.
        pins.write_text("" if upgrade else "".join(path.read_text() for path in files(hardware) if path.exists()))
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", hardware, "--extra", "dev"),
            *("--universal", "--python-version", "3.11", "--override", f"runbook/locks/overrides-{hardware}.txt"),
            *(("--no-sources", "--find-links", find_links) if find_links else ()),
            *("--no-header", "--no-annotate", "--quiet"),
        ]
        for more in (["--output-file", pins], ["--constraint", pins, "--format", "pylock.toml", "--output-file", lock]):
            subprocess.run([*command, *map(str, more)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return list(tomllib.loads(lock.read_text())["packages"])


def files(hardware: str) -> list[Path]:
    """Return the lock's files, in the order in which they are installed."""
    torch = [LOCKS / "cpu-torch.txt"] if hardware == "cpu" else []
    return [*torch, LOCKS / f"{hardware}.txt"]


def render(hardware: str, packages: Iterable[Package]) -> Iterator[tuple[Path, str]]:
    """Yield the lock's files and their content."""
    *apart, main_file = files(hardware)
    kept = [package for package in packages if not (apart and package["name"] == "torch")]
    for path in apart:
        torch = next(package for package in packages if package["name"] == "torch")
        megabytes = round(max(map(wheel_size, wheels(torch))) / 1e6)
        yield path, TORCH_HEADER.format(megabytes=megabytes) + f"torch=={torch['version']}\n"
    size = sum(min(map(wheel_size, wheels(package))) for package in kept if PYTHONS[0] in pythons(package))
    header = HEADER.format(
        hardware=hardware,
        count=len(kept),
        megabytes=round(size / 1e6),
        apart=", and torch, which is in cpu-torch.txt" if apart else "",
    )
    yield main_file, header + "".join(entry(package) for package in kept)


def entry(package: Package) -> str:
    """Return one package's lines: pin, marker, and a hash for each wheel that a supported machine can install."""
    marker = strip_marker(package.get("marker", ""))
    pin = f"{package['name']}=={package['version']}" + (f" ; {marker}" if marker else "")
    return " \\\n".join([pin, *(f"    --hash=sha256:{digest}" for digest in hashes(package))]) + "\n"


def strip_marker(marker: str) -> str:
    """Drop what is true on every supported machine from a marker; one with alternatives stays as it is."""
    if " or " in marker:
        return marker
    return " and ".join(part for part in marker.split(" and ") if part not in ALWAYS_TRUE)


def hashes(package: Package) -> list[str]:
    """Return the sha256 of a package's usable wheels, sorted."""
    return sorted(str(wheel["hashes"]["sha256"]) for wheel in wheels(package))


def wheels(package: Package) -> list[dict[str, Any]]:
    """Return the wheels that some supported Python can install; none is an error, set-up compiles nothing."""
    tags = {tag for python in pythons(package) for tag in supported_tags(python)}
    usable = [wheel for wheel in package.get("wheels", []) if parse_wheel_filename(file_name(wheel))[3] & tags]
    if not usable:
        sys.exit(
            f"error: {package['name']} {package['version']} has no wheel for Linux x86_64\n  fix: pin another version"
        )
    return usable


def file_name(wheel: dict[str, Any]) -> str:
    """Return a wheel's file name, from its address if it has none of its own."""
    return str(wheel.get("name") or unquote(urlsplit(wheel["url"]).path.rsplit("/", 1)[-1]))


def wheel_size(wheel: dict[str, Any]) -> int:
    """Return a wheel's size in bytes; indexes tell it, a local file has it, 0 where neither is so."""
    local = Path(unquote(urlsplit(wheel["url"]).path))
    return int(wheel.get("size") or (local.stat().st_size if local.is_file() else 0))


def pythons(package: Package) -> list[tuple[int, int]]:
    """Return the supported versions of Python that the package's marker names."""
    marker = package.get("marker")
    return [
        (major, minor)
        for major, minor in PYTHONS
        if not marker
        or any(
            Marker(marker).evaluate({**LINUX, "python_full_version": f"{major}.{minor}.{micro}"}) for micro in (0, 99)
        )
    ]


def supported_tags(python: tuple[int, int]) -> frozenset[Tag]:
    """Return the wheel tags that CPython on Linux x86_64 takes."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC]
    platforms += ["manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64", "linux_x86_64"]
    return frozenset(
        [*cpython_tags(python, platforms=platforms), *compatible_tags(python, f"cp{python[0]}{python[1]}", platforms)]
    )


if __name__ == "__main__":
    sys.exit(main())
