"""Test data: five claims as a run judges them, one of each way, one stale, one hostile."""

from lib.core.evidence import Check, Claim, Provenance

HOSTILE = "<script>document.title=1</script>"


def claim(name: str, verdict: str = "refuted", way: str = "executed", **more: object) -> Claim:
    values = {
        "title": f"Claim {name}.", "registered": verdict, "topic": "batching", "told_in": "05",
        "quote": "сказано **так**",
        "fact": "It is otherwise.", "observed": "a flag is missing", "origins": ["engine"] if way == "executed" else [],
        "sources": ["https://example.org/x"], "read": "2026-11-23", "by_hand": "vllm serve --help",
    }  # fmt: skip
    made = {"name": f"claims.{name}", "verdict": verdict, "way": way, **values, **more}
    return Claim.model_validate({**made, "provenance": Provenance(chapter="99")})


def check(name: str, status: str) -> Check:
    return Check.model_validate({"name": f"claims.{name}", "status": status, "observed": "seen"})


def judged() -> list[Check | Claim]:
    """Return the records of five claims."""
    return [
        check("a_flag", "pass"), claim("a_flag"),
        check("a_number", "pass"),
        claim("a_number", "confirmed", value=2.5, unit="×", interval=(2.4, 2.6), origins=["this run"], told_in="04"),
        check("stale", "fail"), claim("stale", "confirmed", told_in="04"),
        claim("cited", "unverifiable", "cited", told_in=""),
        check("elsewhere", "skip"), claim("elsewhere", way="not run", quote=HOSTILE, told_in="04"),
    ]  # fmt: skip
