"""Tables, badges and figures: what they say, and that nothing observed becomes markup."""

import plotly.graph_objects as go
import pytest

from lib.core import display
from lib.core.evidence import Artifact, Change, Check, Decision, Measurement, Provenance

EVIL = "<script>alert(1)</script>"


def test_observed_text_never_becomes_markup() -> None:
    check = Check(name="a.b", status="fail", title=EVIL, expected=EVIL, observed=EVIL, fix=EVIL, source=EVIL)
    change = Change(name="a.c", status="planned", target=EVIL, before=EVIL, after=EVIL + "x", reason=EVIL, title=EVIL)
    decision = Decision(name="a.d", choice=EVIL, reason=EVIL, evidence=[EVIL], alternatives=[EVIL])
    shown = [display.checks([check], EVIL), display.changes([change], EVIL), display.decision(decision)]
    shown.append(display.table([{EVIL: EVIL}], EVIL))
    for item in shown:
        assert "<script>" not in item.markup
        assert "&lt;script&gt;" in item.markup


def test_code_in_backticks_is_code_and_still_no_markup() -> None:
    assert display.prose("run `make <all>` twice") == "run <code>make &lt;all&gt;</code> twice"
    assert display.prose("a ` alone") == "a ` alone"
    check = Check(name="a.b", status="fail", expected="`x`", observed="`y`", fix="`make z`")
    assert display.checks([check]).markup.count("<code>") == 3
    choice = Decision(name="a.c", choice="`a` works", reason="`b` does not", evidence=[], alternatives=["`c`"])
    assert display.decision(choice).markup.count("<code>") == 3


def test_cells_of_code_and_of_quoted_words() -> None:
    shown = display.table([{"Due when": display.code("a < 1"), "Said": display.quoted("<b>hello</b>")}])
    assert "<code>a &lt; 1</code>" in shown.markup
    assert '<q translate="no">&lt;b&gt;hello&lt;/b&gt;</q>' in shown.markup
    assert "a < 1 | <b>hello</b>" in shown.text


def test_failures_come_first() -> None:
    found = [Check(name=f"a.{status}", status=status) for status in ("pass", "skip", "warn", "fail")]
    text = display.checks(found).text
    assert text.index("a.fail") < text.index("a.warn") < text.index("a.skip") < text.index("a.pass")


def test_a_remedy_shows_only_where_one_is_needed() -> None:
    assert "do this" in display.checks([Check(name="a.b", status="warn", fix="do this")]).markup
    assert "do this" not in display.checks([Check(name="a.b", status="pass", fix="do this")]).markup


def test_a_number_carries_its_origin() -> None:
    provenance = Provenance(
        where="host", engine="vllm 1", weights="random", artifacts=[Artifact(path="artifacts/x.json", sha256="ab")]
    )
    shown = display.measurements([Measurement(name="a.m", value=1, unit="s", provenance=provenance)]).markup
    assert "random weights" in shown
    assert 'href="artifacts/x.json"' in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567.8, "1 234 568"),
        (12.3456, "12.35"),
        (0.00001234, "0.000012"),
        (-2000, "-2 000"),
        (999.96, "1000"),
    ],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert display.number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (7200, "2.0 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert display.duration(seconds) == text


def test_a_figure_is_data_with_its_caption() -> None:
    display.setup()
    bundle = display.figure(go.Figure(go.Bar(y=[1])), "Bars")._repr_mimebundle_()
    assert set(bundle) == {display.Figure.MIME, "text/plain"}
    assert bundle[display.Figure.MIME]["layout"]["meta"]["caption"] == "Bars"


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("https://example.org/a (2026-01)", 'href="https://example.org/a"'),
        ("vllm 0.33.0: config.py", "vllm 0.33.0"),
        ("javascript:alert(1)", "rb-source"),
        ("", ""),
    ],
)
def test_only_web_addresses_become_links(source: str, part: str) -> None:
    shown = display.link(source)
    assert part in shown
    assert 'href="javascript' not in shown
