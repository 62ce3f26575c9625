"""One function a kind of probe: look, and tell whether what it states holds, what was seen, and where."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lib.chapters.claims import register
from lib.chapters.claims.formula import Formula, MissingError
from lib.chapters.claims.known import ORIGINS, Known, installed
from lib.chapters.claims.register import Section
from lib.core.display import number
from lib.core.errors import RunbookError
from lib.core.evidence import Measurement

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Seen:
    """What a probe saw. `holds` is None where it cannot tell; `open`: it measured, and the interval spans the limit."""

    holds: bool | None
    told: str
    origins: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    open: bool = False
    value: float | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None


Look = Callable[[Any, Known], Seen]
_LOOKS: dict[type[Section], Look] = {}


def look(probe: Section, known: Known) -> Seen:
    """Look at what a probe asks for; what is not there makes it undecided, never false."""
    try:
        return _LOOKS[type(probe)](probe, known)
    except MissingError as reason:
        return Seen(None, str(reason), ())


def _looks(kind: type[S]) -> Callable[[Callable[[S, Known], Seen]], Callable[[S, Known], Seen]]:
    def keep(function: Callable[[S, Known], Seen]) -> Callable[[S, Known], Seen]:
        _LOOKS[kind] = function
        return function

    return keep


@_looks(register.Flag)
def _flag(probe: register.Flag, known: Known) -> Seen:
    engine = known.need_engine()
    option = engine.option(probe.flag)
    if option is None:
        return Seen(False, f"{engine.version} has no flag {probe.flag}", ("engine",))
    lacking = [choice for choice in probe.choices if choice not in option.choices]
    told = f"{engine.version} has {probe.flag}"
    if lacking:
        return Seen(False, f"{told}, without the choice `{', '.join(lacking)}`", ("engine",))
    if probe.choices:
        told += f" with `{', '.join(probe.choices)}`"
    if probe.default is not None:
        told += f", default {option.default}"
        return Seen(option.default == probe.default, told, ("engine",))
    return Seen(True, told, ("engine",))


@_looks(register.Variable)
def _variable(probe: register.Variable, known: Known) -> Seen:
    engine = known.need_engine()
    there = probe.variable in engine.variables
    return Seen(there, f"{engine.version} {'reads' if there else 'knows no'} {probe.variable}", ("engine",))


@_looks(register.Words)
def _words(probe: register.Words, known: Known) -> Seen:
    engine = known.need_engine()
    files = engine.holding(probe.source, probe.file)
    if files:
        return Seen(True, f"“{probe.source}” is in {engine.version}: {files[0]}", ("engine",))
    if probe.file:
        return Seen(False, f"“{probe.source}” is not in {probe.file} of {engine.version}", ("engine",))
    return Seen(False, f"“{probe.source}” is in no source file of {engine.version}", ("engine",))


@_looks(register.Package)
def _package(probe: register.Package, _known: Known) -> Seen:
    try:
        return Seen(True, f"{probe.package} {installed(probe.package)} is installed", ("packages",))
    except MissingError as reason:
        return Seen(False, str(reason), ("packages",))


@_looks(register.File)
def _file(probe: register.File, known: Known) -> Seen:
    path = known.root / probe.file
    if not path.is_file():
        raise RunbookError("a claim's check names a file that is not there", where=probe.file)
    found = re.search(probe.line, path.read_text(encoding="utf-8"), re.MULTILINE)
    told = f"{probe.file} has `{found.group().strip()}`" if found else f"{probe.file} has no line like `{probe.line}`"
    return Seen(found is not None, told, ("deployed files",))


@_looks(register.Formula)
def _formula(probe: register.Formula, known: Known) -> Seen:
    formula = Formula(probe.formula, known.functions)
    holds = formula.holds()
    origins = dict.fromkeys(ORIGINS[name] for name in formula.used if name in ORIGINS)
    values = [value for value in dict.fromkeys(formula.values) if not value.startswith(("version(", "round("))]
    told = f"`{probe.formula}` is {'true' if holds else 'false'}" + (f" (`{'; '.join(values)}`)" if values else "")
    return Seen(holds, told, tuple(origins) or ("arithmetic",))


@_looks(register.Checked)
def _checked(probe: register.Checked, known: Known) -> Seen:
    found = [check for check in known.checks if check.name == probe.check]
    found = [check for check in found if check.status != "skip"]
    if not found:
        raise MissingError(f"{probe.check} did not run on this machine")
    fitting = [c for c in found if c.status == probe.status and re.search(probe.observed, c.observed)]
    check = (fitting or found)[0]
    told = f"{check.name}: {check.status}, {check.observed}"
    return Seen(bool(fitting), told, ("this run",), (check.name,))


@_looks(register.Measured)
def _measured(probe: register.Measured, known: Known) -> Seen:
    value, interval, unit = _span(probe, known)
    inside = f", 95 % interval {number(interval[0])} … {number(interval[1])}" if interval else ""
    told = f"{_quantity(probe)}: {number(value)} {unit}".rstrip() + f"{inside}; {_limit(probe)}"
    low, high = interval or (value, value)
    below = probe.at_most is not None
    above = probe.at_least is not None
    most, least = probe.at_most or 0.0, probe.at_least or 0.0
    holds: bool | None = None
    if (not below or high <= most) and (not above or low >= least):
        holds = True
    elif (below and low > most) or (above and high < least):
        holds = False
    seen = Seen(holds, told, ("this run",), (probe.measured,), open=holds is None)
    return replace(seen, value=value, unit=unit, interval=interval)


@_looks(register.Not)
def _no(probe: register.Not, known: Known) -> Seen:
    seen = look(probe.no, known)
    return replace(seen, holds=None if seen.holds is None else not seen.holds)


def _span(probe: register.Measured, known: Known) -> tuple[float, tuple[float, float] | None, str]:
    """Return value, interval and unit of the measurement, or of the ratio of two."""
    above = _pick(probe, probe.where, known)
    if probe.over is None:
        return above.value, above.interval, above.unit
    base = _pick(probe, {**probe.where, **probe.over}, known)
    if base is above or not base.value:
        raise MissingError(f"{probe.measured} was measured under one condition only")
    low, high = above.interval or (above.value, above.value)
    base_low, base_high = base.interval or (base.value, base.value)
    bounded = (above.interval or base.interval) and base_low > 0
    return above.value / base.value, (low / base_high, high / base_low) if bounded else None, "×"


def _pick(probe: register.Measured, where: register.Where, known: Known) -> Measurement:
    found = [record for record in known.measurements if record.name == probe.measured]
    for key, wanted in where.items():
        there = [record.conditions[key] for record in found if record.conditions.get(key) is not None]
        if wanted in ("highest", "lowest") and there:
            wanted = max(there, key=_order) if wanted == "highest" else min(there, key=_order)
        found = [record for record in found if record.conditions.get(key) == wanted]
    if not found:
        raise MissingError(
            f"{probe.measured} was not measured in this run" + (f" with {_conditions(where)}" if where else "")
        )
    return max(found, key=lambda record: record.value) if probe.best else found[0]


def _order(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _quantity(probe: register.Measured) -> str:
    told = probe.measured + (", the largest" if probe.best else "")
    told += f" at {_conditions(probe.where)}" if probe.where else ""
    return told + (f", over that at {_conditions(probe.over)}" if probe.over else "")


def _conditions(where: register.Where) -> str:
    return ", ".join(f"{key} {value}" for key, value in where.items())


def _limit(probe: register.Measured) -> str:
    parts: Iterable[tuple[str, float | None]] = (("at least", probe.at_least), ("at most", probe.at_most))
    return "the claim needs " + " and ".join(f"{words} {number(limit)}" for words, limit in parts if limit is not None)
