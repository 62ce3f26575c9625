"""The setting that follows from the speed-ups, and what it cites."""

from lib.core.evidence import Measurement
from lib.engine.speculate import findings


def gain(label: str, concurrency: int, value: float, low: float, workload: str = "code") -> Measurement:
    told = {"workload": workload, "concurrency": concurrency, "configuration": label}
    return Measurement(
        name="spec.speedup", value=value, unit="×", interval=(low, 2 * value - low), method="made up", conditions=told
    )


def test_the_fastest_that_is_shown_to_pay_is_taken() -> None:
    found = [gain("a", 1, 1.5, 1.2), gain("b", 1, 2.5, 0.7), gain("c", 1, 1.3, 1.1)]
    decision = findings.decision(found, {"a": 4}, 32, random=False)
    assert decision.choice == "code: a, at every measured load, up to 1", "b may be faster; nothing shows it"
    assert [text.partition(":")[0] for text in decision.alternatives] == ["b on code", "c on code"]


def test_without_proof_there_is_no_speculation() -> None:
    decision = findings.decision([gain("a", 1, 1.5, 0.9)], {"a": 4}, 32, random=False)
    assert decision.choice == "code: none"
    assert "no configuration was shown to be faster" in decision.reason


def test_each_workload_has_its_own_setting() -> None:
    found = [
        gain("a", 1, 1.5, 1.2),
        gain("a", 4, 0.7, 0.6),
        gain("a", 1, 0.8, 0.7, "chat"),
        gain("b", 1, 1.2, 1.1, "chat"),
    ]
    decision = findings.decision(found, {"a": 4, "b": 3}, 32, random=False)
    assert decision.choice == "code: a, off from 3 requests at a time; chat: b, at every measured load, up to 1"
    assert "num_speculative_tokens_per_batch_size [[1, 2, 4], [3, 32, 0]]" in decision.reason


def test_a_draft_that_sets_its_own_tokens_has_no_schedule() -> None:
    found = [gain("a", 1, 1.5, 1.2), gain("a", 4, 0.7, 0.6)]
    assert "per_batch_size" not in findings.decision(found, {"a": 0}, 32, random=False).reason


def test_an_unbounded_server_still_gets_a_whole_schedule() -> None:
    found = [gain("a", 1, 1.5, 1.2), gain("a", 4, 0.7, 0.6)]
    assert "[[1, 2, 4], [3, 3, 0]]" in findings.decision(found, {"a": 4}, None, random=False).reason


def test_curves_rise_in_concurrency() -> None:
    found = [gain("a", 16, 0.5, 0.4), gain("a", 1, 1.5, 1.2), gain("a", 4, 1.0, 0.9)]
    assert list(findings.curves(found, "a")["code"]) == [1, 4, 16]
    assert findings.curves(found, "b") == {}
    assert findings.labels(found) == ["a"]


def test_random_weights_are_told_what_pays() -> None:
    cost = Measurement(
        name="spec.break_even_length",
        value=1.75,
        unit="tokens",
        method="made up",
        conditions={"configuration": "draft-al3", "concurrency": 8},
    )
    decision = findings.decision([cost, gain("draft-al3", 8, 1.7, 1.6)], {}, 32, random=True)
    assert "draft-al3 at 8: 1.75 tokens" in decision.reason
    assert decision.evidence == ["spec.break_even_length", "spec.speedup"]
