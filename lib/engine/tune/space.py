"""The space that the tuner searches: fields of the profile's `serving` section, flags of vLLM, and values to try.

A key that begins with `--` is a flag of vLLM: its value follows it; true gives the flag alone, false leaves it out. The
engine itself judges flags when it starts.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lib.core.errors import RunbookError, nearest
from lib.core.sections import Profile, Scalar, Serving
from lib.engine.serve import command
from lib.engine.serve.variant import Variant
from lib.engine.tune import configuration

Params = Mapping[str, Scalar]


class Space(NamedTuple):
    """Fields of `serving`, or flags, with their values, in the order of the profile."""

    values: Mapping[str, Sequence[Scalar]]

    @property
    def size(self) -> int:
        """How many configurations there are: the starts that an exhaustive search takes."""
        return sum(1 for _ in self.all()) if self.values else 0

    def all(self) -> Iterator[dict[str, Scalar]]:
        """Yield every configuration."""
        for combination in itertools.product(*self.values.values()):
            yield dict(zip(self.values, combination, strict=True))

    def nearest(self, wanted: Mapping[str, object]) -> dict[str, Scalar] | None:
        """Return the configuration of the space with exactly these values, or None if one of them is not in it."""
        found: dict[str, Scalar] = {}
        for field, values in self.values.items():
            same = [value for value in values if value == wanted.get(field)]
            if not same:
                return None
            found[field] = same[0]
        return found


def of(profile: Profile) -> Space:
    """Return a profile's search space, every value of it checked; without fields there is nothing to search.

    Raises
    ------
    RunbookError
        A field that `serving` does not have, a value that it does not take, or no values.
    """
    space = profile.tuner.space
    for field, values in space.items():
        place = f"runbook/profiles/{profile.name}.yml, tuner.space.{field}"
        if not field.startswith("--") and field not in Serving.model_fields:
            raise RunbookError(
                f"`serving` has no field '{field}'", where=place, nearest=nearest(field, Serving.model_fields)
            )
        if not values:
            raise RunbookError(f"'{field}' has no values to try", where=place, fix="list at least one value")
        for value in values:
            variant({field: value}).of(profile)
    return Space(space)


def label(params: Params) -> str:
    """Return a short, stable name of a configuration, fit for files: ``seqs16-tokens512``."""
    return "-".join(f"{_short(field)}{_word(value)}" for field, value in params.items())


def variant(params: Params) -> Variant:
    """Return the server configuration of a point of the space."""
    fields = {field: value for field, value in params.items() if not field.startswith("--")}
    flags = [word for flag, value in params.items() if flag.startswith("--") for word in _words(flag, value)]
    return Variant(label(params), fields, tuple(flags))


def own(profile: Profile) -> dict[str, Scalar]:
    """Return what the profile says of everything that a space may vary; a flag that it does not give is false."""
    given = configuration.options(profile.serving.extra_args)
    flags = {f"--{name}": value for name, value in given.items()}
    told = {key: flags.get(key, False) for key in profile.tuner.space if key.startswith("--")}
    fields = profile.serving.model_dump() | {"all_cpus": command.uses_all_cpus(profile)}
    return told | fields


def _words(flag: str, value: Scalar) -> list[str]:
    if value is False:
        return []
    return [flag] if value is True else [flag, str(value)]


def _short(field: str) -> str:
    return _ABBREVIATED.get(field, re.sub(r"[^a-z0-9]", "", field))


def _word(value: Scalar) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else re.sub(r"[^A-Za-z0-9]+", "_", str(value))


_ABBREVIATED = {
    "max_num_seqs": "seqs",
    "max_num_batched_tokens": "tokens",
    "all_cpus": "allcpus",
    "kv_cache_dtype": "kv",
    "gpu_memory_utilization": "memory",
    "enforce_eager": "eager",
}
