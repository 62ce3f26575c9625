"""The style sheet's promises that need no browser: readable contrast in both schemes, system fonts only."""

import re

import pytest

from lib.core import paths

SHEET = (paths.REPORT_TEMPLATE / "style.css").read_text(encoding="utf-8")
TEXT_ON_GROUND = [
    *((text, "paper") for text in ("ink", "soft", "accent", "pass", "warn", "fail", "skip")),
    *((text, ground) for text in ("ink", "soft") for ground in ("wash", "accent-wash")),
    *((status, f"{status}-wash") for status in ("pass", "warn", "fail", "skip")),
    *(("ink", f"{status}-wash") for status in ("pass", "warn", "fail", "skip")),
]


def colours(scheme: str) -> dict[str, str]:
    """Return the custom properties of a scheme; the second `:root` is the dark one."""
    found = re.findall(r":root \{(.*?)\n\s*\}", SHEET, re.DOTALL)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", found[("light", "dark").index(scheme)]))


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, WCAG 2.2."""
    digits = colour.lstrip("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON_GROUND)
def test_contrast_is_at_least_aa(scheme: str, text: str, ground: str) -> None:
    known = colours(scheme)
    bright, dark = sorted((luminance(known[text]), luminance(known[ground])), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_only_fonts_that_machines_have() -> None:
    assert not re.search(r"@font-face|@import|url\(", SHEET)
    for stack in re.findall(r"--(?:serif|sans|mono): ([^;]+);", SHEET):
        assert stack.rsplit(", ", 1)[-1] in ("serif", "sans-serif", "monospace")


def test_braces_balance() -> None:
    assert SHEET.count("{") == SHEET.count("}")
