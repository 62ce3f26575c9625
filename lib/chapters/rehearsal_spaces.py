"""The rehearsal of a machine that cannot run twins: the bastion's own programs in network namespaces, no more."""

from lib.core.evidence import Check, Provenance
from lib.core.sections import Profile
from lib.core.sections.bastion import Gate, Peer
from lib.edge.stage import Engine, Stage
from lib.lab.netns import space
from lib.lab.netns.space import LabError
from lib.lab.tools import NoLabError

TIER = "rehearsal.tier"
# Nothing is asked of an engine here: the port of nobody.
NOBODY = Engine("127.0.0.1", 9)
LEFT_OUT = "packages, accounts, units, a second apply, a power cut and undo were not rehearsed, so apply stays refused"


def rehearse(profile: Profile, reason: NoLabError) -> list[Check]:
    """Start firewall, tunnel, proxy and key service of every machine with the rendered files, and let them be judged.

    Parameters
    ----------
    reason : NoLabError
        Why twins cannot run here; the document says it, with the command that changes it.
    """
    if lacking := space.missing():
        return [_tier("skip", f"none: {reason.what}", lacking)]
    try:
        with Stage(profile.bastion, NOBODY) as stage:
            places: list[Gate | Peer] = [*profile.bastion.gates, *profile.bastion.homes]
            judged = [stage.judge(place, file) for place in places for file in stage.rendered(place) if file.check]
    except LabError as error:
        return [_tier("fail", f"network namespaces: {error.what}", error.fix or reason.fix)]
    found = [check.model_copy(update={"name": "rehearsal.bastion.file"}) for check in judged]
    return [*found, _tier("warn", f"network namespaces, because {reason.what}; {LEFT_OUT}", reason.fix)]


def _tier(status: str, observed: str, fix: str) -> Check:
    return Check.model_validate(
        {
            "name": TIER,
            "title": "Where it was rehearsed",
            "status": status,
            "expected": "virtual machines",
            "observed": observed,
            "fix": fix,
            "provenance": Provenance(where="lab"),
        }
    )
