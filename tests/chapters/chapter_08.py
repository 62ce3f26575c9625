"""What the tests of both halves of chapter 08 share: the chapter, with the speaking stand-in for every model."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib.chapters import gate, quality, swap
from lib.chapters import load as loads
from lib.chapters import swap_sleep as sleeping
from lib.core import processor
from lib.core.chapter import Chapter, open_chapter
from lib.engine.models import fetch
from lib.engine.serve import command, server, smoke

STAND_IN = Path(__file__).with_name("speaking_engine.py")
BF16, INT4 = "smollm2-135m", "smollm2-135m-int4"
Open = Callable[..., Chapter]
AMPLE = {"avx2", "avx512f", "avx512_bf16"}


def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Return a function that opens chapter 08 with words for the stand-in and overrides for the profile."""

    def opened(*words: str, profile: str = "embedded", missing: str = "", **overrides: Any) -> Chapter:
        for name in (BF16, INT4, "qwen3-30b-a3b", "gpt-oss-120b"):
            folder = tmp_path / "store" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model.safetensors").write_bytes(b"\0" * 1000 * len(name))
            if name != missing:
                (folder / "config.json").write_text("{}")
        monkeypatch.setattr(fetch, "folder", lambda name, *_: tmp_path / "store" / name)
        monkeypatch.setattr(command, "launcher", lambda *_: [sys.executable, str(STAND_IN), *words])
        monkeypatch.setattr(server, "fits", lambda *_: None)
        monkeypatch.setattr(processor, "flags", lambda *_: AMPLE)
        monkeypatch.setattr(gate, "chosen_kernels", lambda *_: [])
        monkeypatch.setattr(loads, "measure", lambda *_, **__: [])
        known = smoke.load()
        easy = {model: mark.model_copy(update={"correct": 2}) for model, mark in known.pass_marks.items()}
        monkeypatch.setattr(smoke, "load", lambda: known.model_copy(update={"pass_marks": easy}))
        pair = {"swap.models": [BF16, INT4], "quality.models": [BF16, INT4]} if profile == "embedded" else {}
        values = {
            **pair,
            "serving.ready_timeout_s": 30,
            "quality.text_tokens": 1024,
            "quality.questions": 20,
            **overrides,
        }
        return open_chapter("08", profile, "plan", str(tmp_path / "run"), values)

    return opened


def go_round(chapter: Chapter) -> tuple[swap.Turns, quality.Interview]:
    """Do what the notebook does in its section Do, and stop the last server."""
    turns, interview = swap.Turns(chapter), quality.Interview(chapter)
    try:
        for name in swap.rounds(chapter):
            engine = turns.serve(name)
            sleeping.nights(chapter, engine)
            interview.ask(engine, turns.answers.get(name, ()), trusted=turns.trusted.get(name, False))
    finally:
        turns.stop()
    return turns, interview
