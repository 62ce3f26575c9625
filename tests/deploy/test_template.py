"""Templates remember their name on the way into a record, and whatever is made from their text does not."""

import pytest

from lib.core.errors import RunbookError
from lib.core.profile import load
from lib.core.sections import Profile
from lib.deploy import template
from lib.deploy.plan import Difference
from lib.deploy.resources import File

TUNING: Profile = load("embedded")


def test_a_rendered_text_knows_its_template() -> None:
    text = template.render("tuning/sysctl.conf.j2", tuning=TUNING.tuning)
    assert template.origin(text) == "tuning/sysctl.conf.j2"
    assert template.origin(text + "\n") == ""
    assert template.origin("typed") == ""


@pytest.mark.parametrize("typed", [True, False])
def test_the_record_of_a_file_names_its_template(typed: bool) -> None:
    text = template.render("tuning/sysctl.conf.j2", tuning=TUNING.tuning)
    change = Difference("tuning", File("/etc/x", "".join(text) if typed else text), "absent").change("home")
    assert change.template == ("" if typed else "tuning/sysctl.conf.j2")
    assert change.after == f"# mode 644, root:root\n{text}"


def test_a_value_that_is_not_given_is_an_error_that_names_the_template() -> None:
    with pytest.raises(RunbookError, match="tuning") as caught:
        template.render("tuning/sysctl.conf.j2")
    assert caught.value.where == "runbook/templates/tuning/sysctl.conf.j2"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("# Keys only. Read first.\nA no\n", "Keys only."),
        (
            "#!/usr/sbin/nft -f\n# Firewall of home: nothing\n# gets in. Really.\ntable\n",
            "Firewall of home: nothing gets in.",
        ),
        ("// Updates every day.\nA;\n", "Updates every day."),
        ('"""Tells whether.\n\nMore.\n"""\nimport x\n', "Tells whether."),
        ("# see llm.example.org and config.json here\n", "see llm.example.org and config.json here"),
        ("[Unit]\n# Later.\n", ""),
        ("", ""),
    ],
)
def test_a_file_says_why_it_is_there(text: str, why: str) -> None:
    assert template.purpose(text) == why
