"""Execute one notebook with papermill, in this process, telling at each cell how far it is."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import papermill
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from lib.core import paths

Progress = Callable[[str], None]
ENGINE = "runbook"


class _ProgressEngine(NBClientEngine):  # type: ignore[misc]  # papermill ships no types
    """Papermill's own engine; it also reports the section that is being worked on."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        on_section: Progress = options.pop("on_section")
        original = nb_man.cell_start
        sections = _sections(nb_man.nb)

        def cell_start(cell: Any, cell_index: int | None = None, **extra: Any) -> None:
            on_section(sections.get(cell.get("id", ""), ""))
            original(cell, cell_index, **extra)

        nb_man.cell_start = cell_start
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


def _sections(node: Any) -> dict[str, str]:
    """Map each cell's id to the heading that it stands under."""
    heading, found = "", {}
    for cell in node.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            heading = cell.source.splitlines()[0][3:]
        found[cell.get("id", "")] = heading
    return found


papermill_engines.register(ENGINE, _ProgressEngine)


def execute(source: Path, target: Path, parameters: dict[str, Any], on_section: Progress) -> str:
    """Run a notebook from the repository's folder and return its error, or the empty string.

    The executed notebook, with outputs up to the error, is written to `target` in any case.
    """
    _keep_inside()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(source.relative_to(paths.ROOT)) if source.is_relative_to(paths.ROOT) else str(source),
            paths.short(target),
            parameters=parameters,
            engine_name=ENGINE,
            kernel_name="python3",
            cwd=str(paths.ROOT),
            progress_bar=False,
            log_output=False,
            on_section=on_section,
            # Cells and outputs travel over loopback TCP: encrypted, so that no other user of the machine reads them.
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        )
    except PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except RuntimeError as error:
        # The kernel died (killed, out of memory): nbclient raises DeadKernelError, a RuntimeError.
        return f"{type(error).__name__}: {error}"
    return ""


def _keep_inside() -> None:
    """Keep Jupyter's own files below the project's cache: a run writes nothing into the home folder."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        folder = paths.CACHE / "jupyter" / variable.lower()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault(variable, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH", "")]))
