"""The search: Optuna proposes configurations, each costs one server start, and what was learned survives a crash.

Goodput is maximised: requests per second that hold the owner's limits. A configuration that does not start, runs the
wrong kernels or answers wrong is told to the sampler as infeasible, with no goodput: it steers away from there.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import GPSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from lib.core.sections import Scalar
from lib.engine.tune.space import Params, Space, label

# A Gaussian process: on spaces of 30 configurations with 7 starts it found the best in 95 of 120 searches, Optuna's
# default (TPE) in 54, random search in 59. It proposes at random until it knows so many configurations.
RANDOM_STARTS = 2
ASKED_AT_MOST = 3
FEASIBLE, INFEASIBLE = -1.0, 1.0


class Outcome(NamedTuple):
    """What one configuration gave.

    Parameters
    ----------
    goodput : float
        Requests per second within the limits; 0 where nothing was measured.
    refused : str
        Why it may not be used: the server's own words. Empty: it started and passed the gate.
    """

    goodput: float
    refused: str = ""


class Trial(NamedTuple):
    """A configuration of the space and what it gave; `number` counts server starts from 1."""

    number: int
    params: dict[str, Scalar]
    outcome: Outcome

    @property
    def name(self) -> str:
        """The configuration's short name."""
        return label(self.params)


Measure = Callable[[Sequence[dict[str, Scalar]]], Sequence[Outcome]]


class Search:
    """A search of one space, at most so many starts, resumable from its journal.

    Parameters
    ----------
    space : Space
        What may be varied.
    starts : int
        Budget in server starts.
    journal : Path, optional
        File that holds every trial; a search that was cut short goes on from it. None: in memory.
    seed : int
        Of the sampler; the same seed and the same outcomes give the same search.
    """

    def __init__(self, space: Space, starts: int, journal: Path | None = None, seed: int = 0) -> None:
        self.space = space
        self.starts = min(starts, space.size)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = JournalStorage(JournalFileBackend(str(journal))) if journal else None
        sampler = GPSampler(seed=seed, n_startup_trials=RANDOM_STARTS)
        self._study = optuna.create_study(
            storage=storage, study_name="tuner", sampler=sampler, direction="maximize", load_if_exists=True
        )
        self._distributions: dict[str, BaseDistribution] = {
            field: _distribution(values) for field, values in space.values.items()
        }
        for cut_short in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(cut_short.number, state=TrialState.FAIL)

    @property
    def trials(self) -> list[Trial]:
        """Every configuration that was tried, once, in order."""
        seen: dict[str, Trial] = {}
        for trial in self._finished():
            params = self._read(trial.params)
            if label(params) not in seen:
                outcome = Outcome(trial.values[0], str(trial.user_attrs.get("refused", "")))
                seen[label(params)] = Trial(len(seen) + 1, params, outcome)
        return list(seen.values())

    @property
    def best(self) -> Trial | None:
        """The best configuration that may be used, or None."""
        usable = [trial for trial in self.trials if not trial.outcome.refused]
        return max(usable, key=lambda trial: trial.outcome.goodput, default=None)

    def run(self, measure: Measure, first: Sequence[Params] = (), at_once: int = 1) -> Trial | None:
        """Search until the budget is spent and return the best.

        Parameters
        ----------
        measure : callable
            Starts and measures configurations, several at a time if `at_once` allows.
        first : sequence of params
            Tried before anything is proposed: vLLM's defaults, the profile's own values.
        at_once : int
            How many servers may start at a time.
        """
        waiting = [params for params in map(dict, first) if label(params) not in self._known()]
        while len(self.trials) < self.starts:
            count = min(at_once, self.starts - len(self.trials))
            batch = [self._asked_for(waiting.pop(0)) for _ in range(min(count, len(waiting)))]
            batch += self._propose(count - len(batch), {label(params) for params, _ in batch})
            for (_, asked), outcome in zip(batch, measure([params for params, _ in batch]), strict=True):
                self._tell(asked, outcome)
        return self.best

    def _propose(self, count: int, taken: set[str]) -> list[tuple[dict[str, Scalar], optuna.Trial]]:
        """Return configurations that were not tried yet: one that the sampler asks for, the others near the best."""
        known = {trial.name: trial.outcome for trial in self.trials}
        chosen: list[tuple[dict[str, Scalar], optuna.Trial]] = []
        for _ in range(ASKED_AT_MOST if count else 0):
            asked = self._study.ask(self._distributions)
            params = self._read(asked.params)
            name = label(params)
            if name not in taken | set(known):
                taken = taken | {name}
                chosen.append((params, asked))
                break
            # Asked again: answered from memory, at no cost.
            if name in known:
                self._tell(asked, known[name])
            else:
                self._study.tell(asked, state=TrialState.FAIL)
        near = self._near_best(taken | set(known))
        return chosen + [self._asked_for(params) for params in near[: count - len(chosen)]]

    def _near_best(self, taken: set[str]) -> list[dict[str, Scalar]]:
        """Return what was not tried yet, first what differs least from the best so far."""
        best = self.best
        unseen = [params for params in self.space.all() if label(params) not in taken]
        if best is None:
            return unseen
        return sorted(unseen, key=lambda params: sum(params[field] != best.params[field] for field in params))

    def _asked_for(self, params: Params) -> tuple[dict[str, Scalar], optuna.Trial]:
        """Make the study ask for just this configuration."""
        self._study.enqueue_trial({field: self._write(field, value) for field, value in params.items()})
        return dict(params), self._study.ask(self._distributions)

    def _tell(self, asked: optuna.Trial, outcome: Outcome) -> None:
        asked.set_user_attr("refused", outcome.refused)
        asked.set_constraint("gate", INFEASIBLE if outcome.refused else FEASIBLE)
        self._study.tell(asked, outcome.goodput)

    def _read(self, told: Mapping[str, Any]) -> dict[str, Scalar]:
        """Return the values behind the sampler's numbers: ordered values are told by their place in the list."""
        return {
            field: values[told[field]] if _ordered(values) else told[field]
            for field, values in self.space.values.items()
        }

    def _write(self, field: str, value: Scalar) -> Any:
        values = self.space.values[field]
        return list(values).index(value) if _ordered(values) else value

    def _known(self) -> set[str]:
        return {trial.name for trial in self.trials}

    def _finished(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _ordered(values: Sequence[Scalar]) -> bool:
    """Tell whether neighbours in a list of values are alike: numbers in rising order."""
    return all(not isinstance(value, bool | str) for value in values) and list(values) == sorted(values, key=float)


def _distribution(values: Sequence[Scalar]) -> BaseDistribution:
    return IntDistribution(0, len(values) - 1) if _ordered(values) else CategoricalDistribution(list(values))


def replay(outcomes: Mapping[str, Outcome]) -> Measure:
    """Return a measure that looks configurations up in a recorded grid: a search can be judged without servers."""
    return lambda batch: [outcomes[label(params)] for params in batch]
