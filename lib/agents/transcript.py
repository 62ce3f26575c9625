"""What happened while agents worked: every request with its role, model, time, tokens and wait."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Kind = Literal["plan", "step"]


@dataclass(frozen=True)
class Event:
    """One request.

    Parameters
    ----------
    kind : str
        `plan` or `step`.
    role, engine, model : str
        Who was asked, which engine answered with which model.
    begun, seconds : float
        From the start of the work, s.
    waited_ms : float
        Wait for the engine, a change of model included, as the gateway tells it.
    prompt_tokens, tokens : int
        Of the prompt and of the answer.
    part, result, error : str
        What it was about, what came of it, and what was wrong with that.
    """

    kind: Kind
    role: str
    engine: str
    model: str
    begun: float
    seconds: float
    waited_ms: float
    prompt_tokens: int
    tokens: int
    part: str = ""
    result: str = ""
    error: str = ""


def as_json(events: Sequence[Event]) -> str:
    """Return a transcript as JSON, for the raw file."""
    return json.dumps([asdict(event) for event in events], indent=1, ensure_ascii=False)
