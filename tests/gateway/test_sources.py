"""The field that tells sources within an answer: in its place, whatever pieces the answer comes in."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.gateway import sources
from lib.gateway.sources import Insert

TOLD = [{"path": "дом/Haus.md", "heading": 'Keys "old"', "start": 3, "end": 40}]
WHOLE = b'{"id":"1","choices":[{"message":{"content":"say {\\"x\\"} data: {\\"y\\""}}]}'
STREAM = b': wait\n\ndata: {"id":"1","choices":[]}\n\ndata: {"id":"1","x":"data: {"}\n\ndata: [DONE]\n\n'


def passed(insert: Insert, pieces: list[bytes]) -> bytes:
    return b"".join([*(insert.pass_on(piece) for piece in pieces), insert.rest()])


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12), streamed=st.booleans())
def test_in_whatever_pieces_it_comes(cuts: list[int], streamed: bool) -> None:
    data = STREAM if streamed else WHOLE
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    got = passed(Insert(TOLD, streamed=streamed), [data[a:b] for a, b in itertools.pairwise(edges)])
    first = got.split(b"data: ", 1)[1].split(b"\n", 1)[0] if streamed else got
    assert json.loads(first)["runbook_sources"] == TOLD
    field = f'"runbook_sources": {json.dumps(TOLD, ensure_ascii=False)}, '.encode()
    assert got.replace(field, b"", 1) == data


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"data: [DONE]\n\n", b": only comments\n\n", b"x" * 9000])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_has_no_place_for_it_passes_as_it_is(data: bytes, streamed: bool) -> None:
    assert passed(Insert(TOLD, streamed=streamed), [data[:5], data[5:]]) == data


def test_what_never_begins_is_not_held_for_ever() -> None:
    insert = Insert(TOLD, streamed=True)
    assert insert.pass_on(b":" * 5000) == b":" * 5000
    assert insert.pass_on(STREAM) == STREAM


def test_many_sources_have_room_in_a_header() -> None:
    many = [{"path": f"файл{n}.md", "heading": "", "start": n, "end": n + 1} for n in range(500)]
    text = sources.header(many)
    assert len(text) <= sources.HEADER_BYTES
    assert text.isascii()
    assert json.loads(text) == many[: len(json.loads(text))]
