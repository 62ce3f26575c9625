"""Numbers, units, dates and words as Russian writes them."""

import pytest

from lib.report.language import russian


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1234.5", "1234,5"),
        ("1,234.5", "1 234,5"),
        ("1 234", "1 234"),
        ("12.5 GB/s", "12,5 ГБ/с"),
        ("0.5 ms", "0,5 мс"),
        ("0.168 s", "0,168 с"),
        ("0.168 … 0.205 s", "0,168 … 0,205 с"),
        ("-0.5 %", "-0,5 %"),
        ("3.2 … 4.1", "3,2 … 4,1"),
        ("1.51 to 1.72 ×", "1,51 … 1,72 ×"),
        ("± 0.3", "± 0,3"),
        ("13,365 MHz", "13 365 МГц"),
        ("95 %", "95 %"),
        ("CUDA 13.0", "CUDA 13.0"),
        ("driver 580.82.07", "driver 580.82.07"),
        ("torch 2.13.0+cpu", "torch 2.13.0+cpu"),
        ("Qwen3.5-397B", "Qwen3.5-397B"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_quantities_change_and_versions_stay(text: str, expected: str) -> None:
    assert russian.data(text).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 November 2026, 09:10", "30 ноября 2026, 09:10"),
        ("2026-11-24", "24.11.2026"),
        ("h200-2026-11-24", "h200-2026-11-24"),
        ("2026-11-30T09-10-36-embedded", "2026-11-30T09-10-36-embedded"),
        ("until June 2028", "until июня 2028"),
    ],
)
def test_dates_change_and_names_that_hold_one_stay(text: str, expected: str) -> None:
    assert russian.dates(text).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("number", "form"),
    [
        *[("1", "один"), ("2", "два"), ("5", "пять"), ("11", "пять"), ("12", "пять"), ("21", "один"), ("104", "два")],
        *[("0", "пять"), ("1,001", "один"), ("1 002", "два"), ("2.5", "два"), ("none", "пять")],
    ],
)
def test_a_number_chooses_the_form(number: str, form: str) -> None:
    assert russian.plural(number, "один", "два", "пять") == form


def test_spaces_that_must_not_break() -> None:
    assert russian.typeset("в карте — 96 ГБ и не больше") == ("в\u00a0карте\u00a0— 96\u00a0ГБ и\u00a0не\u00a0больше")
