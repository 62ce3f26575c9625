"""The load: what is asked of vLLM's client, and what happens when it fails."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lib.core.errors import RunbookError
from lib.core.sections import Batching, Shape
from lib.engine.bench import point, results, sweep
from lib.engine.bench.client import LoadClient
from lib.engine.bench.point import Effort, Point
from lib.engine.serve import command
from lib.engine.serve.process import alive
from lib.engine.serve.server import Server

LOAD = Batching(concurrency=[1, 4], input_tokens=64, output_tokens=32, prompts_per_slot=1, repeats=3)
EFFORT = Effort.of(LOAD)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[LoadClient]:
    environment = command.inherited() | command.caches() | {"HF_HUB_OFFLINE": "1"}
    with LoadClient(tmp_path / "client.log", environment) as made:
        yield made


def test_each_shape_is_measured_at_every_concurrency() -> None:
    load = LOAD.model_copy(update={"shapes": [Shape(input_tokens=512, output_tokens=8)]})
    assert point.points(load) == [Point(1, 64, 32), Point(4, 64, 32), Point(1, 512, 8), Point(4, 512, 8)]


def test_names_of_points_are_unique() -> None:
    several = [Point(4, 64, 32), Point(4, 64, 8), Point(4, 64, 32, 16), Point(4, 0, 32, dataset=Path("chat.jsonl"))]
    assert len({item.label for item in several}) == 4
    assert several[3].conditions == {"concurrency": 4, "workload": "chat", "output_tokens": 32}


def test_a_load_that_cannot_run_is_one_error_with_its_cause(tmp_path: Path, client: LoadClient) -> None:
    target = sweep.Target("http://127.0.0.1:9", "nobody", tmp_path / "no-tokenizer")
    with pytest.raises(RunbookError, match="the load at c1-i64-o32-warm-up failed") as caught:
        sweep.run(target, point.points(LOAD), EFFORT, tmp_path / "bench", client)
    assert "client.log" in caught.value.where
    assert (tmp_path / "bench" / "client.log").read_text()
    plan = json.loads((tmp_path / "bench" / "plan.json").read_text())
    points = ["c1-i64-o32", "c4-i64-o32"]
    assert [entry["label"] for entry in plan] == [
        *(f"{name}-warm-up" for name in points),
        *(f"{name}-r{repeat}" for repeat in range(3) for name in points),
    ]
    assert all("--ignore-eos" in entry["arguments"] for entry in plan)
    seeds = [entry["arguments"][entry["arguments"].index("--seed") + 1] for entry in plan]
    assert len(set(seeds)) == len(seeds), "no run repeats another's prompts, which the prefix cache would answer"


def test_two_measurements_of_one_point_ask_other_prompts(tmp_path: Path) -> None:
    asked = [sweep.seed(tmp_path / name, Point(1, 64, 32), 0) for name in ("pair0", "pair1")]
    assert len(set(asked)) == 2


def test_a_client_that_dies_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.engine.bench.client.sys.executable", "/bin/false")
    target = sweep.Target("http://127.0.0.1:9", "x", tmp_path)
    with (
        LoadClient(tmp_path / "client.log", dict(os.environ)) as client,
        pytest.raises(RunbookError, match="stopped before c1-i64-o32-warm-up"),
    ):
        sweep.run(target, point.points(LOAD), EFFORT, tmp_path / "bench", client)


@pytest.mark.engine
def test_one_client_runs_many_loads_and_leaves_nothing(engine: Server, tmp_path: Path, client: LoadClient) -> None:
    effort = EFFORT._replace(repeats=2)
    target = sweep.Target(engine.url, engine.model.name, engine.folder)
    told: list[str] = []
    client.ready()
    begun = client.tree()
    assert begun, "its import begins before there is anything to load"
    # Named by its own command line: other clients of this machine have theirs beside it.
    (pipe,) = {Path(word) for one in begun for word in psutil.Process(one.pid).cmdline() if word.endswith("/orders")}
    assert pipe.is_fifo()
    first = sweep.run(target, [Point(2, 32, 8)], effort, tmp_path / "first", client, told.append)
    assert told == ["c2-i32-o8-warm-up", "c2-i32-o8-r0", "c2-i32-o8-r1"]
    assert results.completed(first, effort).status == "pass"
    assert all(json.loads(file.read_text())["completed"] == 2 for file in first[0].files)
    assert {m.unit for m in results.measurements(first[0])} == {"tok/s", "ms", "1/s"}
    assert all(0 < share < 2 for share in first[0].client_cpu)

    prompts = tmp_path / "chat.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Count to {n}."}) + "\n" for n in (3, 4, 5, 6)))
    text = Point(2, 0, 8, dataset=prompts)
    shared = Point(2, 64, 8, prefix_tokens=32)
    again = sweep.run(target, [text, shared], effort, tmp_path / "second", client)
    assert [results.completed([one], effort).status for one in again] == ["pass", "pass"]
    processes = client.tree()
    assert begun[0] in processes, "the same process is still there"
    client.close()
    assert not [process for process in processes if alive(process)]
    assert not pipe.parent.exists()
