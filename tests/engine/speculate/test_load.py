"""How the load of real text is asked for: the same prompts for every server, ended by the model."""

from pathlib import Path
from types import SimpleNamespace

from lib.engine.bench import load_client, sweep
from lib.engine.bench.client import LoadClient
from lib.engine.bench.point import Effort, Point
from lib.engine.speculate import workloads

TEXT = Point(2, 0, 32, dataset=workloads.path("code"))
EFFORT = Effort(1, 1, 0, 1000, 100, fewest=5, natural_end=True)


class Recorder(LoadClient):
    """Keeps the plan and runs nothing."""

    def __init__(self) -> None:
        self.plan: list[list[str]] = []

    def run(self, plan: object, folder: Path, on_point: object = None) -> list[dict[str, object]]:
        assert isinstance(plan, list)
        self.plan = [entry["arguments"] for entry in plan]
        for entry in plan:
            (folder / f"{entry['label']}.json").write_text("{}")
        return [{"label": entry["label"], "seconds": 1.0, "cpu_seconds": 0.1} for entry in plan]


def arguments(folder: Path, point: Point, effort: Effort) -> list[str]:
    client = Recorder()
    sweep.run(sweep.Target("http://127.0.0.1:9", "m", Path("m")), [point], effort, folder, client)
    return client.plan[0]


def test_every_server_is_asked_the_same(tmp_path: Path) -> None:
    plain, other = (arguments(tmp_path / server / "r0", TEXT, EFFORT) for server in ("plain", "ngram"))
    folder = plain.index("--result-dir") + 1
    assert plain[:folder] == other[:folder]
    assert plain[folder + 1 :] == other[folder + 1 :]


def test_real_text_keeps_its_order_its_answers_and_its_end(tmp_path: Path) -> None:
    asked = arguments(tmp_path, TEXT, EFFORT)
    assert asked[asked.index("--dataset-path") + 1] == "runbook/workloads/code.jsonl"
    assert asked[asked.index("--num-prompts") + 1] == "5", "at least so many, whatever the concurrency"
    assert {"--disable-shuffle", "--save-detailed"} <= set(asked)
    assert "--ignore-eos" not in asked
    assert "--skip-chat-template" not in asked


def test_random_weights_get_neither_a_template_nor_an_end(tmp_path: Path) -> None:
    asked = arguments(tmp_path, TEXT, EFFORT._replace(natural_end=False))
    assert {"--ignore-eos", "--skip-chat-template"} <= set(asked)


def test_random_words_are_asked_for_as_before(tmp_path: Path) -> None:
    asked = arguments(tmp_path, Point(2, 64, 32), Effort(1, 3, 0, 1000, 100))
    assert asked[asked.index("--num-prompts") + 1] == "6"
    assert "--ignore-eos" in asked
    assert not {"--disable-shuffle", "--save-detailed"} & set(asked)


def test_the_client_reads_a_workload_without_pandas() -> None:
    dataset = SimpleNamespace(dataset_path=str(workloads.path("chat")), data=[])
    load_client.load_lines(dataset)
    assert [entry["prompt"] for entry in dataset.data] == workloads.prompts("chat")
