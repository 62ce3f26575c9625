"""Costs: nothing follows from what is not known, what is known is worked out by hand, and gaps name their field."""

from pathlib import Path
from typing import Any

import pytest

from lib.chapters import costs
from lib.chapters.costs import Priced
from lib.core import evidence
from lib.core.chapter import open_chapter
from lib.core.evidence import Check, Measurement, Provenance
from lib.core.profile import load

OWNER = "rtx-pro-6000"
TARIFF = {
    "costs.currency": "THB", "costs.tariff_day": 5.0, "costs.tariff_night": 2.5,
    "costs.night_from_h": 22, "costs.night_until_h": 9,
}  # fmt: skip
PARTS = {"card": {"what": "card", "price": 1000.0, "count": 2}, "case": {"what": "case", "price": 100.0}}


def measured(name: str, value: float, limit_w: int = 450, phase: str = "decode", **more: Any) -> Measurement:
    about = Provenance(chapter="06", model="qwen3", weights="real")
    conditions = {"limit_w": limit_w, "phase": phase}
    return Measurement(
        name=f"power.{name}", value=value, unit="x", method="made up", conditions=conditions, provenance=about, **more
    )


def priced(run: Path, *records: Measurement, profile: str = OWNER, **overrides: Any) -> Priced:
    evidence.append(run / "chapters" / "06_batching.jsonl", records)
    return costs.record(open_chapter("99", profile, run=str(run), overrides=overrides))


def status(found: Priced) -> dict[str, str]:
    return {check.name: check.status for check in found.checks}


WORK = (measured("output_throughput", 1000.0, interval=(900.0, 1100.0)), measured("draw_w", 450.0))


def test_without_power_nothing_is_worked_out_and_the_command_is_named(tmp_path: Path) -> None:
    found = priced(tmp_path, WORK[0], **TARIFF)
    assert not found.figures
    assert status(found)["cost.power"] == "skip"
    (power,) = [check for check in found.checks if check.name == "cost.power"]
    assert "measured no power" in power.observed
    assert "--set power.may_change_limit=true" in power.fix


def test_without_a_tariff_there_is_no_price_and_every_field_is_named(tmp_path: Path) -> None:
    found = priced(tmp_path, *WORK)
    assert not found.figures
    (tariff,) = [check for check in found.checks if check.name == "cost.tariff"]
    assert tariff.status == "skip"
    for field in ("currency", "tariff_day", "tariff_night", "night_from_h", "night_until_h"):
        assert f"--set costs.{field}=VALUE" in tariff.fix


def test_a_million_tokens_by_day_and_night(tmp_path: Path) -> None:
    found = priced(tmp_path, *WORK, **TARIFF)
    by_tariff = {m.conditions["tariff"]: m for m in found.figures if m.name == "cost.energy_per_million"}
    assert by_tariff["day"].value == pytest.approx(0.125 * 5)
    assert by_tariff["night"].value == pytest.approx(0.125 * 2.5)
    assert by_tariff["day"].unit == "THB"
    assert by_tariff["day"].interval == pytest.approx((0.625 / 1.1, 0.625 / 0.9), abs=1e-6)
    assert by_tariff["day"].conditions["power"] == "card alone"
    assert (by_tariff["day"].provenance.model, by_tariff["day"].provenance.weights) == ("qwen3", "real")
    (day,) = [m for m in found.figures if m.name == "cost.energy_per_day"]
    assert day.value == pytest.approx(0.45 * (13 * 5 + 11 * 2.5))


def test_the_rest_of_the_machine_counts_when_the_owner_metered_it(tmp_path: Path) -> None:
    found = priced(tmp_path, *WORK, **TARIFF, **{"costs.beside_card_w": 150.0})
    (day,) = [m for m in found.figures if m.conditions.get("tariff") == "day"]
    assert day.value == pytest.approx(600 / 1000 * 1e6 / 3.6e6 * 5)
    assert day.conditions["power"] == "card and machine"


def test_only_what_was_measured_at_the_same_limit_while_writing_counts() -> None:
    records = [
        measured("output_throughput", 1.0, 600), measured("draw_w", 2.0, 600), measured("draw_w", 3.0, 450),
        measured("output_throughput", 1.0, 300, "prefill"), measured("draw_w", 2.0, 300),
        measured("output_throughput", 1.0, 350), measured("draw_w", 2.0, 350),
    ]  # fmt: skip
    assert [work.limit_w for work in costs.works(records)] == [600, 350]


def test_parts_are_written_off_once_all_have_a_price(tmp_path: Path) -> None:
    given = {"costs.currency": "USD", "costs.parts": PARTS}
    (total,) = priced(tmp_path, *WORK, **given).figures
    assert (total.name, total.value, total.unit) == ("cost.parts", 2100.0, "USD")
    found = priced(tmp_path, **given, **{"costs.years": 2.0})
    (share,) = [m for m in found.figures if m.name == "cost.parts_per_million"]
    assert share.value == pytest.approx(2100 / (2 * 365.25 * 86400 * 1000) * 1e6, rel=1e-4)
    assert status(found)["cost.prices"] == "pass"


def test_one_part_without_a_price_and_there_is_no_sum(tmp_path: Path) -> None:
    parts = PARTS | {"ups": {"what": "UPS"}}
    found = priced(tmp_path, *WORK, **{"costs.currency": "USD", "costs.parts": parts, "costs.years": 2.0})
    assert not found.figures
    (prices,) = [check for check in found.checks if check.name == "cost.prices"]
    assert prices.observed == "not stated: costs.parts.ups.price"
    assert "--set costs.parts.ups.price=VALUE" in prices.fix


def test_the_field_that_a_check_names_can_be_set(tmp_path: Path) -> None:
    before = load(OWNER).costs.parts["ups"].price
    after = load(OWNER, {"costs.parts.ups.price": 9000.0}).costs.parts["ups"].price
    assert (before, after) == (None, 9000.0)


def test_the_owners_profile_holds_no_price_that_he_did_not_state() -> None:
    stated = load(OWNER).costs
    assert costs.missing(stated, (*costs.TARIFFS, *costs.HOURS, "years", "beside_card_w")) == [
        f"costs.{name}" for name in (*costs.TARIFFS, *costs.HOURS, "years", "beside_card_w")
    ]
    assert all(part.price is None for part in stated.parts.values())


def test_a_machine_without_a_card_only_says_that_no_power_was_measured(tmp_path: Path) -> None:
    found = priced(tmp_path, profile="embedded")
    assert [check.name for check in found.checks] == ["cost.power"]
    assert all(isinstance(check, Check) for check in found.checks)


def test_the_bill_shows_pieces_uses_and_open_prices() -> None:
    text = costs.bill(load(OWNER)).text
    assert text.count("not stated") == 13
    assert "32 GB module | 6" in text
    priced_part = {"costs.currency": "THB", "costs.parts": {"ups": {"what": "UPS", "price": 9000.0}}}
    assert "9 000 THB" in costs.bill(load(OWNER, priced_part)).text
