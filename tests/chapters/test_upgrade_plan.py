"""Chapter 15's plans: the owner's machine by hand, one without a card, one with two cards."""

from pathlib import Path
from typing import Any

import pytest

from lib.chapters import upgrade_plan
from lib.chapters.upgrade_plan import Planned
from lib.core.chapter import open_chapter
from lib.core.evidence import Check, Measurement

OWNER = "rtx-pro-6000"


def planned(run: Path, profile: str = OWNER, **overrides: Any) -> Planned:
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return upgrade_plan.record(open_chapter("15", profile, run=str(run), overrides=dotted))


def check(found: Planned, name: str, **conditions: Any) -> Check:
    (one,) = [c for c in found.checks if c.name == f"upgrade.plan.{name}" and c.conditions == conditions]
    return one


def figures(found: Planned, name: str, **conditions: Any) -> list[Measurement]:
    return [
        m
        for m in found.figures
        if m.name == f"upgrade.plan.{name}" and conditions.items() <= dict(m.conditions).items()
    ]


def test_the_owners_machine(tmp_path: Path) -> None:
    found = planned(tmp_path)
    assert check(found, "tensor_parallel").status == "skip"
    assert check(found, "heads").status == "warn"
    assert check(found, "lanes").observed.startswith("24 lanes: 8 a card at most")
    assert check(found, "supplies").expected.startswith("1520 W (3 × 450 W and the processor)")
    assert check(found, "kubernetes").observed == "3 engines of the gateway, 1 card"
    assert all(check.fix for check in found.checks)


def test_the_large_model_does_not_fit_today_and_does_with_500_gb(tmp_path: Path) -> None:
    found = planned(tmp_path)
    assert check(found, "memory", model="qwen3-235b-a22b").status == "warn"
    assert check(found, "memory", model="qwen3-235b-a22b", memory_gb=500.0).status == "pass"
    decision = upgrade_plan.decide(found)
    assert decision.choice == "None of the large models fits into this machine"
    assert "qwen3-235b-a22b with 500 GB" in decision.reason
    assert set(decision.evidence) == {record.name for record in (*found.checks, *found.figures)}


def test_ceilings_follow_from_bytes_and_bandwidth_and_say_that_they_are_derived(tmp_path: Path) -> None:
    found = planned(tmp_path)
    (alone,) = figures(found, "ceiling", model="qwen3-235b-a22b", weights="all weights in main memory")
    assert alone.value == pytest.approx(57.6e9 / 43.14e9, rel=0.001)
    (split,) = figures(found, "ceiling", model="qwen3-235b-a22b", weights="rest on the processor")
    assert split.value > alone.value
    assert all(m.method.startswith("derived: ") for m in found.figures)


def test_a_faster_board_and_a_slow_link_bound_by_the_slower_of_both(tmp_path: Path) -> None:
    board = {"title": "board", "channels": 12, "mts": 6400, "memory_gb": 512.0, "lanes": 128}
    found = planned(tmp_path, plan__boards={"a": board})
    (cpu,) = figures(found, "ceiling", model="qwen3-235b-a22b", board="board", weights="rest on the processor")
    (link,) = figures(found, "ceiling", model="qwen3-235b-a22b", board="board", weights="rest read over PCIe")
    assert cpu.value / link.value == pytest.approx(614.4 / 63.0, rel=0.001)


def test_a_model_that_fits_by_offload_is_told(tmp_path: Path) -> None:
    found = planned(tmp_path, host__memory={"minimum_gib": 500.0, "channels": 2, "configured_mts": 3600})
    assert check(found, "memory", model="qwen3-235b-a22b").status == "pass"
    assert upgrade_plan.decide(found).choice.startswith("qwen3-235b-a22b, qwen3-235b-a22b-fp8 can be tried")


def test_two_equal_cards_share_the_heads_and_two_different_ones_do_not(tmp_path: Path) -> None:
    card = {"name": "A", "memory_mib": 97887}
    equal = planned(tmp_path, host__gpus=[card, card], plan__cards=0)
    assert check(equal, "tensor_parallel").status == "pass"
    other = planned(tmp_path, host__gpus=[card, card | {"name": "B"}], plan__cards=0)
    assert check(other, "tensor_parallel").status == "fail"
    assert check(planned(tmp_path, host__gpus=[card] * 3), "tensor_parallel").status == "fail"


def test_a_machine_without_a_card_plans_nothing(tmp_path: Path) -> None:
    found = planned(tmp_path, "embedded")
    assert [c.name for c in found.checks] == ["upgrade.plan.tensor_parallel"]
    assert not found.figures
    assert upgrade_plan.decide(found).choice == "Nothing is planned"
