"""What the twins are made of, as `runbook/lab/lab.yml` says it."""

from functools import cache
from typing import Literal, get_args

from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from lib.core import paths
from lib.core.errors import RunbookError, nearest
from lib.core.sections.base import Section

Role = Literal["home", "vps", "client"]
ROLES: tuple[Role, ...] = get_args(Role)
FILE = paths.RUNBOOK / "lab" / "lab.yml"


class Twin(Section):
    """One twin: its memory, and its address on the link to each neighbour."""

    memory_mib: int = Field(ge=192)
    links: dict[Role, str] = Field(default={}, description="Neighbour to the own address on that link")


class Settings(Section):
    """The whole lab."""

    suites: dict[str, str]
    components: dict[str, list[str]]
    kernel: dict[str, str]
    image: list[str] = Field(description="Packages that every twin starts with")
    repository: list[str] = Field(description="Packages that a twin can install from the repository inside its image")
    disk_mib: int = Field(ge=1024)
    roles: dict[Role, Twin]


@cache
def load() -> Settings:
    """Return the lab's settings.

    Raises
    ------
    RunbookError
        The file is not as it should be.
    """
    try:
        return Settings.model_validate(YAML(typ="safe", pure=True).load(FILE))
    except ValidationError as error:
        first = error.errors()[0]
        raise RunbookError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=paths.short(FILE), fix="git diff runbook/lab"
        ) from error


def role(name: str) -> Role:
    """Return a role by its name; an unknown one is an error that names the nearest."""
    for known in ROLES:
        if name == known:
            return known
    raise RunbookError(f"unknown twin '{name}'", nearest=nearest(name, ROLES), fix=f"one of: {', '.join(ROLES)}")
