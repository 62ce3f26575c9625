"""Numbers of this run beside those of other machines: reference bundles and published figures.

One row holds one setting: the same model, lengths, concurrency and whatever else the evidence names as a condition. A
published figure shares a row only where every setting is the same; elsewhere it stands alone, marked as other settings.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from lib.core.errors import RunbookError
from lib.core.evidence import AnyRecord, Measurement, Scalar
from lib.core.state import RunState
from lib.engine.models import catalogue
from lib.report.published import Figure, Published
from lib.report.reference import Bundle

# What is compared, in the order of the page. Other measurements stay in the evidence of their own machine.
QUANTITIES = (
    "batching.output_throughput",
    "batching.ttft_ms",
    "batching.tpot_ms",
    "roofline.bandwidth",
    "roofline.matmul",
    "roofline.fraction",
    "tuner.gain",
    "spec.speedup",
    "spec.acceptance_length",
    "swap.cold_seconds",
    "swap.wake_seconds",
    "swap.first_token_seconds",
    "serving.ready_seconds",
)
TITLES = {
    "batching.output_throughput": "Output throughput",
    "batching.ttft_ms": "TTFT",
    "roofline.bandwidth": "Memory bandwidth",
    "roofline.matmul": "Matrix rate",
    "spec.speedup": "Gain of speculative decoding",
}
# Conditions that tell on what a value was measured or what came out, not what was asked for: two machines share a row
# although they differ in these, and the cell names them.
FOUND = {
    "roofline.bandwidth": ("device",),
    "roofline.matmul": ("device",),
    "roofline.fraction": ("device",),
    "tuner.gain": ("configuration", "verdict"),
}
_MOST_ON_FRONT = 8
_NOT_ON_FRONT = ("batching.ttft_ms", "batching.tpot_ms")
Key = tuple[str, tuple[tuple[str, Scalar], ...]]  # model, conditions


@dataclass(frozen=True)
class Row:
    """One setting: what this run measured, what each bundle measured, what was published for the very same."""

    model: str
    conditions: dict[str, Scalar]
    here: Measurement | None
    there: list[Measurement | None]
    published: list[Figure] = field(default_factory=list)

    @property
    def shared(self) -> bool:
        """Tell whether this run and a bundle both measured it."""
        return self.here is not None and any(self.there)


@dataclass(frozen=True)
class Group:
    """One quantity of one architecture: its rows, and what was published for it with other settings."""

    quantity: str
    title: str
    rows: list[Row]
    others: list[Figure]

    @property
    def here(self) -> bool:
        """Tell whether this run measured anything of it."""
        return any(row.here for row in self.rows)

    @property
    def models(self) -> list[str]:
        """The models of the rows; the table names them where there are several."""
        return list(dict.fromkeys(row.model for row in self.rows))


@dataclass(frozen=True)
class Beside:
    """What the document shows.

    Parameters
    ----------
    bundles, published
        The sources; a damaged one is told in `problems` instead.
    both, there : list of Group
        Groups that this run measured too, and groups that only bundles have.
    rest : list of Figure
        Published figures of models that nobody measured here or there.
    processor_only : bool
        This run's machine has no GPU, so its speeds are comparable with no card's.
    """

    bundles: list[Bundle]
    published: Published | None
    both: list[Group]
    there: list[Group]
    rest: list[Figure]
    processor_only: bool
    problems: list[RunbookError]

    @property
    def heads(self) -> list[str]:
        """Names of the bundles above their columns: the machine and, where two have the same, the bundle too."""
        titles = [bundle.machine.title for bundle in self.bundles]
        names = [bundle.name for bundle in self.bundles]
        return [t if titles.count(t) == 1 else f"{t} ({name})" for t, name in zip(titles, names, strict=True)]

    @property
    def shared(self) -> list[tuple[Group, Row]]:
        """The rows that this run and a bundle have in common, for the front page: the first few, latencies aside."""
        groups = [group for group in self.both if group.quantity not in _NOT_ON_FRONT]
        common = [(group, row) for group in groups for row in group.rows if row.shared]
        return common[:_MOST_ON_FRONT]


def compare(
    state: RunState,
    records: Iterable[AnyRecord],
    bundles: Sequence[Bundle],
    published: Published | None,
    problems: Sequence[RunbookError] = (),
) -> Beside:
    """Lay a run's measurements beside those of bundles and beside published figures."""
    sources = [_measured(records), *(_measured(bundle.records) for bundle in bundles)]
    figures = list(published.figures) if published else []
    both, there, used = [], [], set()
    for quantity in QUANTITIES:
        for family in _families(quantity, sources):
            group = _group(quantity, family, sources, [f for f in figures if _belongs(f, quantity, family)])
            if not group.here:
                there.append(group)
            elif group.others or any(row.published or any(row.there) for row in group.rows):
                both.append(group)
            else:
                continue
            used |= {id(figure) for figure in [*group.others, *(f for row in group.rows for f in row.published)]}
    return Beside(
        bundles=list(bundles),
        published=published,
        both=both,
        there=there,
        rest=sorted((f for f in figures if id(f) not in used), key=lambda figure: _rank(figure.quantity)),
        processor_only=state.host.get("gpus", "none") == "none",
        problems=list(problems),
    )


def settings(figure: Figure) -> str:
    """Say under which settings a figure was published, in one line."""
    told = [f"{figure.title} {figure.format}".strip(), figure.stack, figure.hardware]
    told += ["by specification"] if figure.kind == "specification" else []
    told += [f"concurrency {figure.concurrency}"] if figure.concurrency else []
    told += [f"{figure.input_tokens} in, {figure.output_tokens} out"] if figure.input_tokens else []
    told += [f"{figure.power_w} W"] if figure.power_w else []
    return ", ".join(part for part in [*told, figure.setting] if part)


def found(measured: Measurement) -> str:
    """Say what a measurement's cell must name: engine, weights, and what it was measured on or what came out."""
    told = [str(measured.conditions[key]) for key in FOUND.get(measured.name, ()) if key in measured.conditions]
    engine, weights = measured.provenance.engine, measured.provenance.weights
    told += [engine] if engine not in ("", "none") and measured.provenance.model else []
    return ", ".join([*told, *([f"{weights} weights"] if weights else [])])


def title(quantity: str) -> str:
    """Name a quantity for a reader."""
    return TITLES.get(quantity) or quantity.replace("_", " ").replace(".", ", ")


def model_title(name: str) -> str:
    """Return a model's title in the catalogue, or the name itself."""
    known = catalogue.load().get(name)
    return known.title if known else name


@cache
def family(name: str) -> str:
    """Return the first model of the catalogue that has the same architecture: fine-tunes and formats share one."""
    known = catalogue.load()
    if name not in known:
        return name
    return next(other for other, model in known.items() if model.architecture == known[name].architecture)


def _rank(quantity: str) -> int:
    return QUANTITIES.index(quantity) if quantity in QUANTITIES else len(QUANTITIES)


def _measured(records: Iterable[AnyRecord]) -> dict[str, dict[Key, Measurement]]:
    """Return measurements by quantity and setting; of several with the same setting the last one holds."""
    known: dict[str, dict[Key, Measurement]] = {}
    for record in records:
        if isinstance(record, Measurement) and record.name in QUANTITIES and record.provenance.where == "host":
            known.setdefault(record.name, {})[_key(record)] = record
    return known


def _key(record: Measurement) -> Key:
    model = str(record.conditions.get("model") or record.provenance.model)
    left_out = ("model", *FOUND.get(record.name, ()))
    rest = {key: value for key, value in record.conditions.items() if key not in left_out}
    return model, tuple(sorted(rest.items(), key=lambda item: item[0]))


def _families(quantity: str, sources: Sequence[Mapping[str, Mapping[Key, Measurement]]]) -> list[str]:
    return list(dict.fromkeys(family(model) for source in sources for model, _ in source.get(quantity, {})))


def _belongs(figure: Figure, quantity: str, wanted: str) -> bool:
    # What a machine can do, such as its bandwidth, has no model.
    return figure.quantity == quantity and family(figure.model or figure.title) == wanted


def _group(
    quantity: str, wanted: str, sources: Sequence[Mapping[str, Mapping[Key, Measurement]]], figures: Sequence[Figure]
) -> Group:
    of = [{key: m for key, m in source.get(quantity, {}).items() if family(key[0]) == wanted} for source in sources]
    keys = sorted({key for source in of for key in source}, key=_order)
    rows = []
    taken: list[Figure] = []
    for key in keys:
        same = [figure for figure in figures if _same(figure, key)]
        taken += same
        here, *there = (source.get(key) for source in of)
        rows.append(Row(key[0], dict(key[1]), here, there, same))
    titles = {m.title for source in of for m in source.values()}
    label = (titles.pop() if len(titles) == 1 else "") or title(quantity)
    others = [figure for figure in figures if figure not in taken]
    return Group(quantity, f"{label}, {model_title(wanted)}" if wanted else label, rows, others)


def _same(figure: Figure, key: Key) -> bool:
    """Tell whether a figure was published for just this setting: nothing more and nothing less is known of it."""
    name, conditions = key
    known = catalogue.load().get(name)
    same_model = bool(name) and figure.model == name and known is not None and figure.format.lower() == known.format
    bare = not figure.setting and not figure.power_w and figure.kind == "measured"
    return same_model and bare and figure.conditions == dict(conditions)


def _order(key: Key) -> tuple[str, list[tuple[str, bool, float, str]]]:
    """Order rows by model and setting; numbers by size."""
    model, conditions = key
    told = []
    for name, value in conditions:
        number = isinstance(value, int | float)
        told.append((name, not number, float(value) if isinstance(value, int | float) else 0.0, str(value)))
    return model, told
