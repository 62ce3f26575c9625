"""Where things are. Everything the runbook writes stays below the repository's folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
RUNBOOK = ROOT / "runbook"
PROFILES = RUNBOOK / "profiles"
MODELS_FILE = RUNBOOK / "models.yml"
TEMPLATES = RUNBOOK / "templates"
REPORT_TEMPLATE = RUNBOOK / "report"
LOCKS = RUNBOOK / "locks"
RUNS = RUNBOOK / "runs"
CACHE = Path(os.environ.get("RUNBOOK_CACHE") or ROOT / ".cache").absolute()


def short(path: Path | str) -> str:
    """Show a path relative to the repository where it lies inside; documents travel, home folders do not."""
    resolved = Path(path).absolute()
    return str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else str(path)


def portable(text: str) -> str:
    """Take the repository's own place out of a text, so that a log can travel with the document."""
    return text.replace(f"{ROOT}/", "")
