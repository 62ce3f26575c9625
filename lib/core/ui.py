"""Controls and gauges for JupyterLab; headless, the same cells render static."""

import subprocess
import sys
import threading
from typing import Any

import psutil

from lib.core import display, paths
from lib.core import profile as profiles
from lib.core.chapter import Chapter


def controls(chapter: Chapter) -> Any:
    """Return a profile picker with a run button and live gauges, or, headless, the profile as a table."""
    if chapter.headless:
        chosen = chapter.profile
        rows = {"Profile": f"{chosen.name}: {chosen.title}", "Serves": chosen.models.served, "Mode": chapter.mode}
        return display.table([{"": key, " ": value} for key, value in rows.items()])
    import ipywidgets as widgets

    picker = widgets.Dropdown(options=profiles.names(), value=chapter.profile.name, description="profile")
    about = widgets.HTML(chapter.profile.title)
    button = widgets.Button(description="Run all chapters", icon="play")
    output = widgets.Output()

    def describe(change: dict[str, Any]) -> None:
        about.value = profiles.load(change["new"]).title

    def start(_: Any) -> None:
        button.disabled = True
        threading.Thread(target=_run, args=(picker.value, output, button), daemon=True).start()

    picker.observe(describe, names="value")
    button.on_click(start)
    return widgets.VBox([widgets.HBox([picker, about]), button, output, gauges()])


def gauges(seconds: float = 2.0) -> Any:
    """Return live bars for processor, memory and each NVIDIA card; they stop with the kernel."""
    import ipywidgets as widgets

    bars = {name: widgets.FloatProgress(max=100, description=name) for name in readings()}
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(seconds):
            for name, value in readings().items():
                if name in bars:
                    bars[name].value = value

    threading.Thread(target=follow, daemon=True).start()
    return widgets.VBox(list(bars.values()))


def readings() -> dict[str, float]:
    """Return load in per cent: processor, memory, and for each NVIDIA card its memory."""
    values = {"processor": psutil.cpu_percent(), "memory": psutil.virtual_memory().percent}
    try:
        import pynvml

        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(index))
            values[f"GPU {index}"] = 100 * memory.used / memory.total
    except pynvml.NVMLError:
        return values
    return values


def _run(profile: str, output: Any, button: Any) -> None:
    command = [sys.executable, "-m", "lib", "run", "--profile", profile]
    with subprocess.Popen(command, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        for line in run.stdout or ():
            output.append_stdout(line)
    button.disabled = False
