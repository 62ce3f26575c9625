"""Controls in JupyterLab; static headless."""

from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets
import pytest

from lib.core import profile, ui
from lib.core.chapter import open_chapter

MakeChapter = Callable[..., Path]


def test_headless_controls_are_static(make_chapter: MakeChapter, tmp_path: Path) -> None:
    folder = make_chapter("00").parent
    shown = ui.controls(open_chapter("00", run=str(tmp_path / "run"), folder=folder))
    assert "embedded" in shown.text


def test_the_picker_describes_the_chosen_profile(
    make_chapter: MakeChapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui, "gauges", widgets.VBox)
    chapter = open_chapter("00", run=str(tmp_path / "run"), folder=make_chapter("00").parent)
    chapter.headless = False
    (row, button, _, _) = ui.controls(chapter).children
    picker, about = row.children
    assert picker.options == tuple(profile.names())
    picker.value = "rtx-pro-6000"
    assert "RTX PRO 6000" in about.value
    assert button.description == "Run all chapters"


def test_readings_are_percentages() -> None:
    values = ui.readings()
    assert {"processor", "memory"} <= set(values)
    assert all(0 <= value <= 100 for value in values.values())
