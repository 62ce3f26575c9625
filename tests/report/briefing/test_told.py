"""What a section shows of a run: the worst check of a name, spans of values, files, decisions, what is absent."""

from report.briefing.sample_briefing import check, decision, file, measurement, section, state
from report.claims.sample_claims import claim

from lib.report.briefing import config_files, told
from lib.report.claims import table

ONE = section("one", records=["a"], concerns=["serving"], left_out=[{"what": "That", "claims": ["a-flag"]}])
TWO = section("two", records=["b"], chapters=["01", "02"], claims=["batching"])


def test_a_section_has_its_own_records_and_no_others() -> None:
    records = [check("a.x"), check("b.y"), check("c.z"), decision("b.choice"), file("/etc/a"), measurement("b.n", 1)]
    one, two = told.tell(state(c01="passed", c02="passed"), records, table.collect([claim("a_flag")]), [ONE, TWO])
    assert [line.record.name for line in one.held] == ["a.x"]
    assert [line.record.name for line in two.held] == ["b.y", "b.n"]
    assert [(place, choice.name) for place, choice in two.decisions] == [(1, "b.choice")]
    assert [each.path for each in one.files] == ["/etc/a"]
    assert [row.claim.name for row in two.claims] == ["claims.a_flag"]
    assert [row.claim.name for row in one.left_out[0][1]] == ["claims.a_flag"]
    assert not one.absent
    assert not two.empty


def test_the_worst_check_of_a_name_and_the_span_of_its_values_count() -> None:
    records = [
        check("a.x", observed="good", expected="that"), check("a.x", "warn", observed="so so", expected="this"),
        check("a.x", "skip", observed="not here"),
        measurement("a.n", 1.0, baseline=3.0), measurement("a.n", 2.0, baseline=4.0),
    ]  # fmt: skip
    checked, measured = told.held(records)
    assert (checked.found, checked.expected, checked.count) == ("so so", "this", 2)
    assert (measured.found, measured.expected) == ("1 to 2 s, 2 values", "3 to 4 s, 2 values")


def test_measurements_that_are_shown_in_full_keep_their_conditions_and_checks_of_that_name_do_not() -> None:
    wide = section("one", records=["a"], in_full=["a.plan"])
    records = [measurement("a.plan.n", 1), measurement("a.plan.n", 2), check("a.plan.c"), measurement("a.x", 3)]
    (one,) = told.tell(state(c01="passed"), records, table.collect([]), [wide])
    assert [m.value for m in one.in_full] == [1, 2]
    assert [line.record.name for line in one.held] == ["a.plan.c", "a.x"]


def test_what_was_skipped_everywhere_is_told_with_its_reason() -> None:
    records = [check("a.x", "skip", observed="no card"), check("a.y", "skip"), check("a.y")]
    assert [(line.record.name, line.found) for line in told.skipped(records)] == [("a.x", "no card")]


def test_a_chapter_that_gave_nothing_says_why_and_how_it_comes() -> None:
    gone, failed, held = told.absent(state(c01="failed", c02="skipped", c03="passed"), ["77", "01", "02", "03"])
    assert gone.why == "it is not part of this run"
    assert gone.command == "python -m lib run --profile embedded --only 77"
    assert (failed.title, failed.why) == ("Chapter 01", "it failed (no engine)")
    assert held.why == "it did not run (no engine)"


def test_commands_are_told_once_and_copies_of_files_are_not() -> None:
    install = "install -m 640 -o root -g vllm FILE /etc/a\nsystemctl daemon-reload"
    records = [
        file("/etc/a", command=install),
        file("/etc/b", command=install),
        check("a.x", provenance={"command": "lscpu"}),
    ]
    (one,) = told.tell(state(c01="passed"), records, table.collect([]), [ONE])
    assert one.commands == ["systemctl daemon-reload", "lscpu"]


def test_a_section_without_records_is_empty() -> None:
    (one,) = told.tell(state(), [check("c.z")], table.collect([]), [ONE])
    assert one.empty
    assert [each.chapter for each in one.absent] == ["01"]


def test_the_index_has_rights_template_and_section_of_every_file() -> None:
    records = [
        file("/etc/b", template="systemd/vllm.env.j2"),
        file("/etc/a", "nobody"),
        file("/etc/c", after="present"),
        file("/etc/b", status="verified"),
    ]
    first, second = config_files.index(records, [ONE])
    assert (first.path, first.section) == ("/etc/a", None)
    assert (second.host, second.mode, second.owner, second.section) == ("home", "640", "root:vllm", ONE)
    assert second.change.status == "verified", "the last record of a file counts"
