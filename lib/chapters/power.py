"""Chapter 06: what the card gives at lower power limits. Only where the profile allows to change the limit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plotly.subplots import make_subplots

from lib.chapters import gate
from lib.chapters import load as loads
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.errors import RunbookError
from lib.core.evidence import Check, Decision, Measurement, Status
from lib.core.sections import Gpu
from lib.engine.bench.point import Effort, Point
from lib.engine.bench.results import Result
from lib.engine.power import map as power_map
from lib.engine.serve.server import Server
from lib.host import power_curve, power_limit
from lib.host.power_card import Card
from lib.host.power_limit import STATE, Borrowed

TITLE = "Speed against the power limit of the card"
ALLOW = (
    "where the card is yours and nobody else uses it:\nsudo .venv/bin/python -m lib run --profile rtx-pro-6000 "
    "--only 06 --set power.may_change_limit=true"
)


def plan(chapter: Chapter, library: Any = None, state: Path = STATE) -> display.Html:
    """Show which limits will be set and how they are measured; a limit that was left changed is given back first."""
    _leftover(chapter, library, state)
    wanted = chapter.profile.power
    if reason := _not_here(chapter):
        return display.table([{"": "no limit is changed", " ": reason}])
    rows = [
        {
            "Power limit, W": limit,
            "Phase": phase,
            "Concurrency": point.concurrency,
            "Input tokens": point.input_tokens,
            "Output tokens": point.output_tokens,
            "Rounds": wanted.repeats,
        }
        for limit in wanted.limits_w
        for phase, point in power_map.phases(wanted).items()
    ]
    return display.table(rows, "Each limit is set, held, loaded; the one found is set again", numeric=list(rows[0]))


def measure(chapter: Chapter, engine: Server | None, library: Any = None, state: Path = STATE) -> list[Measurement]:
    """Measure the map and record it, with the check `power.map`; nothing comes back where it was not measured.

    Parameters
    ----------
    chapter : Chapter
        Its profile's `power` section decides.
    engine : Server or None
        A running server that passed the gate.
    library : module, optional
        What to ask instead of `pynvml`.
    state : Path
        File that remembers the limit while it is changed.
    """
    if reason := _not_here(chapter):
        chapter.record(_map("skip", reason, ALLOW))
        return []
    if engine is None:
        chapter.record(_map("skip", "no engine passed the gate", "read the failed checks of this chapter"))
        return []
    wanted = chapter.profile.power

    def load(name: str, points: Sequence[Point]) -> list[Result]:
        effort = Effort.of(chapter.profile.batching)._replace(repeats=1, prompts_per_slot=wanted.prompts_per_slot)
        return loads.measure(chapter, engine, points, effort, f"power/{name}", "power.load")

    try:
        card = Card(library=library)
        if refused := card.impossible(wanted.limits_w):
            chapter.record(_impossible(card, refused))
            return []
        with Borrowed(card, state) as limit:
            cells = power_map.sweep(card, limit, wanted, load)
    except RunbookError as error:
        chapter.record(_map("fail", error.what, error.fix))
        return []
    return _record(chapter, cells, f"{limit.original_w:g} W again: {card.limit_w:g} W are set")


def verify(chapter: Chapter) -> list[Check]:
    """Return the checks of the power map."""
    return chapter.checks("power.")


def figure(found: Sequence[Measurement]) -> display.Figure | display.Html:
    """Draw speed and tokens a joule against the power limit, measured, and the published speed, dotted."""
    if not found:
        return display.Html("<p>No power limit was measured.</p>", "no power limit was measured")
    drawn = make_subplots(specs=[[{"secondary_y": True}]])
    for name, phase, colour in (
        ("power.output_throughput", "decode", display.PALETTE[0]),
        ("power.prefill_throughput", "prefill", display.PALETTE[1]),
    ):
        at, values, errors = _series(found, name, phase)
        best = max(values)
        drawn.add_scatter(
            x=at,
            y=[100 * value / best for value in values],
            error_y={"type": "data", "array": [100 * error / best for error in errors]},
            name=f"{phase}, speed",
            line_color=colour,
        )
        at, values, _ = _series(found, "power.tokens_per_joule", phase)
        best = max(values, default=1)
        drawn.add_scatter(
            x=at,
            y=[100 * value / best for value in values],
            name=f"{phase}, tokens a joule",
            line={"color": colour, "dash": "dash"},
            secondary_y=True,
        )
    cited = power_curve.DECODE[0]
    limits = sorted(cited.values)
    drawn.add_scatter(
        x=limits,
        y=[100 * cited.share(limit) for limit in limits],
        name=f"cited ({cited.when:%Y-%m-%d}): {cited.title}",
        line={"color": "#9aa4ad", "dash": "dot"},
    )
    drawn.update_layout(xaxis_title="power limit, W", height=400)
    drawn.update_yaxes(title_text="speed, per cent of the best", secondary_y=False)
    drawn.update_yaxes(title_text="tokens a joule, per cent of the best", secondary_y=True)
    return display.figure(
        drawn, f"Speed and tokens a joule against the power limit; dotted: published for the {power_curve.CARD}"
    )


def decide(chapter: Chapter, found: Sequence[Measurement]) -> Decision:
    """Recommend a limit from the map; without one the limit stays as it is, and the reason is told."""
    if found:
        return power_map.decide(found, chapter.profile.power, _expected(chapter))
    told = chapter.checks("power.map")
    return Decision(
        name="power.limit",
        choice="The power limit stays as it is",
        reason=f"It was not measured: {told[-1].observed if told else 'the map was not asked for'}.",
        evidence=["power.map"] if told else [],
    )


def _record(chapter: Chapter, cells: Sequence[power_map.Cell], given_back: str) -> list[Measurement]:
    """Record what the sweep found, with its raw files; an empty one is a failed check."""
    if not cells:
        chapter.record(_map("fail", f"the load failed; {given_back}", "read the failed check power.load"))
        return []
    rows = [{"limit_w": c.limit_w, "phase": c.phase, "tokens": c.tokens, **c.draw._asdict()} for c in cells]
    samples = chapter.save("power/cells.json", json.dumps(rows, indent=1))
    files = sorted({file for cell in cells for file in cell.result.files})
    found = power_map.measurements(cells)
    found += power_map.in_a_warm_room(found, chapter.profile.power)
    served, weights = chapter.profile.models.served, gate.weights(chapter)
    measured = _map("pass", f"{len({cell.limit_w for cell in cells})} limits measured; {given_back}")
    chapter.record(measured, power_map.throttling(cells), artifacts=[samples], model=served, weights=weights)
    return list(chapter.record(*found, artifacts=[*files, samples], model=served, weights=weights))


def _leftover(chapter: Chapter, library: Any, state: Path) -> None:
    """Give back a limit that a killed run left changed; say so."""
    try:
        given = power_limit.restore(state, library)
    except RunbookError as error:
        chapter.record(_left("fail", error.what, error.fix))
        return
    if given is not None:
        chapter.record(_left("warn", f"an earlier run was killed; {given:g} W are set again", "nothing: it is done"))


def _not_here(chapter: Chapter) -> str:
    """Return why no limit may be measured here; the empty string if it may."""
    wanted = chapter.profile.power
    if chapter.profile.hardware != "cuda":
        return "this profile has no card"
    if not wanted.may_change_limit:
        return "the profile does not allow to change the card's power limit (power.may_change_limit)"
    return "" if wanted.limits_w else "the profile names no power limits (power.limits_w)"


def _expected(chapter: Chapter) -> Gpu | None:
    return next((gpu for gpu in chapter.profile.host.gpus if gpu.vendor == "nvidia"), None)


def _series(found: Sequence[Measurement], name: str, phase: str) -> tuple[list[int], list[float], list[float]]:
    """Return limits, values and upper parts of the intervals of one series, by rising limit."""
    chosen = [m for m in found if m.name == name and m.conditions["phase"] == phase]
    chosen.sort(key=lambda m: int(str(m.conditions["limit_w"])))
    upper = [m.interval[1] - m.value if m.interval else 0.0 for m in chosen]
    return [int(str(m.conditions["limit_w"])) for m in chosen], [m.value for m in chosen], upper


def _impossible(card: Card, refused: Sequence[int]) -> Check:
    low, high = card.range_w
    return _map(
        "fail",
        f"{', '.join(map(str, refused))} W: the card takes {low:g} to {high:g} W; nothing was changed",
        f"choose power.limits_w from {low:g} to {high:g} W",
    )


def _map(status: Status, observed: str, fix: str = "") -> Check:
    expected = "each limit of power.limits_w set, held and measured; the one found set again"
    return Check(name="power.map", title=TITLE, status=status, expected=expected, observed=observed, fix=fix)


def _left(status: Status, observed: str, fix: str) -> Check:
    return Check(
        name="power.leftover",
        title="No power limit was left changed",
        status=status,
        expected="the limit that was found is set",
        observed=observed,
        fix=fix,
    )
