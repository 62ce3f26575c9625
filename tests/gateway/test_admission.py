"""A file in a folder stops admission, whatever is in it; taken away, requests are admitted with the next one."""

from pathlib import Path

import pytest
from town import MakeTown

from lib.gateway import admission
from lib.gateway.admission import RETRY_AFTER_S, Admission


def test_without_a_folder_nothing_is_held(tmp_path: Path) -> None:
    assert Admission(tmp_path / "none").held() is None


def test_each_reason_is_taken_back_by_its_own_name(tmp_path: Path) -> None:
    admission.hold(tmp_path, "power", "on battery", 7)
    admission.hold(tmp_path, "heat", "too hot", 9)
    assert Admission(tmp_path).held() == ("too hot", 9)
    admission.release(tmp_path, "heat")
    assert Admission(tmp_path).held() == ("on battery", 7)
    admission.release(tmp_path, "power")
    admission.release(tmp_path, "power")
    assert Admission(tmp_path).held() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"reason": "x"}', '{"reason": "x", "retry_after_s": "soon"}'])
def test_a_damaged_hold_holds(tmp_path: Path, content: str) -> None:
    (tmp_path / "power").write_text(content)
    held = Admission(tmp_path).held()
    assert held is not None
    assert held.retry_after_s == RETRY_AFTER_S


def test_a_hold_that_is_being_written_is_none_yet(tmp_path: Path) -> None:
    (tmp_path / ".power.new").touch()
    assert Admission(tmp_path).held() is None


def test_the_gateway_refuses_with_retry_after_and_what_runs_goes_on(make_town: MakeTown, tmp_path: Path) -> None:
    town = make_town(holds=str(tmp_path / "holds"))
    assert town.ask().status_code == 200
    body = {"model": "a", "messages": [], "stream": True, "fake": {"tokens": 5, "each_s": 0.1}}
    with town.client.stream("POST", f"{town.url}/v1/chat/completions", json=body) as running:
        admission.hold(tmp_path / "holds", "power", "The server runs on its battery.", 7)
        refused = town.ask()
        assert running.read().endswith(b"data: [DONE]\n\n")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "7"
    assert refused.json()["error"]["message"] == "The server runs on its battery."
    admission.release(tmp_path / "holds", "power")
    assert town.ask().status_code == 200
