"""Chapter 15: what more cards, another board and larger models would give."""

from collections.abc import Iterator
from typing import NamedTuple

from lib.chapters import upgrade_checks
from lib.core import display
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Decision, Measurement, Scalar
from lib.core.sections import Profile
from lib.engine.models import catalogue
from lib.engine.models.catalogue import Model
from lib.engine.models.sizes import GIB, weight_bytes
from lib.engine.upgrade import plan

GB = 10**9


class Planned(NamedTuple):
    """What the chapter worked out."""

    checks: tuple[Check, ...]
    figures: tuple[Measurement, ...]


def record(chapter: Chapter) -> Planned:
    """Work out what the profile's plan would give, and record it; nothing is measured."""
    profile = chapter.profile
    figures = chapter.record(*_figures(profile))
    checks = chapter.record(*upgrade_checks.checks(profile))
    return Planned(checks, figures)


def decide(planned: Planned) -> Decision:
    """Say which of the large models fit into the machine, and into how much memory the others would."""
    fits = [check for check in planned.checks if check.name == "upgrade.plan.memory"]
    here = [c for c in fits if "memory_gb" not in c.conditions and c.status == "pass"]
    elsewhere = [c for c in fits if "memory_gb" in c.conditions and c.status == "pass"]
    told = "; ".join(f"{c.conditions['model']} with {display.number(_number(c, 'memory_gb'))} GB" for c in elsewhere)
    if not fits:
        choice = "Nothing is planned"
        reason = "The profile names no model that is larger than the card (plan.models)."
    elif here:
        choice = f"{', '.join(str(c.conditions['model']) for c in here)} can be tried in this machine by offload"
        reason = f"Its weights fit into the card and the memory together. {_ceilings(planned)}"
    else:
        choice = "None of the large models fits into this machine"
        reason = f"By the sizes that are thought of they would: {told or 'none of them'}. {_ceilings(planned)}"
    names = dict.fromkeys(record.name for record in (*planned.checks, *planned.figures))
    return Decision(name="upgrade.plan.choice", choice=choice, reason=reason, evidence=list(names))


def _figures(profile: Profile) -> Iterator[Measurement]:
    for name in profile.plan.models:
        model = catalogue.get(name)
        read = plan.token_bytes(model)
        yield _figure(
            "weights_gib", "Weights", weight_bytes(model) / GIB, "GiB", "counted from the architecture", model=name
        )
        yield _figure(
            "read_gb", "Weights that one token reads", read / GB, "GB", "counted from the architecture", model=name
        )
        for board, gb_s in _boards(profile).items():
            yield from _ceilings_on(profile, model, board, gb_s)
        if profile.plan.tokens_s:
            yield from _needed(profile, model, profile.plan.tokens_s)
    yield from _power(profile)


def _ceilings_on(profile: Profile, model: Model, board: str, gb_s: float) -> Iterator[Measurement]:
    about: dict[str, Scalar] = {"model": model.name, "board": board, "memory_gb_s": round(gb_s, 1)}
    read = plan.token_bytes(model)
    told = f"at most: {display.number(gb_s)} GB/s over the bytes that a token reads from memory"
    yield _ceiling("all weights in main memory", plan.ceiling(read, gb_s), told, about)
    gpu = upgrade_checks.card(profile)
    if gpu is None:
        return
    parts = plan.split(model, upgrade_checks.room(profile, gpu))
    if parts.whole_on_card:
        return
    yield _ceiling(
        "rest on the processor",
        plan.ceiling(parts.memory_read, gb_s),
        f"{told}; {parts.card / GIB:.1f} GiB lie on the card, whose own time is not counted",
        about,
    )
    if gpu.pcie_generation in plan.PCIE_GT_S and gpu.pcie_width:
        link = min(gb_s, plan.pcie_gb_s(gpu.pcie_generation, gpu.pcie_width))
        yield _ceiling(
            "rest read over PCIe",
            plan.ceiling(parts.memory_read, link),
            f"at most: {display.number(link)} GB/s, the slower of link and memory, over the bytes that a token needs "
            "from there; only experts that are asked for are read",
            about,
        )


def _needed(profile: Profile, model: Model, tokens_s: float) -> Iterator[Measurement]:
    gpu = upgrade_checks.card(profile)
    parts = plan.split(model, upgrade_checks.room(profile, gpu) if gpu else 0)
    wanted = plan.needed_gb_s(parts.memory_read, tokens_s)
    yield _figure(
        "needed_gb_s",
        f"Memory bandwidth that {tokens_s:g} tokens a second need",
        wanted,
        "GB/s",
        "at least: bytes that a token reads from memory, the rest on the card, times the speed",
        model=model.name,
        tokens_s=tokens_s,
    )
    if mts := profile.host.memory.configured_mts:
        yield _figure(
            "channels",
            "Channels of the present memory that this takes",
            plan.channels_needed(wanted, mts),
            "channels",
            f"at least: that bandwidth over 8 bytes × {mts} MT/s",
            model=model.name,
            mts=mts,
        )


def _power(profile: Profile) -> Iterator[Measurement]:
    gpu, cpu = upgrade_checks.card(profile), profile.host.cpu.power_w
    if gpu is None or not gpu.power_default_w or not cpu:
        return
    for cards in sorted({1, profile.plan.cards} - {0}):
        for limit in sorted({gpu.power_default_w, gpu.power_cap_w} - {0}):
            yield _figure(
                "drawn_w",
                "Cards and processor at their limits",
                plan.drawn_w(cards, limit, cpu),
                "W",
                f"{cards} × {limit:g} W + {cpu:g} W; board, disks and fans come on top",
                cards=cards,
                limit_w=limit,
            )


def _boards(profile: Profile) -> dict[str, float]:
    """Return the memory bandwidth of the present board and of those that are thought of, GB/s."""
    memory = profile.host.memory
    found = {"present": plan.memory_gb_s(memory.channels, memory.configured_mts)} if memory.configured_mts else {}
    return found | {board.title: plan.memory_gb_s(board.channels, board.mts) for board in profile.plan.boards.values()}


def _ceilings(planned: Planned) -> str:
    """Return the best ceiling of every model on the present board, as sentences."""
    best: dict[str, float] = {}
    for figure in planned.figures:
        if figure.name == "upgrade.plan.ceiling" and figure.conditions.get("board") == "present":
            model = str(figure.conditions["model"])
            best[model] = max(best.get(model, 0.0), figure.value)
    told = ", ".join(f"{model} {display.number(value)}" for model, value in best.items())
    return f"The present memory bounds a single stream to, in tokens a second: {told}." if told else ""


def _number(check: Check, key: str) -> float:
    return float(str(check.conditions[key]))


def _figure(name: str, title: str, value: float, unit: str, method: str, **conditions: Scalar) -> Measurement:
    return Measurement(
        name=f"upgrade.plan.{name}",
        title=title,
        value=round(value, 3),
        unit=unit,
        method=f"derived: {method}",
        conditions=conditions,
    )


def _ceiling(where: str, value: float, method: str, about: dict[str, Scalar]) -> Measurement:
    title = "Ceiling of a single stream"
    return _figure("ceiling", title, value, "tok/s", method, **about, weights=where)
