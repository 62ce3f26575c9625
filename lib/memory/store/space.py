"""Whose vectors: two spaces never mix."""

from typing import NamedTuple


class Space(NamedTuple):
    """Which model's vectors: two spaces never mix."""

    model: str
    dimension: int

    @property
    def key(self) -> str:
        """As it is written down."""
        return f"{self.model}/{self.dimension}"

    @classmethod
    def read(cls, key: str) -> "Space":
        """Read what `key` wrote."""
        model, _, dimension = key.rpartition("/")
        return cls(model, int(dimension))


class SwitchedError(Exception):
    """A vector of one model met the index of another: the model was switched since the question was embedded."""
