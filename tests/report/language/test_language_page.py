"""Units of a page, and the page that holds two languages."""

import json
import re
from itertools import pairwise

import pytest

from lib.core import paths
from lib.report.language import bilingual, choice
from lib.report.language.pieces import pieces
from lib.report.language.speech import Speech
from lib.report.language.tree import parse
from lib.report.language.units import units

SPEECH = Speech(
    {
        "Read <1>the log</1>, then run `make report`.": "Запустите `make report`, потом прочтите <1>журнал</1>.",
        "{0} check failed": "{0} {0|проверка|проверки|проверок} не пройдено",
        "A title": "Название",
        "Look": "Осмотр",
    }
)
PAGE = f"""<!DOCTYPE html>
<html lang="en"><head><title>Look</title></head><body>
<h2 id="look"><span class="number">4.1</span> Look</h2>
<p class="a">Read <a href="#log">the log</a>, then run <code>make report</code>.</p>
<p title="A title">5 check failed</p><td>1,234.5</td><pre>Look</pre><q lang="en">Look</q>
{bilingual.PLACE}</body></html>"""


def said(text: str) -> str:
    return bilingual.said(text, SPEECH)


def messages(markup: str) -> list[str]:
    return [unit.message for unit in units(parse(markup))]


def table(page: str) -> dict[str, object]:
    found = re.search(r'id="language-data">(.*?)</script>', page)
    assert found
    return dict(json.loads(found[1]))


def test_a_unit_is_a_blocks_running_text_with_numbered_tags_and_code_in_backticks() -> None:
    assert messages("<p>Read <a href='#x'>the  log</a>,\nthen <code>a &lt; b</code>.</p>") == [
        "Read <1>the log</1>, then `a < b`."
    ]


def test_furniture_breaks_and_blocks_part_units() -> None:
    markup = '<td>seen <span class="soft">expected: 3 GB</span><br>more <b>bold</b></td>'
    assert messages(markup) == ["seen", "expected: 3 GB", "more <1>bold</1>"]


@pytest.mark.parametrize(
    "markup",
    [
        "<pre>some words</pre>",
        "<script>some words</script>",
        "<code>some words</code>",
        '<q lang="ru">some words</q>',
        "<blockquote>some words</blockquote>",
        '<a translate="no">some words</a>',
        '<span class="number">4.1</span>',
    ],
)
def test_code_quotations_and_numbers_of_sections_are_no_units(markup: str) -> None:
    assert messages(f"<div>{markup}</div>") == []


def test_a_translation_keeps_links_and_code_wherever_it_puts_them() -> None:
    assert said('<p>Read <a href="#log" rel="x">the log</a>, then run <code>make report</code>.</p>') == (
        '<p>Запустите <code>make report</code>, потом прочтите <a href="#log" rel="x">журнал</a>.</p>'
    )


def test_what_is_known_only_in_parts_is_said_in_parts() -> None:
    assert said("<p><strong>Look</strong>, 5 check failed</p>") == (
        "<p><strong>Осмотр</strong>, 5\u00a0проверок не\u00a0пройдено</p>"
    )


def test_text_is_escaped_and_cannot_become_markup() -> None:
    speech = Speech({"a < b": "<script>1</script> & b"})
    assert bilingual.said("<p>a &lt; b</p>", speech) == "<p>&lt;script&gt;1&lt;/script&gt; &amp; b</p>"


def test_the_page_opens_in_its_first_language_and_holds_the_other() -> None:
    page = bilingual.bilingual(PAGE, SPEECH, "ru", "ru")
    assert '<html lang="ru" data-languages="en ru">' in page
    assert "Осмотр</span></h2>" in page
    assert 'title="Название"' in page
    assert "5\u00a0проверок не\u00a0пройдено" in page
    assert "1\u00a0234,5" in page
    told = table(page)
    assert told["shown"] == "ru"
    assert "5 check failed" in told["texts"]  # type: ignore[operator]
    assert {"title": "A title"} in told["labels"]  # type: ignore[operator]


def test_in_english_only_marks_and_the_table_are_added() -> None:
    page = bilingual.bilingual(PAGE, SPEECH, "ru", "en")
    emptied = re.sub(r'(id="language-data">).*?(</script>)', r"\1\2", page)
    bare = re.sub(r' data-(?:say|labels|languages)="[^"]*"', "", emptied)
    assert bare.replace("<span>Look</span>", "Look") == PAGE
    assert "Осмотр" in table(page)["texts"]  # type: ignore[operator]


def test_places_and_code_are_the_same_in_both_languages(written: str) -> None:
    page = bilingual.bilingual(written, SPEECH, "ru", "ru")
    assert re.findall(r'\bid="([^"]+)"', page) == re.findall(r'\bid="([^"]+)"', written)
    assert re.findall(r"<pre.*?</pre>", page, re.DOTALL) == re.findall(r"<pre.*?</pre>", written, re.DOTALL)
    policy = re.compile(r'content="(default-src[^"]+)"')
    assert policy.findall(page) == policy.findall(written)


def test_pieces_never_overlap(written: str) -> None:
    found = list(pieces(written, parse(written), SPEECH))
    assert found
    assert all(first.end <= second.start for first, second in pairwise(found))


def test_a_figure_says_its_words_and_keeps_its_data() -> None:
    data = json.dumps(
        {"data": [{"name": "Look", "x": [1, 2], "mode": "Look"}], "layout": {"title": {"text": "A title"}}}
    )
    page = PAGE.replace("<pre>", f'<script type="application/json" id="figure-1-data">{data}</script><pre>')
    made = bilingual.bilingual(page, SPEECH, "ru", "ru")
    assert data in made
    assert table(made)["figures"] == {
        "figure-1-data": [[["data", 0, "name"], "Осмотр"], [["layout", "title", "text"], "Название"]]
    }


def test_where_a_section_is_told_has_nothing_of_both_languages() -> None:
    russian, source = choice.speech("ru"), (paths.REPORT_TEMPLATE / "briefing.html").read_text(encoding="utf-8")
    found = re.search(r'<p class="where">.*?\{%', source)
    assert found, "briefing.html says where a section is told"
    begin = found[0].removesuffix("{%")
    for chapters in (["01"], ["04", "08"]):
        links = ", ".join(f'<a href="#chapter-{one}">chapter {one}</a>' for one in chapters)
        shown = re.sub(r"<[^>]*>", "", bilingual.said(f"{begin}{links}.</p>", russian))
        assert shown == f"Подробнее: {', '.join(f'глава {one}' for one in chapters)}."
