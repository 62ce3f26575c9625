"""A finished run as a machine left it: every notebook's own prose, and the evidence of the reference bundles."""

import json
import shutil
from pathlib import Path

from lib.core import evidence, notebook, paths
from lib.core.state import ChapterState, RunState

BUNDLES = sorted((paths.RUNBOOK / "reference").glob("*/evidence.jsonl"))


def build(folder: Path) -> Path:
    """Write a run's folder: notebooks without outputs, all real evidence, a state in which every chapter passed."""
    run = folder / "2026-11-24T10-00-00-h200"
    (run / "chapters").mkdir(parents=True)
    chapters = []
    for source in notebook.sources():
        shutil.copy(source.path, run / "chapters" / source.path.name)
        chapters.append(ChapterState(id=source.id, stem=source.stem, title=source.title, status="passed", seconds=61.5))
    records = [record for bundle in BUNDLES for record in evidence.read(bundle)]
    evidence.append(run / "evidence.jsonl", records)
    state = RunState(
        id=run.name,
        profile="h200",
        mode="plan",
        started="2026-11-24T10:00:00+00:00",
        seconds=4321.5,
        chapters=chapters,
        checks=evidence.count(records),
        complete=True,
    )
    (run / "run.json").write_text(json.dumps(state.model_dump(mode="json", by_alias=True)))
    return run
