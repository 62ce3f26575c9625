"""README.md names nothing that is not there, and leaves out no command, chapter, profile or exit code."""

import re
from collections.abc import Iterator

import pytest
import typer.main
from typer.core import TyperGroup as Group

from lib.cli import app
from lib.core import notebook, paths, profile
from lib.core.errors import Exit

README = (paths.ROOT / "README.md").read_text()
MADE_BY_RUNNING = (".venv", ".cache", "runbook/runs", "runbook/review")


def table(first_column: str) -> list[list[str]]:
    """Return the rows of the table whose header begins with this cell."""
    _, _, rest = README.partition(f"| {first_column} |")
    rows = [line for line in rest.split("\n\n")[0].splitlines()[2:] if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def commands(group: Group, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


@pytest.fixture(scope="module")
def cli() -> Group:
    made = typer.main.get_command(app)
    assert isinstance(made, Group)
    return made


def test_chapters_are_those_in_notebooks() -> None:
    assert [(row[0], row[1]) for row in table("no.")] == [(source.id, source.title) for source in notebook.sources()]


def test_profiles_are_those_in_runbook() -> None:
    assert sorted(row[0].strip("`") for row in table("profile")) == profile.names()


def test_commands_are_those_of_the_command_line(cli: Group) -> None:
    cells = [cell for row in table("`.venv/bin/python -m lib …`") for cell in re.findall(r"`([^`]+)`", row[0])]
    documented = {re.sub(r" [\[A-Z].*", "", cell) for cell in cells}
    assert documented == set(commands(cli))


def test_options_of_run_are_its_own(cli: Group) -> None:
    documented = {row[0].strip("`").split()[0] for row in table("option of `run`")}
    own = {name for parameter in cli.commands["run"].params for name in parameter.opts if name.startswith("--")}
    assert documented == own


def test_exit_codes_are_those_of_the_code() -> None:
    assert {int(row[0]) for row in table("exit code")} == {int(code) for code in Exit}


def test_make_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (paths.ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", README, re.M))
    assert {"runbook", "test", "lab", "clean", "distclean", "lock"} <= named
    assert named <= targets


def test_files_exist() -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    quoted = re.findall(r"`((?:lib|runbook|scripts|tests|notebooks|docs)/[\w./-]*|[\w-]+\.(?:toml|yml))`", README)
    listed = re.findall(r"^    ((?:lib|runbook|scripts|tests|notebooks)/[\w./-]*)  ", README, re.M)
    names = [name for name in [*linked, *quoted, *listed] if not name.startswith(MADE_BY_RUNNING) and "NN_" not in name]
    assert len(names) > 15
    assert [name for name in names if not (paths.ROOT / name).exists()] == []
