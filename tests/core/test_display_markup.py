"""The small set of tables, badges and figures that notebooks and the document share."""

import pytest

from lib.core import display
from lib.core.evidence import Artifact, Change, Check, Decision, Measurement, Provenance, Status

HOSTILE = '<b onclick="x()">"&'
SAFE = "&lt;b onclick=&quot;x()&quot;&gt;&quot;&amp;"


def test_checks_stand_failures_first_with_what_to_do() -> None:
    order: tuple[Status, ...] = ("pass", "skip", "fail", "warn")
    records = [Check(name=f"a.{status}", status=status, fix=f"mend {status}") for status in order]
    shown = display.checks(records, "All")
    places = [shown.markup.index(f">a.{status}<") for status in ("fail", "warn", "skip", "pass")]
    assert places == sorted(places)
    assert "mend fail" in shown.markup
    assert "mend skip" in shown.markup
    assert "mend pass" not in shown.markup
    assert "<caption>All</caption>" in shown.markup
    assert repr(shown).splitlines()[0].startswith("fail | a.fail")


def test_a_remedy_of_two_lines_keeps_them() -> None:
    assert "one<br>two" in display.checks([Check(name="a.b", status="warn", fix="one\ntwo")]).markup


@pytest.mark.parametrize(
    "shown",
    [
        display.checks(
            [Check(name="a.b", status="fail", title=HOSTILE, expected=HOSTILE, observed=HOSTILE, fix=HOSTILE)]
        ),
        display.measurements(
            [Measurement(name="a.b", title=HOSTILE, value=1, unit=HOSTILE, conditions={"k": HOSTILE})]
        ),
        display.changes(
            [
                Change(
                    name="a.b",
                    status="planned",
                    target=HOSTILE,
                    before=HOSTILE,
                    after="x",
                    reason=HOSTILE,
                    title=HOSTILE,
                )
            ]
        ),
        display.decision(
            Decision(name="a.b", choice=HOSTILE, reason=HOSTILE, evidence=[HOSTILE], alternatives=[HOSTILE])
        ),
        display.table([{HOSTILE: HOSTILE}], HOSTILE),
        display.Html(display.origin(Provenance(command=HOSTILE, model=HOSTILE))),
    ],
)
def test_text_is_escaped_everywhere(shown: display.Html) -> None:
    assert SAFE in shown.markup
    assert "<b onclick" not in shown.markup


def test_measurements_leave_out_columns_that_would_be_empty() -> None:
    bare = display.measurements([Measurement(name="a.b", value=1234.5678, unit="s")]).markup
    assert "Baseline" not in bare
    assert "95 %" not in bare
    assert "1 235" in bare
    full = display.measurements(
        [Measurement(name="a.b", value=2, unit="s", interval=(1, 3), baseline=4, conditions={"input_tokens": 64})]
    ).markup
    for told in ("Baseline", "1 … 3", "input tokens 64"):
        assert told in full


def test_the_origin_names_place_weights_and_raw_files() -> None:
    known = Provenance(where="lab", artifacts=[Artifact(path="artifacts/05_x/a.json", sha256="0" * 64)])
    assert '<a class="rb-raw" href="artifacts/05_x/a.json">raw</a>' in display.origin(known, "a.b")
    assert 'data-record="a.b"' in display.origin(known, "a.b")
    assert "from a twin in the lab" in display.origin(known)
    assert ">random weights<" in display.origin(Provenance(weights="random"))


def test_changes_are_a_diff_and_what_is_right_is_not() -> None:
    differs = Change(name="a.b", status="planned", target="/x", before="1\n2", after="3", reason="r")
    same = Change(name="a.c", status="verified", target="/x", before="1", after="1", reason="r")
    markup = display.changes([differs, same]).markup
    assert "<del>- 1\n- 2\n</del><ins>+ 3</ins>" in markup
    assert "as it should be" in markup
    assert markup.count("<del>") == 1


def test_on_paper_it_need_not_be_said_that_a_new_file_was_absent() -> None:
    new = Change(name="a.b", status="planned", target="/x", before="absent", after="1", reason="r")
    assert '<del class="rb-absent">- absent\n</del><ins>+ 1</ins>' in display.changes([new]).markup


def test_nothing_to_show_is_said() -> None:
    assert "nothing to show" in display.table([]).markup
    assert "nothing to show" in display.measurements([]).markup
    assert "no checks" in display.checks([]).markup
    assert "no changes" in display.changes([]).markup


def test_of_a_long_program_and_of_data_for_one_paper_shows_the_beginning() -> None:
    long, short = "{}\n" * (display.PRINTED_LINES + 1), "{}\n" * display.PRINTED_LINES

    def shown(target: str, after: str) -> str:
        change = Change(name="a.b", status="planned", target=target, before="absent", after=after, reason="r")
        return display.changes([change]).markup

    markup = shown("/d/board.json", long)
    assert 'class="rb-change rb-data"' in markup
    assert f"The beginning of {display.PRINTED_LINES + 1} lines" in markup
    assert markup.count("+ {}") == display.PRINTED_LINES + 1, "on the screen it is whole"
    assert "rb-data" in shown("/d/collect.py", long)
    assert "rb-data" not in shown("/d/board.json", short)
    assert "rb-data" not in shown("/d/nginx.conf", long)


def test_rows_with_blank_headings_are_facts() -> None:
    markup = display.table([{"": "Time", " ": "5 s"}]).markup
    assert '<th scope="row">Time</th><td>5 s</td>' in markup
    assert "<thead>" not in markup


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567, "1 234 567"), (0.00001234, "0.000012"), (41.5, "41.5"), (318.24, "318.2"), (-1500, "-1 500")],
)
def test_numbers(value: float, text: str) -> None:
    assert display.number(value) == text


def test_sources_are_links_only_where_they_are_addresses() -> None:
    assert display.link("https://example.org/a b").startswith(
        '<a class="rb-source" href="https://example.org/a">source</a>'
    )
    assert "<a" not in display.link("javascript:alert(1)")
    assert display.link("") == ""
