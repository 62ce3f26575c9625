"""Faults of access: a key that was stolen."""

import time

from lib.gateway import keys
from lib.resilience.faults.drill import Drill, Outcome
from lib.resilience.faults.engine import LOST_S
from lib.resilience.faults.ground import Ground


def stolen(ground: Ground, defended: bool) -> Outcome:
    """Let somebody use a stolen key; the defence is to revoke it, which a running gateway sees at once."""
    made, secret = keys.create(ground.keys, f"stolen-{time.monotonic_ns()}", [keys.ALL_ROLES])
    with (
        ground.engine("stolen").running(),
        ground.witness() as owner,
        ground.witness(key=secret) as thief,
    ):
        ground.until_served()
        time.sleep(0.5)
        since = time.monotonic()
        if defended:
            keys.revoke(ground.keys, made.id)
        shut = None
        while shut is None and time.monotonic() - since < LOST_S:
            shut = next((one.ended - since for one in list(thief.tries) if one.begun > since and one.error), None)
            time.sleep(0.02)
        late = owner.served_again(since, LOST_S)
        wrong = [f"the owner's own key: {owner.errors(since)}"] if late else []
        return Outcome(shut, clients=f"the thief: {thief.errors(since)}", wrong=wrong, told="the owner's key holds")


DRILLS = [Drill("key_stolen", "A key is stolen", "revoked, and seen with the next request", 2, stolen)]
