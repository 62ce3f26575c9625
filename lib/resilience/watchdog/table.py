"""The watchdog's states as a table: for every state and event the next state and what is done. Nothing else decides."""

from typing import Literal, NamedTuple, get_args

State = Literal["off", "starting", "well", "doubtful", "waiting", "lost"]
Event = Literal[
    "nothing", "off", "up", "good", "good_enough", "bad", "bad_enough", "late", "ended", "due", "loop", "rested",
    "card_lost", "card_lost_reboot",
]  # fmt: skip
Action = Literal["start", "stop", "alert", "clear", "reboot"]
STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)

STATE_WORDS: dict[State, str] = {
    "off": "stopped on purpose: left alone",
    "starting": "loading; failures count only once it is late",
    "well": "answers",
    "doubtful": "failed at least once, and not answered often enough since",
    "waiting": "stopped; its pause before the next start runs",
    "lost": "its card is gone: no start can help",
}
EVENT_WORDS: dict[Event, str] = {
    "nothing": "nothing new",
    "off": "somebody stopped it, or power or heat forbid it",
    "up": "its process runs",
    "good": "a completion was answered",
    "good_enough": "answered as often in a row as needed",
    "bad": "a completion failed",
    "bad_enough": "failed as often in a row as needed",
    "late": "the same, and its start takes too long",
    "ended": "its process ended by itself",
    "due": "the pause is over",
    "loop": "the same, after too many restarts without rest",
    "rested": "well for so long that earlier restarts are forgotten",
    "card_lost": "the driver says that the card fell off the bus",
    "card_lost_reboot": "the same, and the policy allows a reboot",
}


class Row(NamedTuple):
    """What follows: the next state, and what is done on the way, in order."""

    next: State
    do: tuple[Action, ...] = ()


_LOST = {
    "card_lost": Row("lost", ("stop", "alert")),
    "card_lost_reboot": Row("lost", ("stop", "alert", "reboot")),
}
_RUNNING = {"off": Row("off"), "ended": Row("waiting"), **_LOST}
# What a state does not name leaves it as it is, and does nothing.
_NAMED: dict[State, dict[str, Row]] = {
    "off": {"up": Row("starting"), "ended": Row("waiting")},
    "starting": {**_RUNNING, "good_enough": Row("well"), "late": Row("waiting", ("stop",))},
    "well": {
        **_RUNNING,
        "bad": Row("doubtful"),
        "bad_enough": Row("waiting", ("stop",)),
        "rested": Row("well", ("clear",)),
    },
    "doubtful": {**_RUNNING, "good_enough": Row("well"), "bad_enough": Row("waiting", ("stop",))},
    "waiting": {
        "off": Row("off"),
        "up": Row("starting"),
        "due": Row("starting", ("start",)),
        "loop": Row("starting", ("alert", "start")),
        **_LOST,
    },
    "lost": {"off": Row("off", ("clear",)), "up": Row("starting", ("clear",))},
}
TABLE: dict[tuple[State, Event], Row] = {
    (state, event): _NAMED[state].get(event, Row(state)) for state in STATES for event in EVENTS
}


def rows() -> list[dict[str, str]]:
    """Return the table for the document: what a state does not name is left out, for it changes nothing."""
    return [
        {
            "In state": f"{state}: {STATE_WORDS[state]}",
            "this is seen": EVENT_WORDS[event],
            "next state": TABLE[state, event].next,
            "and is done": ", ".join(TABLE[state, event].do) or "-",
        }
        for state in STATES
        for event in EVENTS
        if TABLE[state, event] != Row(state)
    ]
