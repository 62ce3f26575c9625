"""What the installed engine itself says: its flags with choices and defaults, its variables, texts of its sources.

Run as `python -m lib.chapters.claims.ask`: a process of its own, because importing the engine takes seconds and leaves
threads behind. The answer is one line, `MARK` and JSON; it is kept in the cache until the engine changes.
"""

import importlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lib.core import fingerprint, paths
from lib.core.errors import RunbookError
from lib.core.state import replace

MARK = "@engine "
# Where releases keep the parser of `vllm serve`, newest first.
PARSERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")
_SECONDS = 300


@dataclass(frozen=True)
class Option:
    """One flag, as the parser knows it."""

    default: str
    choices: list[str]


@dataclass(frozen=True)
class Engine:
    """The installed engine."""

    version: str
    options: dict[str, Option]
    variables: list[str]
    root: Path

    def option(self, flag: str) -> Option | None:
        """Return a flag; as in argparse, a beginning that only one flag has will do."""
        if flag in self.options:
            return self.options[flag]
        longer = [name for name in self.options if name.startswith(flag)]
        return self.options[longer[0]] if len(longer) == 1 else None

    def holding(self, text: str, file: str = "") -> list[str]:
        """Return the files of the engine's Python sources that hold a text."""
        if file and not (self.root / file).is_file():
            return []
        return [name for name, content in _sources(self.root) if (not file or name == file) and text in content]


@cache
def _sources(root: Path) -> tuple[tuple[str, str], ...]:
    """Read all Python sources once: about 35 MB, half a second."""
    files = sorted(root.rglob("*.py"))
    return tuple((str(path.relative_to(root)), path.read_text(encoding="utf-8", errors="replace")) for path in files)


def installed(cache_folder: Path | None = None) -> Engine | None:
    """Return the installed engine, or None where there is none.

    Raises
    ------
    RunbookError
        There is one, and its parser cannot be asked.
    """
    version = fingerprint.engine_version()
    found = importlib.util.find_spec("vllm")
    if version == "none" or found is None or not found.submodule_search_locations:
        return None
    folder = paths.CACHE / "claims" if cache_folder is None else cache_folder
    kept = folder / f"{version.replace(' ', '-')}.json"
    answer = _kept(kept) or _asked(kept)
    options = {name: Option(**told) for name, told in answer["options"].items()}
    return Engine(version, options, answer["variables"], Path(found.submodule_search_locations[0]))


def _kept(file: Path) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) and answer.keys() >= {"options", "variables"} else None


def _asked(kept: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "lib.chapters.claims.ask"],
        capture_output=True,
        text=True,
        cwd=paths.ROOT,
        timeout=_SECONDS,
        check=False,
    )
    lines = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise RunbookError(
            f"the engine's parser cannot be asked: {last}",
            where="python -m lib.chapters.claims.ask",
            fix="make runbook  (sets the environment up again)",
        )
    answer: dict[str, Any] = json.loads(lines[-1])
    kept.parent.mkdir(parents=True, exist_ok=True)
    replace(kept, lines[-1].encode())
    return answer


def main() -> None:
    """Ask the parser of `vllm serve` and the table of variables, and print both."""
    from vllm import envs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    home = next(name for name in PARSERS if _exists(name))
    parser = importlib.import_module(home).make_arg_parser(FlexibleArgumentParser())
    options = {
        name: {"default": str(action.default), "choices": [str(choice) for choice in action.choices or ()]}
        for action in parser._actions
        for name in action.option_strings
    }
    answer = {"options": options, "variables": sorted(envs.environment_variables)}
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    main()
