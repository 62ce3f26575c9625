"""The search space: every value of it is one that the profile would take, and every configuration has a name."""

import pytest

from lib.core import profile as profiles
from lib.core.errors import RunbookError
from lib.core.sections import Profile
from lib.engine.tune import space
from lib.engine.tune.space import Space

SMALL = Space({"max_num_seqs": [8, 16], "all_cpus": [True, False], "kv_cache_dtype": ["auto"]})


def profile(**values: list[object]) -> Profile:
    return profiles.load("embedded", {"tuner.space": values})


def test_every_configuration_stands_once() -> None:
    everything = list(SMALL.all())
    assert len(everything) == SMALL.size == 4
    assert len({space.label(params) for params in everything}) == 4


@pytest.mark.parametrize("name", profiles.names())
def test_the_spaces_of_all_profiles_are_valid(name: str) -> None:
    loaded = profiles.load(name)
    if loaded.tuner.space:
        assert space.of(loaded).size >= 2
        full = profiles.load(name, profiles.thorough(name))
        assert space.of(full).size >= space.of(loaded).size


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"max_num_sequences": [1]}, "did you mean: max_num_seqs"),
        ({"max_num_seqs": []}, "no values to try"),
        ({"max_num_seqs": [8, 0]}, "greater than or equal to 1"),
        ({"max_num_seqs": ["many"]}, "valid integer"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(values: dict[str, list[object]], told: str) -> None:
    with pytest.raises(RunbookError) as caught:
        space.of(profile(**values))
    assert told in str(caught.value)


def test_the_profile_is_found_in_the_space_only_if_all_its_values_are() -> None:
    own = {"max_num_seqs": 8, "all_cpus": True, "kv_cache_dtype": "auto", "port": 0}
    assert SMALL.nearest(own) == {"max_num_seqs": 8, "all_cpus": True, "kv_cache_dtype": "auto"}
    assert SMALL.nearest({**own, "max_num_seqs": 12}) is None


def test_flags_of_vllm_are_varied_too() -> None:
    searched = profiles.load("embedded", {"tuner.space": {"--enable-x": [False, True], "--size": [1, 2]}})
    assert space.own(searched)["--enable-x"] is False
    flagged = space.variant({"--enable-x": True, "--size": 2}).of(searched)
    assert flagged.serving.extra_args == ["--enable-x", "--size", "2"]
    assert space.variant({"--enable-x": False, "--size": 1}).flags == ("--size", "1")
    assert space.label({"--enable-x": True, "--size": 2}) == "enablexyes-size2"


def test_an_empty_space_has_nothing_to_search() -> None:
    assert space.of(profiles.load("embedded", {"tuner.space": {}})).size == 0


def test_names_are_short_and_fit_for_files() -> None:
    assert space.label({"max_num_seqs": 16, "all_cpus": False, "gpu_memory_utilization": 0.9}) == (
        "seqs16-allcpusno-memory0_9"
    )


def test_a_configuration_is_a_server() -> None:
    served = space.variant({"max_num_seqs": 4}).of(profiles.load("embedded"))
    assert served.serving.max_num_seqs == 4
