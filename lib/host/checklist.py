"""What software cannot see: questions that the owner answers in the profile."""

from lib.core.evidence import Check, Status
from lib.core.sections import Answer, ChecklistItem, Profile
from lib.host import tools

VERDICTS: dict[Answer, Status] = {"yes": "pass", "unanswered": "warn", "no": "fail"}


def checks(profile: Profile) -> list[Check]:
    """Return one check a question: unanswered is a warning, not a pass; `no` is a failure."""
    return [_check(key, item, profile.name) for key, item in profile.host.checklist.items()]


def _check(key: str, item: ChecklistItem, profile: str) -> Check:
    field = f"host.checklist.{key}.answer"
    if item.answer == "no":
        fix = f"{item.why}\nPut it right, then set {field}: yes in profile {profile}"
    else:
        fix = f"{item.why}\nLook, then set {field}: yes (or no) in profile {profile}; for one run: --set {field}=yes"
    return Check(
        name=f"hardware.checklist.{tools.slug(key)}",
        title=item.question,
        status=VERDICTS[item.answer],
        expected="yes",
        observed=item.answer + (f": {item.note}" if item.note else ""),
        fix=fix,
    )
