"""Whether a host does what was applied for: every concern's questions, and nothing left to change."""

import re

from lib.core.evidence import Check
from lib.deploy import plan as plans
from lib.deploy.concerns import concerns
from lib.deploy.site import Site
from lib.deploy.target import Target

_MARK = "@@probe "


def verify(target: Target, site: Site, when: str, prefix: str = "deploy") -> list[Check]:
    """Ask a host every question of its concerns, and look whether anything would change.

    Parameters
    ----------
    when : str
        After which step, for the conditions.
    prefix : str
        First part of the checks' names.
    """
    asked = [(concern.name, probe) for concern in concerns(site) for probe in concern.probes(site)]
    script = "\n".join(
        f"echo '{_MARK}{number}'\n(\n{probe.script}\n) 2>/dev/null </dev/null"
        for number, (_, probe) in enumerate(asked)
    )
    answers = dict.fromkeys(range(len(asked)), "")
    for block in ("\n" + target.run(script, check=False)).split(f"\n{_MARK}")[1:]:
        number, _, text = block.partition("\n")
        answers[int(number)] = text.strip().partition("\n")[0]
    about = {"host": site.host, "after": when}
    found = [
        Check(
            name=f"{prefix}.{concern}.{probe.name}",
            title=probe.title,
            status="pass" if re.fullmatch(probe.expected, answers[number]) else "fail",
            expected=probe.expected,
            observed=answers[number] or "no answer",
            fix=probe.script,
            conditions={**about},
        )
        for number, (concern, probe) in enumerate(asked)
    ]
    return [*found, _nothing_to_change(target, site, prefix, about)]


def _nothing_to_change(target: Target, site: Site, prefix: str, about: dict[str, str]) -> Check:
    left = [difference.resource.key for difference in plans.plan(target, site)]
    return Check(
        name=f"{prefix}.as_planned",
        title="The host is as the profile says",
        status="fail" if left else "pass",
        expected="no difference",
        observed=", ".join(left) or "no difference",
        fix=f"python -m lib deploy plan --host {site.host}",
        conditions={**about},
    )
