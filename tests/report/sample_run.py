"""Test data: a small run of small chapters, executed by the real runner, with everything that a document must show.

Its numbers are made up and mean nothing; they exercise the page.
"""

import json
from pathlib import Path

import nbformat

from lib.core import profile
from lib.core.run import Run

PARAMETERS = 'profile = "embedded"\nmode = "plan"\nrun = ""\noverrides = {}'
HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=1">'

HARDWARE = [
    """# Hardware

Whether this machine is what the profile expects, and what it would take where it is not.
See also [chapter 04](04_load.ipynb) and [the source](../lib/host/probe.py).""",
    """chapter.header()""",
    """## Look

Facts are read from `/proc` and `/sys`. Nothing is changed.

| File | Gives |
|---|---|
| `/proc/cpuinfo` | model and features of the processor |
| `/proc/meminfo` | memory, in KiB |

```bash
lscpu | grep -i model
```""",
    """display.table([{"": "Processor", " ": "sample"}, {"": "Memory", " ": "24 GiB"}])""",
    """## Plan

What would change, as a diff, each with its reason.""",
    """changes = chapter.record(
    Change(name="tuning.swappiness", title="Swap only under pressure", status="planned", target="/etc/sysctl.d/60.conf",
           before="vm.swappiness = 60", after="vm.swappiness = 10", reason="Weights in memory must stay there.",
           source="https://docs.kernel.org/admin-guide/sysctl/vm.html", undo="rm /etc/sysctl.d/60.conf"),
    Change(name="tuning.hugepages", title="Static huge pages", status="verified", target="/proc/sys/vm/nr_hugepages",
           before="0", after="0", reason="vLLM uses none."))
display.changes(changes)""",
    """## Verify""",
    """found = chapter.record(
    Check(name="hardware.memory", title="Main memory", status="pass", expected="at least 6 GiB", observed="24 GiB"),
    Check(name="hardware.governor", title="Frequency governor", status="warn", expected="performance",
          observed="powersave", fix="sudo cpupower frequency-set -g performance\\nthen run this chapter again"),
    Check(name="hardware.gpu0.pcie_width", title="PCI Express width", status="skip", expected="16 lanes",
          observed="no NVIDIA card", fix="run on the machine that has the card"),
    Check(name="hardware.disk", title="Read speed of the model disk", status="fail", expected="2500 MB/s",
          observed="412 MB/s", fix="move the models to the NVMe drive: set models.store in the profile",
          source="https://docs.kernel.org/block/ 2026-11-01"),
    artifacts=[chapter.save("lscpu.txt", "Architecture: x86_64\\nModel name: sample\\n")], command="lscpu")
display.checks(found, "Checks of the machine")""",
    """## Undo

Nothing was done.""",
]
BROKEN = [
    "# Driver\n\nWhether the driver fits the card.",
    "chapter.header()",
    "## Look\n\nThe driver is asked for its version.",
    """def version(text):
    return tuple(int(part) for part in text.split("."))

def newer(found, wanted):
    return version(found) >= version(wanted)

print("asking")
newer("580.95.x", "580")""",
    "## Verify\n\nNever reached.",
    'display.table([{"a": 1}])',
    "## Undo\n\nNothing to undo.",
]
NEEDS_BROKEN = ["# Tuning\n\nWhat needs a working driver.", "chapter.header()"]
LOAD = [
    "# Load\n\nThroughput and latency under load, with intervals.",
    "chapter.header()",
    "## Measure\n\nEach point is measured three times.",
    """import numpy as np
import plotly.graph_objects as go
import sys

for step in range(100):
    print(f"request {step} of 100 done in {str(chapter.run)[:0]}0.1 s")
print("\\x1b[31mred\\x1b[0m 10 %\\r20 %\\r100 %", file=sys.stderr)""",
    """raw = chapter.save("point_32.json", '{"output_throughput": 318.2, "note": "</script><b>bold</b>"}')
big = chapter.save("server.log", "INFO a line of the log\\n" * 6000)
points = []
for load, speed, ttft in ((1, 41.5, 61.0), (4, 131.2, 102.4), (16, 262.9, 388.0), (32, 318.2, 811.5)):
    where = dict(conditions={"concurrency": load, "input_tokens": 64})
    points += [
        Measurement(name="batching.output_throughput", title="Output throughput", value=speed, unit="tok/s", n=3,
                    interval=(speed * 0.97, speed * 1.03), method="sample", **where),
        Measurement(name="batching.median_ttft_ms", title="TTFT, median", value=ttft, unit="ms", n=3,
                    interval=(ttft * 0.9, ttft * 1.1), method="sample", **where),
    ]
points.append(Measurement(name="engine.ready_seconds", title="Engine ready", value=34.7, unit="s", method="sample"))
with chapter.engine_time("load"):
    points = chapter.record(*points, artifacts=[raw, big], command="vllm bench serve", model="sample", weights="random")
display.measurements(points, "Operating points")""",
    """speed = [p for p in points if p.unit == "tok/s"]
x = [p.conditions["concurrency"] for p in speed]
line = go.Scatter(x=np.array(x), y=np.array([p.value for p in speed]), name="vLLM", mode="lines+markers",
                  error_y={"array": [p.value * 0.03 for p in speed]})
other = go.Scatter(x=x, y=[30.0, 80, 120, 130], name="another engine")
figure = go.Figure([line, other])
figure.update_layout(xaxis_title="concurrency", yaxis_title="output tokens per second", height=380)
display.figure(figure, "Throughput over concurrency </script><b>not bold</b>")""",
    """heat = go.Figure(go.Heatmap(z=np.arange(6.0).reshape(2, 3), x=["a", "b", "c"], y=["low", "high"]))
display.figure(heat, "A heat map")""",
    """wide = [{f"column {i} with a long name": "x" * 24 for i in range(12)}]
display.table(wide, "A table that is wider than a phone")""",
    f"""hostile = {HOSTILE!r}
kept = '<table onclick="x()"><tr><td>kept</td></tr></table><a href="javascript:1">link</a>'
display.show(display.Html(hostile + kept))
display.checks(chapter.record(Check(name="load.hostile", title=hostile, status="pass", observed=hostile)))""",
    "## Decide",
    """display.decision(*chapter.record(Decision(
    name="batching.choice", choice="Serve with 32 sequences", reason="Throughput still grows and TTFT is in bounds.",
    evidence=["batching.output_throughput", "hardware.memory", "nowhere.recorded"], alternatives=["16 sequences"])))""",
]


def build(base: Path) -> Path:
    """Execute the sample chapters below a folder, once, and return the run's folder."""
    if not (base / "runs" / "latest" / "run.json").exists():
        notebooks = base / "notebooks"
        notebooks.mkdir(parents=True)
        _write(notebooks, "01_hardware", HARDWARE)
        _write(notebooks, "02_driver", BROKEN)
        _write(notebooks, "03_tuning", NEEDS_BROKEN, needs=["02"])
        _write(notebooks, "04_load", LOAD)
        Run(profile.load("embedded"), runs=base / "runs", notebooks=notebooks, quiet=True).execute()
    return (base / "runs" / "latest").resolve()


def _write(folder: Path, stem: str, cells: list[str], needs: list[str] | None = None) -> None:
    opening = (
        "from pathlib import Path\n"
        "from lib.core import display\n"
        "from lib.core.chapter import open_chapter\n"
        "from lib.core.evidence import Change, Check, Decision, Measurement\n"
        f'chapter = open_chapter("{stem[:2]}", profile, mode, run, overrides, Path({str(folder)!r}))'
    )
    made = [nbformat.v4.new_markdown_cell(cells[0])]
    made.append(nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}))
    made.append(nbformat.v4.new_code_cell(opening))
    for cell in cells[1:]:
        prose = cell.startswith("#")
        made.append(nbformat.v4.new_markdown_cell(cell) if prose else nbformat.v4.new_code_cell(cell))
    notebook = nbformat.v4.new_notebook(cells=made)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["runbook"] = {
        "needs": needs or [],
        "minutes": 0.1,
        "risk": "none",
        "changes": "nothing",
        "undo": "nothing to undo",
    }
    (folder / f"{stem}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
