"""The search on recorded landscapes: it finds, keeps to its budget, learns from refusals, and resumes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lib.core.sections import Scalar
from lib.engine.tune.search import Outcome, Search, replay
from lib.engine.tune.space import Params, Space, label

SPACE = Space(
    {"max_num_seqs": [2, 4, 8, 16, 32], "max_num_batched_tokens": [256, 512, 2048], "all_cpus": [True, False]}
)
OWN: Params = {"max_num_seqs": 32, "max_num_batched_tokens": 2048, "all_cpus": True}


def landscape(params: Params) -> float:
    """Goodput rises with the batch until the limits are broken, and threads on every CPU help."""
    batch = {2: 2.0, 4: 4.0, 8: 7.0, 16: 5.0, 32: 1.0}[int(str(params["max_num_seqs"]))]
    return batch * (1.3 if params["all_cpus"] else 1.0)


GRID = {label(params): Outcome(landscape(params)) for params in SPACE.all()}
BEST = max(outcome.goodput for outcome in GRID.values())


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_budget_is_spent_and_no_configuration_twice(at_once: int) -> None:
    asked: list[str] = []

    def measure(batch: Sequence[dict[str, Scalar]]) -> list[Outcome]:
        assert len(batch) <= at_once
        asked.extend(map(label, batch))
        return [GRID[label(params)] for params in batch]

    search = Search(SPACE, 8, seed=1)
    search.run(measure, [OWN], at_once)
    assert len(asked) == len(set(asked)) == len(search.trials) == 8
    assert asked[0] == label(OWN), "what is known to be good is tried first"


def test_it_finds_what_a_grid_finds_with_a_third_of_the_starts() -> None:
    found = [Search(SPACE, 10, seed=seed).run(replay(GRID), [OWN]) for seed in range(5)]
    assert sum(trial is not None and trial.outcome.goodput >= 0.95 * BEST for trial in found) >= 4


def test_a_budget_larger_than_the_space_tries_everything() -> None:
    small = Space({"max_num_seqs": [8, 16], "all_cpus": [True, False]})
    search = Search(small, 50)
    best = search.run(lambda batch: [Outcome(float(str(params["max_num_seqs"]))) for params in batch])
    assert best is not None
    assert best.params["max_num_seqs"] == 16
    assert len(search.trials) == 4


def test_refused_configurations_are_learned_and_never_win() -> None:
    def measure(batch: Sequence[dict[str, Scalar]]) -> list[Outcome]:
        return [
            Outcome(0.0, "out of memory") if params["max_num_seqs"] == 32 else GRID[label(params)] for params in batch
        ]

    search = Search(SPACE, 6)
    best = search.run(measure, [OWN])
    assert search.trials[0].outcome.refused == "out of memory"
    assert best is not None
    assert best.params["max_num_seqs"] != 32


def test_when_all_are_refused_there_is_no_best() -> None:
    search = Search(SPACE, 3)
    assert search.run(lambda batch: [Outcome(0.0, "no") for _ in batch]) is None
    assert len(search.trials) == 3


def test_a_search_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "tuner.journal"

    done: list[str] = []

    def dies_at_the_third(batch: Sequence[dict[str, Scalar]]) -> list[Outcome]:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.extend(map(label, batch))
        return [GRID[label(params)] for params in batch]

    with pytest.raises(KeyboardInterrupt):
        Search(SPACE, 5, journal).run(dies_at_the_third, [OWN])
    again = Search(SPACE, 5, journal)
    before = [trial.name for trial in again.trials]
    assert before == done
    measured: list[str] = []

    def measure(batch: Sequence[dict[str, Scalar]]) -> list[Outcome]:
        measured.extend(map(label, batch))
        return [GRID[label(params)] for params in batch]

    again.run(measure, [OWN])
    assert len(measured) == 3, "what was measured before costs no start again"
    assert not set(measured) & set(before)
