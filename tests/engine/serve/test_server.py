"""Starting, failing and stopping: with a stand-in where only the starter counts, with a real vLLM where it matters."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import LOGS, MODEL, MakeServer

from lib.core import paths, processor
from lib.core import profile as profiles
from lib.core.evidence import Check
from lib.engine.models import catalogue, fetch
from lib.engine.serve import conformance, guard, kernels, server
from lib.engine.serve import log as logs
from lib.engine.serve.process import alive
from lib.engine.serve.server import Server, StartError

# What a notebook's kernel does: start an engine and hold it. Prints the port and the root of the process tree.
OWNER = """
import sys, time
from pathlib import Path
from lib.core import profile
from lib.engine.models import catalogue
from lib.engine.serve.server import Server
engine = Server(profile.load("embedded"), catalogue.get(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
engine.start()
print(engine.port, engine.tree()[0].pid, flush=True)
time.sleep(300)
"""


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


# --- the starter alone -----------------------------------------------------------------------------------------


def test_a_server_starts_answers_and_stops(make_server: MakeServer) -> None:
    engine = make_server("serve", f"log={LOGS / 'start_eager.txt'}")
    with engine:
        assert engine.running
        assert engine.ready_seconds > 0
        seen = engine.readback()
        assert (seen.version, seen.kv_tokens) == ("0.0-stand-in", 46592)
        assert engine.routes() == ["/health", "/v1/models"]
        tree = engine.tree()
        assert len(tree) == 3, "two guards and the engine"
    assert not engine.running
    assert not [process for process in tree if alive(process)]


def test_metrics_fill_in_what_the_log_lacks(make_server: MakeServer) -> None:
    with make_server("serve") as engine:
        assert engine.readback().kv_tokens == 4711


def test_stages_are_told_as_they_come(make_server: MakeServer) -> None:
    engine = make_server("hang", f"log={LOGS / 'kv_cache_too_small.txt'}", ready_timeout_s=3.0)
    told: list[str] = []
    engine.on_stage = lambda stage, _seconds: told.append(stage)
    with pytest.raises(StartError):
        engine.start()
    assert told[-1] == "loading weights"


def test_a_start_that_hangs_is_one_error_and_leaves_nothing(make_server: MakeServer) -> None:
    engine = make_server("hang", "stubborn", ready_timeout_s=2.0, stop_timeout_s=0.5)
    with pytest.raises(StartError, match="not ready after 2 s, while starting Python") as caught:
        engine.start()
    assert "serving.ready_timeout_s" in caught.value.fix
    assert not engine.tree()
    assert server.port_free("127.0.0.1", engine.port)


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("unknown_flag", "unrecognized arguments: --max-batch-size", "--max-num-seqs"),
        ("context_too_long", "is greater than the derived max_model_len", "at most 8192"),
        ("kv_cache_too_small", "To serve at least one request", "at most 46464"),
    ],
)
def test_a_start_that_fails_tells_the_line_and_the_remedy(
    make_server: MakeServer, name: str, what: str, fix: str
) -> None:
    with pytest.raises(StartError) as caught:
        make_server("exit=1", f"log={LOGS / f'{name}.txt'}").start()
    assert what in caught.value.what
    assert fix in caught.value.fix
    assert caught.value.where.endswith("engine.log")


def test_an_engine_that_the_kernel_killed_is_told_apart(make_server: MakeServer) -> None:
    with pytest.raises(StartError, match=r"killed while loading weights.*for want of memory"):
        make_server("kill", f"log={LOGS / 'damaged_weights.txt'}").start()


def test_a_missing_model_is_one_error_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    engine = Server(profiles.load("embedded"), catalogue.get(MODEL), tmp_path / "nowhere", tmp_path / "log")
    with pytest.raises(StartError, match=f"the model {MODEL} is not there") as caught:
        engine.start()
    assert caught.value.fix == f"python -m lib models fetch {MODEL}"


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="there is a card")
def test_a_gpu_profile_is_not_even_tried_without_a_gpu(tmp_path: Path, model_folder: Path) -> None:
    profile = profiles.load("rtx-pro-6000")
    engine = Server(profile, catalogue.get(profile.models.served), model_folder, tmp_path / "log")
    with pytest.raises(StartError, match="rtx-pro-6000 wants a CUDA GPU") as caught:
        engine.start()
    assert "--profile embedded" in caught.value.fix
    assert not (tmp_path / "log").exists()


def test_a_card_without_the_build_for_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.nvml, "snapshot", lambda: {"cards": [{}]})
    monkeypatch.setattr(server.command, "launcher", lambda: ["python", "-m", "vllm.entrypoints.openai.api_server"])
    with pytest.raises(StartError, match="the installed one is another build"):
        server.fits(profiles.load("rtx-pro-6000"))


def test_an_interrupt_during_the_start_leaves_nothing(make_server: MakeServer) -> None:
    engine = make_server("hang", stop_timeout_s=0.5)

    def interrupt(_stage: str, _seconds: float) -> None:
        raise KeyboardInterrupt

    engine.on_stage = interrupt
    with pytest.raises(KeyboardInterrupt):
        engine.start()
    assert not engine.tree()


def test_what_will_not_stop_is_killed_and_a_second_stop_does_no_harm(make_server: MakeServer) -> None:
    engine = make_server("serve", "stubborn", stop_timeout_s=0.5)
    engine.start()
    tree = engine.tree()
    assert len(tree) == 4
    stopped = engine.stop()
    assert (stopped.left, stopped.port_free) == ([], True)
    assert not [process for process in tree if alive(process)]
    assert engine.stop().seconds < 1


def test_a_taken_port_is_not_free(taken_port: int) -> None:
    assert not server.port_free("127.0.0.1", taken_port)


# --- a real vLLM -----------------------------------------------------------------------------------------------


@pytest.mark.engine
def test_the_real_engine_is_read_back(engine: Server) -> None:
    seen = engine.readback()
    dtype, tokens = ("bfloat16", 46592) if processor.computes_bfloat16() else ("float32", 23296)
    assert (seen.device, seen.dtype, seen.eager) == ("cpu", dtype, True)
    assert seen.kv_tokens == tokens
    assert {"/v1/chat/completions", "/metrics", "/health"} <= set(engine.routes())
    assert kernels.checks(engine.profile, engine.model, seen, engine.libraries(), "cpu")[0].status == "pass"


@pytest.mark.engine
def test_the_real_engine_writes_nothing_into_the_home_folder(engine: Server) -> None:
    started = Path(f"/proc/{engine.tree()[0].pid}").stat().st_ctime
    suspects = [Path.home() / name for name in (".cache/vllm", ".config/vllm", ".cache/huggingface", ".triton")]
    assert not [path for path in suspects if path.exists() and path.stat().st_mtime > started]
    open_files = [
        link
        for process in engine.tree()
        for link in Path(f"/proc/{process.pid}/fd").iterdir()
        if str(link.readlink()).startswith(str(Path.home()) + "/") and not link.readlink().is_relative_to(paths.ROOT)
    ]
    assert not open_files


@pytest.mark.engine
@pytest.mark.parametrize("check", [conformance.streaming, conformance.structured, conformance.listening])
def test_the_real_engine_speaks_the_interface(engine: Server, check: Callable[[Server], Check]) -> None:
    verdict = check(engine)
    assert verdict.status == "pass", verdict.observed


@pytest.mark.engine
def test_a_real_start_on_a_taken_port_is_one_error(tmp_path: Path, taken_port: int) -> None:
    profile = profiles.load("embedded", {"serving.port": taken_port})
    with pytest.raises(StartError, match="Address already in use") as caught:
        Server(profile, catalogue.get(MODEL), fetch.ensure(MODEL), tmp_path / "log").start()
    assert "serving.port" in caught.value.fix


@pytest.mark.engine
@pytest.mark.parametrize("moment", ["starting the engine's process", "ready"])
def test_nothing_survives_the_kill_of_the_owner(tmp_path: Path, moment: str) -> None:
    log = tmp_path / "engine.log"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, MODEL, str(fetch.ensure(MODEL)), str(log)],
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    port = 0
    if moment == "ready":
        assert owner.stdout
        port, _ = map(int, owner.stdout.readline().split())
    else:
        deadline = time.monotonic() + 120
        while logs.stage(log.read_text() if log.exists() else "") != moment and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
    tree = guard.descendants(owner.pid)
    assert len(tree) >= 4, "guards, API server, engine core at least"
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(10)
    if owner.stdout:
        owner.stdout.close()
    begun = time.monotonic()
    while [pid for pid in tree if guard._stat(Path(f"/proc/{pid}"))[0] not in "ZX"]:
        assert time.monotonic() - begun < 15, "still alive after 15 s"
        time.sleep(0.1)
    assert not port or server.port_free("127.0.0.1", port)
