"""The walk-through: a chapter opened in JupyterLab starts in its own folder, without a run's parameters."""

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import papermill
import pytest

from lib.core import paths

pytestmark = pytest.mark.end_to_end


@pytest.mark.skipif(shutil.which("make") is None, reason="sudo apt-get install make")
def test_make_lab_lets_notebooks_find_the_code_and_listens_here_only() -> None:
    told = subprocess.run(["make", "-n", "lab"], cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout
    assert f"PYTHONPATH='{paths.ROOT}'" in told
    assert "--ServerApp.ip=127.0.0.1" in told
    assert "token=''" not in told


def test_a_chapter_runs_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(paths.ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    papermill.execute_notebook(
        str(paths.NOTEBOOKS / "00_start_here.ipynb"),
        str(tmp_path / "out.ipynb"),
        cwd=str(paths.NOTEBOOKS),
        kernel_name="python3",
        progress_bar=False,
    )
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    controls = next(cell for cell in cells if cell.get("id") == "controls")
    shown = {kind for output in controls.outputs for kind in output.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" in shown, "live controls, not the static table of a run"
    assert (paths.RUNS / "lab" / "chapters" / "00_start_here.jsonl").stat().st_size > 0
    assert not os.path.lexists(paths.NOTEBOOKS / "runbook"), "nothing is written beside the notebooks"
