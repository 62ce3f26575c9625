"""Places: relative where they lie inside, and gone from what travels."""

from lib.core import paths


def test_short_is_relative_inside_and_whole_outside() -> None:
    assert paths.short(paths.ROOT / "runbook" / "runs") == "runbook/runs"
    assert paths.short("/etc/hosts") == "/etc/hosts"


def test_portable_takes_the_place_of_the_repository_out() -> None:
    text = f"{paths.ROOT}/.venv/lib/x.py:24: warning; /etc/hosts"
    assert paths.portable(text) == ".venv/lib/x.py:24: warning; /etc/hosts"
