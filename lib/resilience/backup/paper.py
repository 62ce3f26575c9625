"""The key on paper: one page with the repository's password, to read and to scan. It is never part of a run."""

import hashlib
import html
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from lib.core import paths
from lib.core.errors import RefusedError, RunbookError
from lib.deploy.template import render
from lib.resilience.backup.items import resolved
from lib.resilience.backup.repository import Repository

GROUP = 6


def write(repository: Repository, file: Path) -> None:
    """Write the page into a new file that only its owner reads.

    Raises
    ------
    RefusedError
        The file would lie in a run: a run is a document, and travels.
    RunbookError
        The file exists, or there is no password, or no program that draws the code.
    """
    if file.resolve().is_relative_to(paths.RUNS.resolve()):
        raise RefusedError(
            "a run is a document: no secret goes there", where=paths.short(file), fix="choose ~/key.html"
        )
    markup = page(repository)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise RunbookError("the file exists", where=paths.short(file), fix="choose a new one") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(markup)


def page(repository: Repository) -> str:
    """Return the page as HTML that needs no network."""
    repository.environment()
    password = resolved(repository.settings.password_file).read_text(encoding="utf-8").splitlines()[0]
    groups = [password[start : start + GROUP] for start in range(0, len(password), GROUP)]
    return render(
        "restic/paper.html.j2",
        groups=[html.escape(group) for group in groups],
        code=code(password),
        digest=hashlib.sha256(password.encode()).hexdigest()[:8],
        address=html.escape(repository.address()),
        target=html.escape(repository.name),
        day=f"{datetime.now(UTC):%Y-%m-%d}",
    )


def code(text: str) -> str:
    """Return a text as a QR code, SVG; it goes to the program by its input, where no list of processes shows it.

    Raises
    ------
    RunbookError
        The program that draws it is missing.
    """
    program = shutil.which("qrencode")
    if program is None:
        raise RunbookError("qrencode is not installed", fix="apt-get install qrencode")
    argv = [program, "-t", "SVG", "-l", "Q", "--svg-path", "--rle", "-s", "6", "-o", "-"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout[done.stdout.index("<svg") :]
