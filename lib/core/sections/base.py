"""The base of everything that is read from a file of the runbook."""

from pydantic import BaseModel, ConfigDict

Scalar = str | int | float | bool


class Section(BaseModel):
    """Base of all sections: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
