"""Profiles: loading, extending, overriding, and an error for every way to get one wrong."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core import profile
from lib.core.errors import Exit, RunbookError

MINIMAL = "title: T\ndescription: D\nhardware: cpu\nmodels: {served: smollm2-135m}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yml").write_text(MINIMAL + "batching: {repeats: 4, concurrency: [1, 2]}\n")
    return tmp_path


def test_every_profile_of_the_repository_loads() -> None:
    assert {profile.load(name).name for name in profile.names()} == {"embedded", "h200", "h200-small", "rtx-pro-6000"}


def test_a_profile_extends_another_section_by_section(folder: Path) -> None:
    (folder / "child.yml").write_text("extends: base\ntitle: child\nbatching: {concurrency: [8]}\n")
    child = profile.load("child", folder=folder)
    assert (child.name, child.title) == ("child", "child")
    assert child.batching.repeats == 4, "what the child does not say comes from the base"
    assert child.batching.concurrency == [8], "a list is replaced, not appended to"


def test_null_takes_back_what_the_base_says(folder: Path) -> None:
    (folder / "child.yml").write_text("extends: base\nbatching: {repeats: null}\n")
    assert profile.load("child", folder=folder).batching.repeats == 3, "the field's own default"
    (folder / "grandchild.yml").write_text("extends: child\nbatching: null\n")
    assert profile.load("grandchild", folder=folder).batching.concurrency == [1, 4, 16, 32]


def test_an_override_wins(folder: Path) -> None:
    loaded = profile.load("base", {"batching.repeats": 9, "serving.port": 8000}, folder)
    assert (loaded.batching.repeats, loaded.serving.port) == (9, 8000)


@pytest.mark.parametrize(
    ("overrides", "what", "near"),
    [
        ({"batching.repeat": 5}, "unknown key 'batching.repeat'", "batching.repeats"),
        ({"batchin.repeats": 5}, "unknown key 'batchin'", "batching"),
        ({"batching.repeats": "many"}, "valid integer (got 'many')", ""),
        ({"batching.repeats": 1}, "greater than or equal to 2 (got 1)", ""),
        ({"serving.dtype": "bf16"}, "serving.dtype", "bfloat16"),
        ({"serving.port": 70000}, "less than or equal to 65535", ""),
        ({"serving.gpu_memory_utilization": 1.2}, "less than or equal to 1", ""),
        ({"title.text": "x"}, "'title' has no fields of its own", ""),
    ],
)
def test_a_wrong_override_says_what_and_the_nearest(
    folder: Path, overrides: dict[str, object], what: str, near: str
) -> None:
    with pytest.raises(RunbookError) as caught:
        profile.load("base", overrides, folder)
    assert what in str(caught.value)
    assert caught.value.nearest == near
    assert caught.value.exit_code == Exit.BAD_INPUT


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (MINIMAL + "batching: {repeatz: 3}\n", "unknown key 'batching.repeatz'"),
        (MINIMAL + "batching: 3\n", "batching"),
        ("title: [\n", "not valid YAML"),
        ("- a\n- b\n", "a profile is a mapping"),
        ("title: T\n", "Field required"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(RunbookError) as caught:
        profile.load("mine", folder=tmp_path)
    assert what in caught.value.what
    assert "mine.yml" in caught.value.where


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(RunbookError) as caught:
        profile.load("embeded")
    assert caught.value.nearest == "embedded"


def test_profiles_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("extends: b\n")
    (tmp_path / "b.yml").write_text("extends: a\n")
    with pytest.raises(RunbookError, match="extends itself"):
        profile.load("a", folder=tmp_path)


def test_an_unknown_base_is_blamed_on_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("extends: nobody\n")
    with pytest.raises(RunbookError) as caught:
        profile.load("a", folder=tmp_path)
    assert "a.yml, extends" in caught.value.where


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a.b=5", ("a.b", 5)), ("a=[1,2]", ("a", [1, 2])), ("a=x=y", ("a", "x=y")), ("a=true", ("a", True))],
)
def test_overrides_are_read_as_json_or_text(text: str, expected: tuple[str, object]) -> None:
    assert profile.parse_override(text) == expected


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(RunbookError, match="not key=value"):
        profile.parse_override("batching.repeats")


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text(max_size=5), max_size=4))
def test_no_override_ever_ends_in_a_traceback(overrides: dict[str, object]) -> None:
    with contextlib.suppress(RunbookError):
        assert profile.load("embedded", overrides).name == "embedded"
