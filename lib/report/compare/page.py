"""A comparison as one self-contained page, in the document's style: no network, no script."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lib.core import display, paths
from lib.core.errors import RunbookError
from lib.core.state import replace
from lib.report.compare.differences import OUTCOMES, Change, Compared, Comparison, Outcome, Run
from lib.report.compare.scale import Axis

_TITLES: dict[Outcome, str] = {
    "regression": "Regressions",
    "improvement": "Improvements",
    "changed": "Changed, for better or worse",
    "no difference": "No difference",
    "not comparable": "Not comparable",
}
_WORST_FIRST = ("fail", "not recorded", "warn", "skip", "pass")


def write(before: Run, after: Run, found: Comparison, out: Path) -> Path:
    """Write the page and return its path.

    Raises
    ------
    RunbookError
        The file cannot be written.
    """
    page = render(before, after, found)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace(out, page.encode())
    except OSError as error:
        raise RunbookError(f"cannot write: {error.strerror}", where=paths.short(out), fix="--html FILE") from error
    return out


def refuse_inside(out: Path, *runs: Path) -> None:
    """Raise `RunbookError` if a file would lie in a run's folder: its seal would show a file that was added."""
    for run in runs:
        if out.resolve().is_relative_to(run.resolve()):
            raise RunbookError(
                "a comparison does not belong into a run's folder, which is sealed",
                where=paths.short(out),
                fix=f"--html {paths.short(run.resolve().parent / out.name)}",
            )


def render(before: Run, after: Run, found: Comparison) -> str:
    """Return the page."""
    axis = Axis.of(span for one in found.measurements if (span := one.span))
    style = "".join((paths.REPORT_TEMPLATE / name).read_text(encoding="utf-8") for name in ("style.css", "compare.css"))
    return (
        _environment()
        .get_template("compare.html")
        .render(
            runs=[before.state, after.state],
            found=found,
            verdict=verdict(found),
            checks=sorted(found.checks, key=_badness),
            groups=[(outcome, _TITLES[outcome], _sorted(found.with_outcome(outcome))) for outcome in OUTCOMES],
            quiet=("no difference", "not comparable"),
            axis=axis,
            words=display.WORDS,
            style=Markup(style),  # noqa: S704  # our own files
        )
    )


def verdict(found: Comparison) -> str:
    """Say in a few sentences what changed; where nothing did, that."""
    return " ".join(_sentences(found))


def _sentences(found: Comparison) -> Iterator[str]:
    total = len(found.measurements)
    if not total:
        yield "The runs have no measurement in common."
    else:
        counts = {outcome: len(found.with_outcome(outcome)) for outcome in ("regression", "improvement", "changed")}
        told = [f"{count} {_plural(outcome, count)}" for outcome, count in counts.items() if count]
        among = f"{total} measurement{'s' if total > 1 else ''} of both runs"
        yield f"{_joined(told)} among {among}." if told else f"No difference shows in {among}."
    others = [("fact", found.facts), ("check", found.checks), ("decision", found.decisions)]
    other = [f"{len(changes)} {kind}{'s' if len(changes) > 1 else ''}" for kind, changes in others if changes]
    yield f"{_joined(other)} changed." if other else "Facts, checks and decisions are the same."


def _plural(outcome: str, count: int) -> str:
    word = "other change" if outcome == "changed" else outcome
    return word if count == 1 else f"{word}s"


def _joined(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _badness(change: Change) -> tuple[int, str]:
    return _WORST_FIRST.index(change.after), change.what


def _sorted(alike: Iterable[Compared]) -> list[Compared]:
    """Order by how far the ratio is from 1, the farthest first; those without a ratio come last."""
    return sorted(alike, key=lambda one: -_distance(one.ratio))


def _distance(ratio: float | None) -> float:
    return 0.0 if not ratio or ratio < 0 else max(ratio, 1 / ratio)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(paths.REPORT_TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = display.number
    return environment
