"""Chapter 07 with made-up loads: what is recorded, drawn and decided, and what a refused configuration leaves."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib.chapters import gate, speculation
from lib.chapters import load as loads
from lib.chapters import speculation_figures as figures
from lib.chapters.fleet import Fleet
from lib.chapters.gate import Finding
from lib.core.chapter import Chapter, open_chapter
from lib.core.evidence import Check, Decision, Measurement
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.serve import command
from lib.engine.speculate.configurations import PLAIN

STAND_IN = Path(__file__).parents[1] / "engine" / "stand_in.py"
NGRAM = {"ngram": {"method": "ngram", "num_speculative_tokens": 4}}
# Speed-up of the made-up server by workload and concurrency.
GAIN = {("code", 1): 2.0, ("code", 4): 0.5, ("chat", 1): 0.9, ("chat", 4): 0.8}
DYING_WORDS = "ERROR 11-24 17:59:02 [core.py:1512] RuntimeError: Worker failed"
REFUSAL = "ValueError: Unsupported speculative method: 'mgram'"


class Running:
    """Takes the place of the fleet: every server runs, as many as asked."""

    def __init__(self, room: int = 4, refused: Sequence[str] = (), dying: Sequence[str] = ()) -> None:
        self.room, self.refused, self.dying = room, refused, dying
        self.order: list[str] = []

    def prepare(self, variants: Sequence[Any]) -> None:
        self.order += [f"prepare {variant.label}" for variant in variants]

    def use(self, variant: Any) -> Any:
        self.order.append(variant.label)
        if variant.label in self.refused:
            return None
        return SimpleNamespace(running=variant.label not in self.dying, log_text=lambda: DYING_WORDS)


def opened(run: Path, profile: str = "embedded", **fields: Any) -> Chapter:
    told = {"speculation.configurations": NGRAM, "speculation.workloads": ["code", "chat"], "speculation.repeats": 3}
    told |= {"speculation.concurrency": [1, 4]}
    told |= {key.replace("__", "."): value for key, value in fields.items()}
    return open_chapter("07", profile, "plan", str(run), told)


def loaded(
    chapter: Chapter, engine: Any, points: Sequence[Point], effort: Effort, name: str, check: str
) -> list[Result]:
    """Return what a load of the made-up servers gives."""
    assert check == "spec.completed"
    assert effort.repeats == 1
    if engine is None:
        return []
    label, _, part = name.partition("/")
    repeat = 0 if part == "first" else int(part.removeprefix("r"))
    found = []
    for point in points:
        workload = point.dataset.stem if point.dataset else ""
        drift = 1 - 0.1 * repeat  # the machine gets slower all the while
        gain = GAIN[workload, point.concurrency] * (1 + 0.002 * repeat) if label != PLAIN.label else 1.0
        speed = 100 * drift * gain
        told: dict[str, Any] = {
            "output_throughput": speed,
            "mean_tpot_ms": 1000 / speed,
            "median_tpot_ms": 1000 / speed,
            "median_ttft_ms": 20.0,
            "request_goodput": 1.0,
            "completed": 4,
            "failed": 0 if engine.running else 4,
            "total_output_tokens": 128,
            "generated_texts": ["a", "b", "c", "d"],
            "output_lens": [32] * 4,
            "itls": [[1 / speed] * 31] * 4,
        }
        if label != PLAIN.label:
            told |= {
                "spec_decode_num_drafts": 40,
                "spec_decode_draft_tokens": 160,
                "spec_decode_accepted_tokens": 60,
                "spec_decode_per_position_acceptance_rates": [0.7, 0.4, 0.3, 0.1],
            }
        file = chapter.save(f"{name}/{point.label}.json", json.dumps(told))
        found.append(Result(point, [told], [file], "vllm bench serve"))
    return found


@pytest.fixture(autouse=True)
def _made_up_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "measure", loaded)


def through(chapter: Chapter, fleet: Any) -> tuple[list[Measurement], Decision]:
    """Run the cells of the notebook."""
    results = speculation.measure(chapter, fleet)
    speculation.verify(chapter, results)
    found = speculation.record(chapter, fleet, results)
    return found, speculation.decide(chapter, found)


def values(found: Sequence[Measurement], name: str) -> dict[tuple[object, object], float]:
    return {(m.conditions.get("workload"), m.conditions.get("concurrency")): m.value for m in found if m.name == name}


def run(chapter: Chapter, fleet: Any) -> dict[str, list[Result]]:
    return speculation.measure(chapter, fleet)


def test_servers_take_turns_where_all_may_run(tmp_path: Path) -> None:
    fleet = Running()
    run(opened(tmp_path), fleet)
    assert fleet.order == ["plain", "ngram"] * 3


def test_one_server_after_the_other_where_only_one_may_run(tmp_path: Path) -> None:
    fleet = Running(room=1)
    found, _ = through(opened(tmp_path), fleet)
    assert fleet.order == ["plain"] * 3 + ["ngram"] * 3
    assert "one server measured after the other" in next(m for m in found if m.name == "spec.speedup").method


def test_what_is_recorded(tmp_path: Path) -> None:
    found, _ = through(chapter := opened(tmp_path), Running())
    assert values(found, "spec.speedup") == pytest.approx({k: v * 1.002 for k, v in GAIN.items()}, rel=1e-3)
    assert values(found, "spec.acceptance_length") == dict.fromkeys(GAIN, 2.5)
    bounds = {m.conditions["workload"]: m.conditions["bound"] for m in found if m.name == "spec.break_even_concurrency"}
    assert bounds == {"code": "crossing", "chat": "below"}
    statuses = {check.name: check.status for check in chapter.checks("spec.")}
    assert statuses == {"spec.completed": "pass", "spec.same_text": "pass"}
    assert all(m.provenance.artifacts and m.provenance.weights == "real" for m in found)
    assert all(m.method for m in found)
    recorded = {m.name for m in chapter.measurements("spec.")}
    assert {"spec.output_throughput", "spec.acceptance_rate", "spec.break_even_length"} <= recorded


def test_drift_meets_both_servers_alike(tmp_path: Path) -> None:
    found, _ = through(opened(tmp_path), Running())
    code = next(m for m in found if m.name == "spec.speedup" and m.conditions["workload"] == "code")
    assert code.interval is not None
    assert code.interval[1] / code.interval[0] < 1.03, "20 % slower machine, 3 % wide interval"


def test_the_decision_names_a_setting_for_each_workload(tmp_path: Path) -> None:
    _, decision = through(opened(tmp_path), Running())
    assert decision.choice == "code: ngram, off from 3 requests at a time; chat: none"
    assert "[[1, 2, 4], [3, 32, 0]]" in decision.reason
    assert set(decision.evidence) == {
        "spec.speedup",
        "spec.break_even_concurrency",
        "spec.acceptance_length",
        "spec.same_text",
    }
    assert decision.alternatives == ["ngram on chat: " + decision.alternatives[0].partition(": ")[2]]


def test_figures_have_a_line_for_each_configuration(tmp_path: Path) -> None:
    found, _ = through(opened(tmp_path), Running())
    assert repr(figures.speedup_figure(found)).startswith("Figure: Speed-up against concurrency")
    assert repr(figures.acceptance_figure(found)) == "Figure: Acceptance by position; requests at a time: 1"
    assert repr(figures.cost_figure(found)).startswith("Figure: What acceptance would pay")


def test_nothing_measured_is_no_figure_and_no_speculation(tmp_path: Path) -> None:
    found, decision = through(opened(tmp_path), Running(refused=["plain"]))
    assert found == []
    assert decision.choice == "No speculation"
    for draw in (figures.speedup_figure, figures.acceptance_figure, figures.cost_figure):
        assert repr(draw(found)) == "nothing was compared"


def test_a_refused_configuration_leaves_the_others(tmp_path: Path) -> None:
    both = {**NGRAM, "other": {"method": "mgram"}}
    chapter = opened(tmp_path, speculation__configurations=both)
    found, decision = through(chapter, Running(refused=["other"]))
    assert {m.conditions["configuration"] for m in found} == {"ngram"}
    assert decision.choice.startswith("code: ngram")


def test_random_weights_only_have_a_cost(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"speculation__synthetic_lengths": [2.5], "speculation__concurrency": [1, 4]}
    chapter = opened(tmp_path, "h200", **fields)
    found, decision = through(chapter, Running())
    assert {m.conditions["configuration"] for m in found} == {"ngram-al2.5"}
    assert decision.choice.startswith("Not decided: random weights")
    assert "ngram-al2.5 at 1: " in decision.reason
    assert {check.status for check in chapter.checks("spec.same_text")} == {"skip"}
    assert all(m.provenance.weights == "random" for m in found)
    assert not speculation.effort(chapter, 0).natural_end


def test_a_cpu_with_random_weights_is_a_skip_that_says_why(tmp_path: Path) -> None:
    chapter, fleet = opened(tmp_path, serving__load_format="dummy", speculation__synthetic_lengths=[2.5]), Running()
    found, decision = through(chapter, fleet)
    assert (found, fleet.order, decision.choice) == ([], [], "No speculation")
    (check,) = chapter.checks("spec.synthetic")
    assert check.status == "skip"
    assert "not supported with CPU sampling" in check.observed
    assert decision.evidence == ["spec.synthetic"]


def test_an_engine_that_dies_under_the_load_is_left_out_with_its_words(tmp_path: Path) -> None:
    both = {**NGRAM, "other": {"method": "medusa"}}
    chapter = opened(tmp_path, speculation__configurations=both)
    found, decision = through(chapter, Running(dying=["other"]))
    assert {m.conditions["configuration"] for m in found} == {"ngram"}
    assert decision.choice.startswith("code: ngram")
    failed, passed = chapter.checks("spec.completed")
    assert (failed.status, failed.conditions) == ("fail", {"configuration": "other"})
    assert failed.observed.endswith("the engine ended: RuntimeError: Worker failed")
    assert passed.status == "pass"


def test_a_missing_draft_says_how_to_get_it(tmp_path: Path) -> None:
    own = {**NGRAM, "draft": {"draft": "smollm2-135m-front", "num_speculative_tokens": 2}}
    chapter = opened(tmp_path, models__store=str(tmp_path / "empty"), speculation__configurations=own)
    assert [each.name for each in speculation.tried(chapter)] == ["ngram"]
    assert [each.name for each in speculation.tried(chapter)] == ["ngram"]
    (check,) = chapter.checks("spec.draft")
    assert (check.status, check.conditions) == ("fail", {"configuration": "draft"})
    assert check.fix.startswith("python -m lib models fetch smollm2-135m-front")
    assert "no: python -m lib models fetch" in repr(speculation.plan(chapter))


def test_without_a_configuration_nothing_starts(tmp_path: Path) -> None:
    chapter, fleet = opened(tmp_path, speculation__configurations={}), Running()
    found, decision = through(chapter, fleet)
    assert (found, fleet.order, decision.choice) == ([], [], "No speculation")


def test_the_workloads_are_shown_with_an_example(tmp_path: Path) -> None:
    assert "Rename the function total" in repr(speculation.texts(opened(tmp_path)))


def test_an_empty_answer_fails(tmp_path: Path) -> None:
    chapter = opened(tmp_path)
    results = run(chapter, Running())
    results["ngram"][0].runs[0]["generated_texts"] = ["a", "", "c", "d"]
    checks = {check.name: check for check in speculation.verify(chapter, results)}
    assert checks["spec.completed"].status == "fail"
    assert "1 empty" in checks["spec.completed"].observed


@pytest.mark.parametrize("room", [1, 3])
def test_a_wrong_flag_is_one_failed_check_with_the_servers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Real processes: the stand-in serves, and refuses what vLLM would refuse."""
    folder = tmp_path / "store" / "smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    engine = tmp_path / "engine.py"
    engine.write_text(
        "import runpy, sys\n"
        "if any('mgram' in word for word in sys.argv):\n"
        f"    sys.exit({REFUSAL!r})\n"
        f"runpy.run_path({str(STAND_IN)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(command, "launcher", lambda: [sys.executable, str(engine)])
    monkeypatch.setattr(gate, "chosen_kernels", lambda *_: [])
    right = Finding(Check(name="serving.smoke", status="pass"))
    monkeypatch.setattr(gate, "answers", lambda *_: right)
    both = {**NGRAM, "wrong": {"method": "mgram", "num_speculative_tokens": 4}}
    chapter = opened(tmp_path / "run", models__store=str(folder.parent), speculation__configurations=both)
    monkeypatch.setattr(Fleet, "room", room)
    fleet = Fleet(chapter)
    try:
        speculation.start(chapter, fleet)
        results = speculation.measure(chapter, fleet)
        shown = speculation.verify(chapter, results)
        found = speculation.record(chapter, fleet, results)
    finally:
        stopped = fleet.stop_all()
    (failed,) = [check for check in shown if check.status == "fail"]
    assert (failed.name, failed.conditions) == ("serving.start", {"server": "wrong"})
    assert REFUSAL in failed.observed
    assert {m.conditions["configuration"] for m in found} == {"ngram"}
    assert speculation.decide(chapter, found).choice.startswith("code: ngram")
    assert {check.status for check in stopped} == {"pass"}
