"""The print edition: the document as PDF, printed by Chromium without network."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from lib.core import paths
from lib.core.errors import RunbookError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Figures are drawn while the page believes that so much time passes, in ms; the printing itself waits for nothing.
PATIENCE_MS = 30_000
LIMIT_S = 300


def browser() -> str:
    """Return the browser that prints.

    Raises
    ------
    RunbookError
        None is installed.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), "")
    if not found:
        raise RunbookError(
            "no Chromium to print with",
            where=", ".join(BROWSERS),
            fix="sudo apt-get install -y --no-install-recommends chromium",
        )
    return found


def write(document: Path, out: Path | None = None) -> Path:
    """Print a document and return the PDF.

    Parameters
    ----------
    document : Path
        `report.html` of a run.
    out : Path, optional
        The PDF; by default beside the document.

    Raises
    ------
    RunbookError
        There is no document or no browser, or the browser made no PDF; its last words are told.
    """
    if not document.exists():
        raise RunbookError("no document to print", where=paths.short(document), fix="python -m lib report")
    target = (out or document.with_suffix(".pdf")).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="runbook-print-") as place:
        made = Path(place) / "report.pdf"
        command = [
            browser(),
            "--headless",
            # The sandbox needs rights that containers and root do not give; the page is our own, and nothing is loaded.
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={place}/profile",
            f"--virtual-time-budget={PATIENCE_MS}",
            "--no-pdf-header-footer",
            f"--print-to-pdf={made}",
            document.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise RunbookError(f"the browser did not finish within {LIMIT_S} s", where=paths.short(document)) from error
        if done.returncode or not made.exists():
            last = (done.stderr.strip().splitlines() or ["no words"])[-1]
            raise RunbookError(f"the browser made no PDF: {last[:300]}", where=paths.short(document))
        shutil.copyfile(made, target.with_name(f"{target.name}.new"))
    target.with_name(f"{target.name}.new").replace(target)
    return target
