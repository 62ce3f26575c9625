"""The winner as files: vLLM's own `--config` YAML, the environment of its systemd unit, the command that repeats it."""

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import NamedTuple

from ruamel.yaml import YAML

from lib.core.sections import Scalar


class Files(NamedTuple):
    """The text of each file."""

    config: str
    environment: str
    command: str


def files(arguments: Sequence[str], environment: Mapping[str, str]) -> Files:
    """Return a ready server configuration.

    Parameters
    ----------
    arguments : sequence of str
        Flags of the engine (`lib.engine.serve.command.arguments`).
    environment : mapping of str to str
        Variables that the profile decides.
    """
    text = StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(options(arguments), text)
    return Files(
        config=text.getvalue(),
        environment="".join(f"{name}={value}\n" for name, value in environment.items()),
        command="vllm serve --config vllm.yaml",
    )


def options(arguments: Sequence[str]) -> dict[str, Scalar]:
    """Return flags as vLLM's `--config` file has them: names without dashes before, values, true for a bare flag.

    A flag that is given twice counts as the engine counts it: the last one holds.
    """
    told: dict[str, Scalar] = {}
    name = ""
    for word in arguments:
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").partition("=")
            told.pop(name, None)
            told[name] = value or True
        elif name:
            told[name] = _typed(word) if told[name] is True else f"{told[name]} {word}"
    return told


def _typed(word: str) -> Scalar:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
